"""What tests ask of the processor that they run on."""

import pytest

from lostbits.system.processor import has_vnni

# Without VNNI, ONNX Runtime's kernels for uint8 x int8 add pairs of products in 16 bits: large
# codes saturate, and a file that is right differs from its simulation.
exact_kernels = pytest.mark.skipif(
    not has_vnni(), reason="without VNNI the integer kernels of this processor saturate"
)
