"""ONNX Runtime's integer kernels on 64-bit ARM, with and without the dot product."""

from dataclasses import replace

from lostbits.arithmetics.mlas import LAYERS, MLAS, SUMS, WHICH_LAYERS
from lostbits.language import say
from lostbits.target import Arithmetic, Source

_FLOAT_FACTOR = Source(
    "sums of 32 bits, one float32 factor, halves to even",
    f"{MLAS}/quantize.cpp (MlasRequantizeOutput, NEON)",
    "1.32",
)

ARM_DOT = Arithmetic(
    name="arm-dot",
    title=say("arithmetic.arm_dot"),
    layers=LAYERS,
    sums=SUMS,
    sources=(
        _FLOAT_FACTOR,
        WHICH_LAYERS,
        Source(
            "four products of 8 bits go into 32 bits at once",
            "Arm Architecture Reference Manual for A-profile, SDOT and UDOT",
            "DDI 0487",
        ),
    ),
)

ARM = replace(
    ARM_DOT,
    name="arm",
    title=say("arithmetic.arm"),
    pairs="s8s8",
    pair_overflow="wrap",
    pair_distance=8,
    sources=(
        _FLOAT_FACTOR,
        Source(
            "int8 by int8: two products that are 8 apart are added in int16 (SMULL, SMLAL), which "
            "only two of -128 by -128 leave; unsigned codes are added in 32 bits (UADALP)",
            f"{MLAS}/aarch64/QgemmS8S8KernelNeon.S, QgemmU8X8KernelNeon.S",
            "1.32",
        ),
    ),
)
