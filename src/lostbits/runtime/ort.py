"""ONNX Runtime, with its telemetry off; the only place that imports it.

It reports its use to Microsoft from its import on: who runs it on what, and its error messages, in
which the nodes and tensors of the model have their names. Nothing that can be called later undoes
the first event, nor the files that it writes into the home folder. It reads the variable that
forbids this while it is imported, and never again, so the host's environment has it only so long.
A value that the user has given stays.
"""

import os

from lostbits.system.process import is_own, restored

TELEMETRY = "ORT_DISABLE_TELEMETRY"

with restored(os.environ, TELEMETRY):
    os.environ.setdefault(TELEMETRY, "1")
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import (
        NotImplemented as NotImplementedByRuntime,
    )

if os.environ.get(TELEMETRY, "1") == "1":
    # A host that imported ONNX Runtime before lostbits has its telemetry running. From here on at
    # least no error message is reported. This is the one setting of the host's that stays changed:
    # telemetry that is on between two calls would report what is known of their models.
    ort.disable_telemetry_events()

if is_own():  # what fails is said once, by the message that is made of the error
    ort.set_default_logger_severity(4)

__all__ = ["NotImplementedByRuntime", "ort"]
