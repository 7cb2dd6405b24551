"""Qualcomm's HTP by onnxruntime-qnn, whose x86-64 build emulates the device bit by bit."""

import os
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import onnx
import onnx_ir as ir

from lostbits.backend import Backend, Executed, Loaded, refused
from lostbits.backends.onnxruntime import Running
from lostbits.errors import first_line
from lostbits.graph.qdq_view import between_quantizers
from lostbits.kernels.qnn_htp import in_fixed_point
from lostbits.runtime.ort import ort
from lostbits.targets.movement import MOVES_VALUES

_ERRORS = 2  # descriptor of the error stream
_REFUSED = re.compile(
    r"Operator type: (\S+) Node name: (.*?) Node index:[^\n]*\n\s*REASON : ([^\n]+)"
)
_PROVIDER = "QNNExecutionProvider"
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})


@final
@dataclass(frozen=True)
class QnnHtp(Backend):
    """HTP; what it cannot run is refused, never handed to the CPU."""

    name = "qnn-htp"
    title = "Qualcomm HTP by onnxruntime-qnn, emulated on x86-64"
    format = "qdq-qnn"
    package = "onnxruntime-qnn"
    extra = "qnn"
    module = "onnxruntime_qnn"
    one_by_one = True
    on_this_processor = False
    arithmetic = staticmethod(in_fixed_point)

    def version(self) -> str:
        """Of the package."""
        import onnxruntime_qnn  # noqa: PLC0415 - optional

        return str(onnxruntime_qnn.__version__)

    def load(self, content: bytes) -> Loaded:
        """A session on the HTP backend, with a batch of 1."""
        model = _with_batch_of_one(onnx.load_from_string(content))
        try:
            session = ort.InferenceSession(model.SerializeToString(), _options())
        except Exception as error:  # ONNX Runtime has a dozen classes of its own for this
            raise refused(self.name, reasons(_log(model)) or first_line(error)) from error
        return Running(self.name, session, _executed(model), "float16")


def reasons(log: str) -> str:
    r"""Which node the provider refuses, and why, in its own words; empty where the log has none.

    >>> reasons("Operator type: Erf Node name: e Node index: 3\n  REASON : not supported")
    "Erf 'e': not supported"
    """
    found = [f"{op} {node!r}: {why}" for op, node, why in _REFUSED.findall(log)]
    several = dict.fromkeys(found)
    more = f" (and {len(several) - 1} more nodes)" if len(several) > 1 else ""
    return f"{next(iter(several))}{more}" if several else ""


def _log(model: onnx.ModelProto) -> str:
    """What a session says at its most talkative, which goes to the error stream alone."""
    options = _options()
    options.log_severity_level = 0
    with tempfile.TemporaryFile() as file:
        kept = os.dup(_ERRORS)
        os.dup2(file.fileno(), _ERRORS)
        try:
            ort.InferenceSession(model.SerializeToString(), options)
        except Exception:
            pass
        finally:
            os.dup2(kept, _ERRORS)
            os.close(kept)
        file.seek(0)
        return file.read().decode(errors="replace")


@cache
def _device() -> Any:
    """The emulated device; a library can be registered once a process."""
    import onnxruntime_qnn  # noqa: PLC0415 - optional

    ort.register_execution_provider_library(_PROVIDER, onnxruntime_qnn.get_library_path())
    return next(d for d in ort.get_ep_devices() if d.ep_name == _PROVIDER)


def _options() -> ort.SessionOptions:
    import onnxruntime_qnn  # noqa: PLC0415 - optional

    options = ort.SessionOptions()
    options.log_severity_level = 4
    settings = {"backend_path": str(onnxruntime_qnn.get_qnn_htp_path())}
    options.add_provider_for_devices([_device()], settings)
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _with_batch_of_one(model: onnx.ModelProto) -> onnx.ModelProto:
    for value in model.graph.input:
        shape = value.type.tensor_type.shape
        if shape.dim and not shape.dim[0].HasField("dim_value"):
            shape.dim[0].dim_value = 1
    return model


def _executed(model: onnx.ModelProto) -> list[Executed]:
    """All of it is on the HTP, which computes in integers what stands between Q/DQ pairs."""
    graph = ir.from_proto(model).graph
    kinds = (None, ir.DataType.FLOAT)  # others compute shapes and indices
    nodes = [
        n
        for n in graph
        if n.op_type not in _QUANTIZERS | MOVES_VALUES and n.outputs[0].dtype in kinds
    ]
    found = [(n, between_quantizers(n)) for n in nodes]
    return [Executed(n.op_type, "int" if i else "float16", i, (n.name or "",)) for n, i in found]
