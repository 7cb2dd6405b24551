"""Kernels of runtimes whose arithmetic was found by comparing codes with them."""

from lostbits.language import say
from lostbits.target import Arithmetic, Source

OPENVINO = Arithmetic(
    name="openvino",
    title=say("arithmetic.openvino"),
    fitted="openvino",
    sources=(
        Source(
            "integer sums, float32 behind them; rounding to a range and a number of levels",
            "OpenVINO, src/common/low_precision_transformations, src/plugins/intel_cpu; order of "
            "float32 operations measured on a processor with VNNI",
            "2026.4",
        ),
    ),
)

HTP = Arithmetic(
    name="htp",
    title=say("arithmetic.htp"),
    fitted="qnn-htp",
    sources=(
        Source(
            "sums without their low bits, multipliers of 14 bits, halves up",
            "measured on the emulation of onnxruntime-qnn for x86-64",
            "2.7",
        ),
    ),
)
