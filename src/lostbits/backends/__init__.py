"""The backends, by the names that users give to ``--backend``."""

from lostbits.backend import Backend
from lostbits.backends.onnxruntime import OnnxRuntime
from lostbits.backends.openvino import OpenVino
from lostbits.backends.qnn_htp import QnnHtp
from lostbits.errors import BackendError
from lostbits.members import Members

ALL: tuple[Backend, ...] = (
    OnnxRuntime("onnxruntime", "ONNX Runtime, CPU, optimised: integer kernels", optimise=True),
    OnnxRuntime("onnxruntime-plain", "ONNX Runtime, CPU, as the file is written", optimise=False),
    OpenVino("openvino", "OpenVINO, CPU, float32 where not integer", hint="f32"),
    OpenVino("openvino-default", "OpenVINO, CPU, the processor's default precision", hint=None),
    QnnHtp(),
)


def _unknown(name: str, advice: str) -> BackendError:
    return BackendError("B004", f"--backend {name}", "no such backend", advice=advice)


MEMBERS: Members[Backend] = Members("lostbits.backends", Backend, ALL, _unknown)


def backend(given: str | Backend) -> Backend:
    """The backend of that name; one that is given itself stays as it is.

    Raises:
        BackendError: B004, if there is none of that name.
        MemberError: See ``Members``.
    """
    return MEMBERS.find(given)


__all__ = ["ALL", "MEMBERS", "backend"]
