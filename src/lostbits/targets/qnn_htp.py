"""Qualcomm AI Engine Direct (QNN) on the Hexagon Tensor Processor."""

from lostbits.grid import Grid
from lostbits.language import say
from lostbits.target import Placement, Rule, Source, Target
from lostbits.targets.movement import MOVES_VALUES

QNN_HTP = Target(
    name="qnn-htp",
    title=say("platform.qnn_htp"),
    weights=Rule(
        Grid.of(8, signed=True),
        symmetric=True,
        per_channel=True,
        method="min_max",
        minimum_range=1e-4,
    ),
    activations=Rule(
        Grid.of(8, signed=False),
        symmetric=False,
        per_channel=False,
        method="min_max",
        minimum_range=1e-4,
    ),
    bias_bits=32,
    accumulator_bits=28,
    wide_bits=16,
    placement=Placement(
        mode="tensors",
        ops=frozenset(),
        fused_activations=frozenset({"Clip", "Relu"}),
        fusing_ops=frozenset({"Add", "Conv", "ConvTranspose", "Gemm", "MatMul"}),
        # A Relu that nothing absorbs shares the scale of its input, negative half and all.
        shared_scale=frozenset({"AveragePool", "Concat", "Relu", "Resize", "Upsample"}),
        passes_through=MOVES_VALUES | {"ReduceMax", "ReduceMin", "TopK"},
        whole=frozenset({"first_operand", "grouped"}),
    ),
    qdq="qdq-qnn",
    takes=say("takes.qnn_htp"),
    sources=(
        Source(
            "weights symmetric, per output channel of Conv, ConvTranspose, Gemm and MatMul; "
            "activations asymmetric; what is fused with what",
            "AIMET, quantsim_config/htp_quantsim_config_v75.json (v73 to v85 agree)",
            "2.42",
        ),
        Source(
            "one scale across Concat, AveragePool, Relu, Resize; ops that keep values on their "
            "grid",
            "AIMET, aimet_onnx/quantsim.py, common/onnx/_utils.py",
            "2.42",
        ),
        Source(
            "a convolution takes Relu and a Clip from zero up into its node unit, and is rounded "
            "before PRelu, LeakyRelu and HardSwish; one scale for a grouped ConvTranspose and for "
            "a constant first operand of MatMul; GELU as one op",
            "measured on the emulation of onnxruntime-qnn",
            "2.7",
        ),
        Source(
            "int32 bias with scale s_x * s_w, added to the accumulator",
            "AIMET, aimet_onnx/quantsim.py, notes on HTP accumulators",
            "2.42",
        ),
        Source(
            "both weights of an LSTM, with one scale for all gates, which are cut out of them",
            "ONNX Runtime, core/providers/qnn/builder/opbuilder/lstm_op_builder.cc",
            "1.23",
        ),
        Source(
            "a bias of 29 bits or more moves those of other channels by one",
            "measured on the emulation of onnxruntime-qnn",
            "2.7",
        ),
        Source(
            "min-max is the default of --act_quantizer_calibration and its twin for parameters",
            "Qualcomm AI Engine Direct documentation, qnn-onnx-converter",
            "2.x",
        ),
        Source(
            "ranges of at least 0.0001",
            "ONNX Runtime, quantization/execution_providers/qnn/quant_config.py",
            "1.32",
        ),
    ),
    notes={
        "per channel": "off by default in the converter: --use_per_channel_quantization",
        "bias": "the converter defaults to 8 bits; give --bias_bitwidth 32",
        "MatMul of two activations": "V66 to V69 take the second only as int8 symmetric",
        "fixed ranges": "the platform holds Sigmoid and Softmax to 0..1 and Tanh to -1..1 whatever "
        "was calibrated; that is not simulated",
        "recurrent ops": "states inside an LSTM, GRU or RNN and its gates are not rounded in the "
        "simulation; its inputs, outputs and weights are",
        "fusion": "AIMET's configuration has HardSwish, LeakyRelu and PRelu absorbed by Conv; Q/DQ "
        "files with nothing rounded between the two are refused, so here it is",
    },
)
