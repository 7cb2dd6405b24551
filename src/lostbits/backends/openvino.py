"""OpenVINO on the CPU, told to compute in float32, and left to what the processor prefers."""

import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from lostbits.backend import Arithmetic, Arrays, Backend, Executed, Loaded, refused, stopped
from lostbits.errors import first_line
from lostbits.kernels.openvino import accumulated

_TELEMETRY = "openvino_telemetry"
_HINT = "INFERENCE_PRECISION_HINT"
_PRODUCTS = "/WithoutBiases"  # behind the name of a layer whose bias is added by another kernel
_COMPUTES = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "Eltwise", "Pooling")
_INTEGER = frozenset({"i8", "u8", "i4", "u4"})


@cache
def _openvino() -> Any:
    """The package, imported as if its telemetry were not installed.

    With it, the import alone writes an identifier into the home folder and sends it to Google
    Analytics, and there is no variable that forbids it. Without it, OpenVINO puts a stub there.
    """
    modules: dict[str, Any] = sys.modules
    theirs = modules.pop(_TELEMETRY, None)
    modules[_TELEMETRY] = None  # what makes an import fail
    try:
        return import_module("openvino")
    finally:
        del modules[_TELEMETRY]
        if theirs is not None:
            modules[_TELEMETRY] = theirs


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
    moves_signs = True

    @property
    def arithmetic(self) -> Arithmetic | None:  # type: ignore[override]
        """Known where floats are float32; what bf16 makes of the rest is not."""
        return accumulated if self.hint == "f32" else None

    def version(self) -> str:
        """Of the package."""
        return str(_openvino().__version__)

    def load(self, content: bytes) -> Loaded:
        """A compiled model."""
        core, settings = _openvino().Core(), {} if self.hint is None else {_HINT: self.hint}
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
            names = facts.get("originalLayersNames", "").split(",")
            nodes = tuple(name.removesuffix(_PRODUCTS) for name in names)
            found.append(Executed(kind, precision, precision in _INTEGER, nodes))
    return found
