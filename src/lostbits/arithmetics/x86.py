"""ONNX Runtime's integer kernels on x86-64, with and without VNNI."""

from dataclasses import replace

from lostbits.arithmetics.mlas import LAYERS, MLAS, SUMS, WHICH_LAYERS
from lostbits.language import say
from lostbits.target import Arithmetic, Source

_FLOAT_FACTOR = Source(
    "sums of 32 bits, one float32 factor, halves to even; Add in float32",
    f"{MLAS}/quantize.cpp (MlasRequantizeOutput), qladd.cpp",
    "1.32",
)

X86_VNNI = Arithmetic(
    name="x86-vnni",
    title=say("arithmetic.x86_vnni"),
    layers=LAYERS,
    sums=SUMS,
    sources=(
        _FLOAT_FACTOR,
        WHICH_LAYERS,
        Source(
            "four products of uint8 and int8 go into 32 bits at once",
            "Intel Intrinsics Guide, VPDPBUSD (_mm256_dpbusd_epi32)",
            "3.6",
        ),
    ),
)

X86_AVX2 = replace(
    X86_VNNI,
    name="x86-avx2",
    title=say("arithmetic.x86_avx2"),
    pairs="u8s8",
    sources=(
        _FLOAT_FACTOR,
        Source(
            "two products of uint8 and int8 are added in int16, which saturates",
            "Intel Intrinsics Guide, VPMADDUBSW (_mm256_maddubs_epi16)",
            "3.6",
        ),
        Source(
            "uint8 by int8 takes VPMADDUBSW on AVX2 and AVX-512 without VNNI; other types and "
            "depthwise convolutions do not; products of one tap lie side by side",
            f"{MLAS}/x86_64/QgemmU8S8KernelAvx2.S; core/providers/cpu/quantization/"
            "qlinearconv.cc (ReorderFilter)",
            "1.32",
        ),
    ),
)
