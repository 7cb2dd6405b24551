"""OpenVINO on the CPU, told to compute in float32, and left to what the processor prefers."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from lostbits.backend import Arithmetic, Arrays, Backend, Executed, Loaded, refused, stopped
from lostbits.errors import first_line
from lostbits.graph.float_kernels import accumulated

_HINT = "INFERENCE_PRECISION_HINT"
_COMPUTES = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "Eltwise", "Pooling")
_INTEGER = frozenset({"i8", "u8", "i4", "u4"})


@final
@dataclass(frozen=True)
class OpenVino(Backend):
    """The CPU plugin; without a hint, processors with bf16 units compute floats in bf16."""

    name: str
    title: str
    hint: str | None
    format = "qdq-openvino"
    package = "openvino"
    extra = "openvino"
    module = "openvino"

    @property
    def arithmetic(self) -> Arithmetic | None:  # type: ignore[override]
        """Known where floats are float32; what bf16 makes of the rest is not."""
        return accumulated if self.hint == "f32" else None

    def version(self) -> str:
        """Of the package."""
        import openvino  # noqa: PLC0415 - optional

        return str(openvino.__version__)

    def load(self, content: bytes) -> Loaded:
        """A compiled model."""
        import openvino  # noqa: PLC0415 - optional

        core, settings = openvino.Core(), {} if self.hint is None else {_HINT: self.hint}
        try:
            model = core.read_model(content)
            compiled = core.compile_model(model, "CPU", settings)
        except Exception as error:  # RuntimeError and others, of its front end and its plugin
            raise refused(self.name, first_line(error)) from error
        names = [output.get_any_name() for output in model.outputs]
        return _Compiled(self.name, compiled, names)


@final
class _Compiled(Loaded):
    def __init__(self, backend: str, compiled: Any, names: list[str]) -> None:
        self.backend, self.compiled, self.names = backend, compiled, names
        self.executed = _executed(compiled)
        self.precision = str(compiled.get_property(_HINT).get_type_name())

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """See the contract."""
        try:
            values = self.compiled(dict(feeds))
        except Exception as error:  # as above
            raise stopped(self.backend, first_line(error)) from error
        arrays = (np.asarray(values[number]) for number in range(len(self.names)))
        return dict(zip(self.names, arrays, strict=True))


def _executed(compiled: Any) -> list[Executed]:
    """The plugin's own graph says for every layer in which type it runs."""
    found = []
    for op in compiled.get_runtime_model().get_ops():
        facts = {key: str(value.value) for key, value in op.get_rt_info().items()}
        kind, precision = facts.get("layerType", ""), facts.get("runtimePrecision", "")
        if kind in _COMPUTES:
            nodes = tuple(facts.get("originalLayersNames", "").split(","))
            found.append(Executed(kind, precision, precision in _INTEGER, nodes))
    return found
