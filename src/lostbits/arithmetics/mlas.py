"""What the integer kernels of ONNX Runtime have in common on all processors."""

from lostbits.target import Source

MLAS = "ONNX Runtime, core/mlas/lib"
LAYERS = frozenset({"Conv", "Gemm", "MatMul"})
SUMS = frozenset({"Gemm", "MatMul"})  # QGemm, MatMulIntegerToFloat
WHICH_LAYERS = Source(
    "ConvTranspose stays in float, and so does a Conv whose result is not quantized",
    "ONNX Runtime, core/optimizer/qdq_transformer/selectors_actions/qdq_selectors.cc",
    "1.32",
)
