"""The backends, by the names that users give to ``--backend``."""

from lostbits.backend import Backend
from lostbits.backends.onnxruntime import OnnxRuntime
from lostbits.backends.openvino import OpenVino
from lostbits.backends.qnn_htp import QnnHtp
from lostbits.errors import BackendError, close_match

ALL: tuple[Backend, ...] = (
    OnnxRuntime("onnxruntime", "ONNX Runtime, CPU, optimised: integer kernels", optimise=True),
    OnnxRuntime("onnxruntime-plain", "ONNX Runtime, CPU, as the file is written", optimise=False),
    OpenVino("openvino", "OpenVINO, CPU, float32 where not integer", hint="f32"),
    OpenVino("openvino-default", "OpenVINO, CPU, the processor's default precision", hint=None),
    QnnHtp(),
)


def backend(name: str) -> Backend:
    """Look up a backend by name.

    Raises:
        BackendError: B004, if there is none of that name.
    """
    known = {b.name: b for b in ALL}
    if name not in known:
        where = f"--backend {name}"
        raise BackendError("B004", where, "no such backend", advice=close_match(name, known))
    return known[name]


__all__ = ["ALL", "backend"]
