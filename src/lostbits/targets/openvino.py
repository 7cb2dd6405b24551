"""OpenVINO on CPU, as NNCF prepares ONNX models for it."""

from lostbits.grid import Grid
from lostbits.language import say
from lostbits.target import REGIONS, SIGNED, Placement, Rule, Source, Target
from lostbits.targets.movement import MOVES_VALUES

OPENVINO = Target(
    name="openvino",
    title=say("platform.openvino"),
    # NNCF's weights have 255 levels, -127..127: the same scale, amax/127, and the same codes.
    weights=Rule(Grid.of(8, signed=True), symmetric=True, per_channel=True, method="min_max"),
    activations=Rule(
        Grid.of(8, signed=False), symmetric=False, per_channel=False, method="min_max"
    ),
    bias_bits=None,
    placement=Placement(
        mode="inputs",
        ops=frozenset(
            {
                "Add",
                "AveragePool",
                "Conv",
                "ConvTranspose",
                "Gemm",
                "GlobalAveragePool",
                "MatMul",
                "Max",
                "Min",
                "Mul",
                "Pow",
                "Reciprocal",
                "Resize",
                "Sub",
                "Sum",
            }
        ),
        fused_activations=frozenset(
            {
                "Clip",
                "Elu",
                "HardSigmoid",
                "HardSwish",
                "LeakyRelu",
                "PRelu",
                "Relu",
                "Selu",
                "Sigmoid",
                "ThresholdedRelu",
            }
        ),
        fusing_ops=frozenset(
            {
                "Add",
                "BatchNormalization",
                "Conv",
                "ConvTranspose",
                "Div",
                "Gemm",
                "MatMul",
                "Mul",
                "Sub",
            }
        ),
        shared_scale=frozenset({"Concat"}),
        passes_through=MOVES_VALUES | {"GlobalMaxPool", "ReduceMax"},
        fused_residual_add=True,
        in_float=REGIONS | {SIGNED},
        tables=True,
    ),
    qdq="qdq-openvino",
    takes=say("takes.openvino"),
    sources=(
        Source(
            "embedding tables are stored in 8 bits, with scales of their own",
            "NNCF, onnx/graph/metatypes/onnx_metatypes.py, ONNXEmbeddingMetatype",
            "3.4",
        ),
        Source(
            "which ops have their inputs quantized, which pass values through",
            "NNCF, onnx/graph/metatypes/groups.py and common/hardware/setups/cpu.py",
            "3.4",
        ),
        Source(
            "linear ops absorb arithmetic, both absorb activations",
            "NNCF, onnx/hardware/fused_patterns.py",
            "3.4",
        ),
        Source(
            "in transformers only what matrix products read is quantized: Add, Mul, Sub, Div, Pow, "
            "Sqrt and means are left out, as layer normalization and Softmax are",
            "NNCF, quantization/algorithms/min_max/onnx_backend.py, get_ignored_metatypes, "
            "model_type TRANSFORMER",
            "3.4",
        ),
        Source(
            "weights symmetric per channel, activations asymmetric per tensor, Concat unified",
            "NNCF, common/hardware/setups/cpu.py, preset MIXED",
            "3.4",
        ),
        Source(
            "LSTM, GRU and RNN of ONNX files stay in float: what no group names is not quantized",
            "NNCF, onnx/quantization/default_quantization.py",
            "3.4",
        ),
        Source(
            "no pair behind factors of both signs, with a limit or without: 2026.4 lets the ends "
            "of the range change places",
            "measured; OpenVINO, src/common/low_precision_transformations "
            "(FuseMultiplyToFakeQuantize)",
            "2026.4",
        ),
        Source(
            "bias is not quantized",
            "NNCF, quantization/algorithms/min_max/algorithm.py",
            "3.4",
        ),
    ),
    notes={
        "recurrent ops": "NNCF on an OpenVINO model does quantize LSTMSequence and GRUSequence "
        "(openvino/graph/metatypes/groups.py); Q/DQ files are ONNX",
        "preset": "NNCF takes MIXED (asymmetric activations, as here) for transformers and "
        "PERFORMANCE (symmetric) otherwise",
        "range": "NNCF averages the extremes of the samples; min_max takes those of all",
        "bf16": "processors with AMX run even the float model in bf16 unless "
        "INFERENCE_PRECISION_HINT is f32",
    },
)
