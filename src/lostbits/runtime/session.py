"""Running an ONNX graph: ONNX Runtime, or ONNX's reference where it lacks an op."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, final

import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx_ir import serde

from lostbits.errors import LostbitsError, ModelError, SimulationError, described, first_line
from lostbits.graph.large import large_constants
from lostbits.graph.split_weights import PLACE, taken_apart
from lostbits.runtime.ort import NotImplementedByRuntime, ort
from lostbits.runtime.pieces import Pieces, in_pieces
from lostbits.system.memory import keeps_freed, lacks_memory, out_of_memory
from lostbits.system.threads import session_threads

Feeds = Mapping[str, NDArray[Any]]
_PROVIDERS = ["CPUExecutionProvider"]
# How ONNX Runtime says that it is older than the model, or has no kernel for a node.
_LACKING = ("is not a registered function", "No Op registered", "opset version", "IR version")


class Runner(Protocol):
    """What ONNX Runtime's session and ONNX's reference have in common."""

    def run(self, outputs: Sequence[str] | None, feeds: Feeds) -> Sequence[Any]:
        """Values of the named outputs."""
        ...


@final
class Session:
    """A graph ready to run.

    Args:
        model: What to run.
        optimise: Let ONNX Runtime rewrite the graph and use its integer kernels; not done to a
            large model, see graph.large.
        threads: Of ONNX Runtime; 0 lets it take all that this process may use.

    Attributes:
        names: Outputs, in order.
        engine: ``onnxruntime``, or ``onnx reference`` when the former lacks an op.
    """

    def __init__(self, model: ir.Model, *, optimise: bool = True, threads: int = 0) -> None:
        self.names = [v.name or "" for v in model.graph.outputs]
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads or session_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
        )
        if keeps_freed():
            # What an arena holds between its runs serves nobody else, a quarter of a diagnosis.
            options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        self.engine = "onnxruntime"
        try:
            self._runner: Runner = _runner(model, options)
        except Exception as error:  # of pybind, as well as its own
            if not _lacks_op(error):
                raise _refused(error) from error
            self._runner = _reference(model, first_line(error))
            self.engine = "onnx reference"

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Every output by name.

        Raises:
            SimulationError: S001 when the runtime stops, with its own words.
            WorkerError: W001 when it does for lack of memory.
        """
        try:
            values = self._runner.run(self.names, feeds)
        except Exception as error:  # ONNX's reference raises whatever an op's code raises
            if lacks_memory(error):
                raise out_of_memory(first_line(error)) from error
            raise SimulationError("S001", "running the model", first_line(error)) from error
        return dict(zip(self.names, values, strict=True))

    def types(self) -> dict[str, tuple[str, tuple[int | str | None, ...]]]:
        """What ONNX Runtime infers of each output: its type, and its shape, () where unknown."""
        told: Sequence[Any] = getattr(self._runner, "get_outputs", list)()
        return {output.name: (output.type, tuple(output.shape)) for output in told}


def _lacks_op(error: Exception) -> bool:
    """Whether ONNX Runtime knows too little, rather than that the model is wrong."""
    words = str(error)
    lacking = isinstance(error, NotImplementedByRuntime) or any(text in words for text in _LACKING)
    return lacking and not lacks_memory(error)


def _refused(error: Exception) -> LostbitsError:
    if lacks_memory(error):
        return out_of_memory(first_line(error))
    return ModelError("M014", "model", described(error))


def _runner(model: ir.Model, options: ort.SessionOptions) -> Runner:
    if in_pieces(model.graph):
        return Pieces(model, lambda piece: _native(piece, options))
    return _native(model, options)


def _native(model: ir.Model, options: ort.SessionOptions) -> Runner:
    if large_constants(model.graph):
        return _Mapped(model, options)
    return cast(Runner, ort.InferenceSession(_untyped(model), options, providers=_PROVIDERS))


def _untyped(model: ir.Model) -> bytes:
    """A file without types and shapes inside the graph, which ONNX Runtime infers by itself.

    Each is some messages of protobuf, which at every ten thousandth that it frees hands all free
    memory of the process back to the system: a gigabyte to be had again, page by page. A copy of
    the model without them would take longer than all the rest.
    """
    file, graph = onnx.ModelProto(ir_version=model.ir_version), model.graph
    for domain, version in model.opset_imports.items():
        file.opset_import.add(domain=domain, version=version)
    for function in model.functions.values():
        serde.serialize_function_into(file.functions.add(), function, create_value_info=False)
    file.graph.name = graph.name or "graph"
    for value in graph.inputs:
        serde.serialize_value_into(file.graph.input.add(), value)
    for node in graph:
        serde.serialize_node_into(file.graph.node.add(), node)
    for value in graph.outputs:
        serde.serialize_value_into(file.graph.output.add(), value)
    for name, value in graph.initializers.items():
        constant = file.graph.initializer.add()
        serde.serialize_tensor_into(constant, _held(value))
        constant.name = name
    return file.SerializeToString()


def _held(value: ir.Value) -> ir.TensorProtocol:
    assert value.const_value is not None
    return value.const_value


@final
class _Mapped:
    """A large model, run with its constants where they lie.

    ONNX Runtime is kept from whatever copies constants: its arena, rewritten graphs, weights packed
    in another order, and an order of nodes in which all weights are dequantized before the first is
    used. Measured on eight layers of 64 MiB each with integer weights: 64 MiB, instead of 1,088.
    """

    def __init__(self, model: ir.Model, options: ort.SessionOptions) -> None:
        content, arrays = taken_apart(model)
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.disable_quant_qdq", "1")  # adds nodes at the end
        # Held here, because the options point to them without holding them.
        self._values = {n: ort.OrtValue.ortvalue_from_numpy(a) for n, a in arrays.items()}
        for name, value in self._values.items():
            options.add_initializer(name, value)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(content)
            (path.parent / PLACE).touch()  # it is looked for, but not read
            self._session = ort.InferenceSession(str(path), options, providers=_PROVIDERS)

    def run(self, outputs: Sequence[str] | None, feeds: Feeds) -> Sequence[Any]:
        """Values of the named outputs."""
        return cast(Sequence[Any], self._session.run(outputs, feeds))

    def get_outputs(self) -> Sequence[Any]:
        """Names, types and shapes of the outputs."""
        return cast(Sequence[Any], self._session.get_outputs())


def _reference(model: ir.Model, reason: str) -> Runner:
    """ONNX's own evaluator; slow, but it knows ops that ONNX Runtime does not."""
    try:
        return cast(Runner, ReferenceEvaluator(ir.to_proto(model)))
    except Exception as error:  # it raises whatever the op's implementation raises
        raise ModelError("M006", "model", reason.strip().splitlines()[0]) from error
