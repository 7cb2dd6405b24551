"""Cambricon MLU, as run by CNRT from models that CNML or MagicMind built."""

from lostbits.grid import Grid
from lostbits.language import say
from lostbits.target import Placement, Rule, Source, Target

CNRT = Target(
    name="cnrt",
    title=say("platform.cnrt"),
    # The device holds a power of two (position) and a float (scale) for every tensor or channel.
    # Their quotient, the step, is absmax/127 like any other: the pair is spelling, not a limit.
    weights=Rule(Grid.of(8, signed=True), symmetric=True, per_channel=True, method="min_max"),
    activations=Rule(Grid.of(8, signed=True), symmetric=True, per_channel=False, method="min_max"),
    bias_bits=None,
    wide_bits=16,
    placement=Placement(
        mode="inputs",
        ops=frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"}),
        # Every op writes float and each of the four converts what it reads when it reads it: no
        # rounding between any two others, so fusion and data movement make no difference.
        fused_activations=frozenset(),
        fusing_ops=frozenset(),
        shared_scale=frozenset(),
        passes_through=frozenset(),
    ),
    takes=say("takes.cnrt"),
    together=True,
    sources=(
        Source(
            "position, scale, and the codes made with them",
            "Cambricon mlu-ops, core/tool.cpp, getPositionAndScale; CNNL User Guide, fixed-point "
            "quantization",
            "2026-04 (73adc65d)",
        ),
        Source(
            "inputs and weights of convolutions and fully connected layers are fixed-point, bias "
            "and outputs float; one scale per output channel for weights",
            "CNNL User Guide; Cambricon caffe, mode int8_channel; Paddle-Lite, cambricon_mlu",
            "CNRT 4.2, CNML 7.2",
        ),
        Source(
            "internal calibration: linear (min-max) or EQNM",
            "Cambricon magicmind_cloud, mm.QuantizationAlgorithm",
            "dc085c1",
        ),
    ),
    notes={
        "int16": 'set grid = "int16" in a TOML target with base = "cnrt"',
        "position only": "the Caffe tool writes pure powers of two since 2020-05: "
        "power_of_two = true in a TOML target",
        "rounding": "which of three roundings a deployed model uses is not stated; half to even "
        "is simulated",
        "positions": "each, and the sum of an input's and its weight's, must be in -128..127",
    },
)
