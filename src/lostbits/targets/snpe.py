"""Qualcomm SNPE on the Hexagon DSP, with its default quantizer."""

from lostbits.grid import Grid
from lostbits.language import say
from lostbits.target import Placement, Rule, Source, Target
from lostbits.targets.movement import MOVES_VALUES

_RULE = Rule(
    Grid.of(8, signed=False),
    symmetric=False,
    per_channel=False,
    method="min_max",
    minimum_range=1e-4,
)

SNPE = Target(
    name="snpe",
    title=say("platform.snpe"),
    weights=_RULE,
    activations=_RULE,
    bias_bits=32,
    wide_bits=16,
    placement=Placement(
        mode="tensors",
        ops=frozenset(),
        fused_activations=frozenset({"Clip", "Relu"}),
        fusing_ops=frozenset({"Add", "Conv", "ConvTranspose", "Gemm", "MatMul"}),
        shared_scale=frozenset({"AveragePool", "Concat", "Resize"}),
        passes_through=MOVES_VALUES | {"ReduceMax", "ReduceMin", "TopK"},
    ),
    takes=say("takes.snpe"),
    sources=(
        Source(
            "8-bit asymmetric per tensor, min-max, zero exactly representable, least range 0.0001",
            "Snapdragon Neural Processing Engine SDK Reference Guide, Quantized vs Non-Quantized "
            "Models",
            "2.x",
        ),
        Source(
            "weights and bias of the DSP: UFIXED_8; bias also SFIXED_32",
            "Qualcomm AI Engine Direct, HTA Op Definition Supplement",
            "2.x",
        ),
        Source(
            "Relu and Clip are squashed into the op before them",
            "AIMET, quantsim_config/dsp_quantsim_config.json, default_config.json",
            "2.42",
        ),
        Source(
            "one scale across Concat, AveragePool and Resize; ops that keep values on their grid",
            "AIMET, aimet_onnx/quantsim.py, common/onnx/_utils.py",
            "2.42",
        ),
    ),
    notes={
        "recurrent ops": "states inside an LSTM, GRU or RNN and its gates are not rounded in the "
        "simulation; its inputs, outputs and weights are",
        "bias": "snpe-dlc-quantize defaults to 8 bits; give --bias_bitwidth 32",
        "least range": "older text of the same guide says 0.01; set minimum_range in a TOML target",
        "enhanced mode": "method snpe_enhanced (--use_enhanced_quantizer)",
        "rounding": "the zero point is rounded half away from zero",
    },
)
