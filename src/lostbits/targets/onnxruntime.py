"""ONNX Runtime on CPU, as its static quantizer writes Q/DQ models."""

from lostbits.grid import Grid
from lostbits.language import say
from lostbits.target import REGIONS, Placement, Rule, Source, Target
from lostbits.targets.movement import MOVES_VALUES

# Read from onnxruntime/quantization/registry.py: the op types that quantize_static takes on by
# itself, without those that move values, those that are removed (Relu, Clip), and Where, which it
# quantizes only between inputs that are quantized already.
_OPS = frozenset(
    {
        "Add",
        "ArgMax",
        "AveragePool",
        "BatchNormalization",
        "Concat",
        "Conv",
        "ConvTranspose",
        "CumSum",
        "Gemm",
        "GlobalAveragePool",
        "InstanceNormalization",
        "LayerNormalization",
        "LeakyRelu",
        "MatMul",
        "Mul",
        "Resize",
        "Sigmoid",
        "Softmax",
    }
)

ONNXRUNTIME = Target(
    name="onnxruntime",
    title=say("platform.onnxruntime"),
    # QuantizeLinear's int8 is -128..127 and cannot be narrower, so that is the grid. The quantizer
    # sets the scale for -127..127, amax/127, as affine_from_range does: -128 is a code that the
    # largest weight, exactly 127 steps out, never reaches.
    weights=Rule(Grid.of(8, signed=True), symmetric=True, per_channel=True, method="min_max"),
    activations=Rule(
        Grid.of(8, signed=False), symmetric=False, per_channel=False, method="min_max"
    ),
    bias_bits=32,
    wide_bits=16,
    placement=Placement(
        mode="inputs_outputs",
        ops=_OPS,
        fused_activations=frozenset({"Clip", "Relu"}),
        # With an asymmetric uint8 output, clamping to the codes is the activation: the quantizer
        # drops it behind any op whose output it quantizes.
        fusing_ops=_OPS,
        shared_scale=frozenset({"AveragePool", "Resize"}),
        passes_through=MOVES_VALUES | {"TopK"},
        in_float=REGIONS,
        tables=True,
        gives_float=frozenset({"Gemm", "MatMul"}),
    ),
    takes=say("takes.onnxruntime"),
    sources=(
        Source(
            "embedding tables are stored in 8 bits",
            "ONNX Runtime, quantization/operators/gather.py (GatherQuant, QDQGather)",
            "1.32",
        ),
        Source(
            "which ops are quantized, and which keep the scale of their input",
            "ONNX Runtime, quantization/registry.py, operators/direct_q8.py",
            "1.32",
        ),
        Source(
            "normalization, attention's Softmax, GELU and residuals run as fused float kernels; "
            "MatMul and Gemm of integers hand out float (MatMulIntegerToFloat, QGemm)",
            "ONNX Runtime, core/optimizer (layer_norm_fusion, skip_layer_norm_fusion, gelu_fusion, "
            "qdq_transformer/selectors_actions); the optimised graph",
            "1.32",
        ),
        Source(
            "int8 weights symmetric with scale amax/127; uint8 activations asymmetric; min-max",
            "ONNX Runtime, quantization/quant_utils.py, quantize.py (quantize_static)",
            "1.32",
        ),
        Source(
            "int32 bias with scale s_x * s_w and zero point 0",
            "ONNX Runtime, quantization/qdq_quantizer.py, quantize_bias_tensor",
            "1.32",
        ),
        Source(
            "LSTM stays in float: quantize_dynamic alone has a rule for it, GRU and RNN have none",
            "ONNX Runtime, quantization/registry.py, QDQRegistry and IntegerOpsRegistry",
            "1.32",
        ),
        Source(
            "rounding half to even, saturation",
            "ONNX Operators, QuantizeLinear",
            "opset 21",
        ),
    ),
    notes={
        "defaults": "quantize_static(activation_type=QUInt8, weight_type=QInt8, per_channel=True); "
        "per_channel is off by default",
        "saturation": "without VNNI, uint8 x int8 kernels of x86 add pairs in 16 bits and may "
        "saturate; reduce_range=True takes 7-bit weights",
        "zero point": "rounded half to even by the quantizer, half away from zero here; they "
        "differ only where -lo/scale ends in exactly .5",
    },
)
