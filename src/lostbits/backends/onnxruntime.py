"""ONNX Runtime on the CPU: with its integer kernels, and without any rewriting."""

import re
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.arithmetics import X86_AVX2
from lostbits.backend import Arithmetic, Arrays, Backend, Executed, Loaded, refused, stopped
from lostbits.errors import first_line
from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import name_of
from lostbits.kernels.onnxruntime import in_integers
from lostbits.kernels.simulated import in_arithmetic
from lostbits.runtime.ort import ort
from lostbits.system.processor import has_vnni
from lostbits.targets.movement import MOVES_VALUES

_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_TOKEN = re.compile(
    r"_token_\d+$"
)  # what the optimiser adds to the names of nodes that it replaces
_INTEGER = frozenset(
    {"ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm"}
)


@final
@dataclass(frozen=True)
class OnnxRuntime(Backend):
    """The CPU execution provider; ``optimise`` lets it fuse Q/DQ into integer kernels."""

    name: str
    title: str
    optimise: bool
    format = "qdq-onnxruntime"
    module = "onnxruntime"

    @property
    def arithmetic(self) -> Arithmetic | None:  # type: ignore[override]
        """That of integer kernels, which there are only where the graph is rewritten."""
        if not self.optimise:
            return None
        return in_integers if has_vnni() else in_pairs

    def version(self) -> str:
        """Of the package."""
        return str(ort.__version__)

    def load(self, content: bytes) -> Loaded:
        """A session; the graph that it made of the file is read back to see its kernels."""
        options, level = ort.SessionOptions(), ort.GraphOptimizationLevel
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.graph_optimization_level = (
            level.ORT_ENABLE_ALL if self.optimise else level.ORT_DISABLE_ALL
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "optimised.onnx"
            options.optimized_model_filepath = str(path)
            try:
                session = ort.InferenceSession(content, options, ["CPUExecutionProvider"])
            except Exception as error:  # ONNX Runtime has a dozen classes of its own for this
                raise refused(self.name, first_line(error)) from error
            return Running(self.name, session, _kernels(onnx.load(path)), "float32")


def in_pairs(model: ir.Model, floats: Collection[str] = frozenset()) -> tuple[ir.Model, int]:
    """``in_integers`` without VNNI: products of uint8 and int8 are added in pairs of 16 bits."""
    outputs = [name_of(v) for v in model.graph.outputs]
    made = in_arithmetic(model, X86_AVX2, floats=floats)
    return with_outputs(made.model, outputs), made.layers


def _kernels(model: onnx.ModelProto) -> list[Executed]:
    indices = _indices(model.graph)
    return [
        _kernel(node)
        for node in model.graph.node
        if node.op_type not in _QUANTIZERS | MOVES_VALUES and not indices.issuperset(node.output)
    ]


def _indices(graph: onnx.GraphProto) -> set[str]:
    """Tensors of shapes and indices, which no runtime would compute in 8 bits."""
    found = {i.name for i in graph.initializer if i.data_type == onnx.TensorProto.INT64}
    for node in graph.node:
        if node.op_type in ("Shape", "Size") or found.issuperset(filter(None, node.input)):
            found.update(node.output)
    return found


def _kernel(node: onnx.NodeProto) -> Executed:
    integer = node.op_type.startswith("QLinear") or node.op_type in _INTEGER
    name = _TOKEN.sub("", node.name)
    return Executed(node.op_type, "int8" if integer else "float32", integer, (name,))


@final
@dataclass
class Running(Loaded):
    """A session of ONNX Runtime, whatever it runs on."""

    backend: str
    session: ort.InferenceSession
    executed: list[Executed]
    precision: str

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """See the contract."""
        names = [o.name for o in self.session.get_outputs()]
        try:
            values = self.session.run(names, dict(feeds))
        except Exception as error:  # as above
            raise stopped(self.backend, first_line(error)) from error
        return dict(zip(names, values, strict=True))
