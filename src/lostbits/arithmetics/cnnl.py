"""Cambricon's CNNL: fixed-point operands, results in floating point."""

from lostbits.language import say
from lostbits.target import Arithmetic, Source

CNNL = Arithmetic(
    name="cnnl",
    title=say("arithmetic.cnnl"),
    requantization="none",
    sources=(
        Source(
            "operands are codes with position and scale; a layer gives floats, which the next one "
            "quantizes by itself. How wide the sums are is not published: 32 bits are assumed",
            "Cambricon CNNL developer guide, quantized operators; Cambricon/mlu-ops, "
            "mluOpSetTensorDescriptorPositionAndScale",
            "1.x",
        ),
    ),
)
