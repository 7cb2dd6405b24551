"""NVIDIA TensorRT, as calibrated by itself up to 10.x and by Q/DQ nodes since."""

from lostbits.grid import Grid
from lostbits.language import say
from lostbits.target import REGIONS, Placement, Rule, Source, Target
from lostbits.targets.movement import MOVES_VALUES

_MODEL_OPTIMIZER = "NVIDIA Model Optimizer, modelopt/onnx/quantization"

TENSORRT = Target(
    name="tensorrt",
    title=say("platform.tensorrt"),
    weights=Rule(Grid.of(8, signed=True), symmetric=True, per_channel=True, method="min_max"),
    activations=Rule(Grid.of(8, signed=True), symmetric=True, per_channel=False, method="entropy"),
    bias_bits=None,
    placement=Placement(
        mode="inputs",
        ops=frozenset(
            {
                "Add",
                "AveragePool",
                "BatchNormalization",
                "Clip",
                "Conv",
                "ConvTranspose",
                "Gemm",
                "GlobalAveragePool",
                "MatMul",
                "Mul",
            }
        ),
        fused_activations=frozenset({"Clip", "Relu"}),
        fusing_ops=frozenset(
            {"Add", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul", "Mul"}
        ),
        shared_scale=frozenset({"Concat"}),
        passes_through=MOVES_VALUES,
        fused_residual_add=True,
        in_float=REGIONS,
    ),
    qdq="qdq-tensorrt",
    takes=say("takes.tensorrt"),
    sources=(
        Source(
            "int8 codes -128..127, zero point 0, positive scales; activations per tensor, only "
            "weights per channel",
            "TensorRT, NvInfer.h, IQuantizeLayer; onnx-tensorrt, onnxOpImporters.cpp",
            "11.1",
        ),
        Source(
            "weights: per output channel, largest magnitude over 127",
            "TensorRT Developer Guide, Working with INT8",
            "8.x",
        ),
        Source(
            "activations: KL divergence, 2,048 bins, 128 levels, threshold (m + 1/2) bins",
            "Migacz, 8-bit Inference with TensorRT, GTC 2017 S7310; scales of published caches",
            "7 to 10",
        ),
        Source(
            "which inputs are quantized; bias stays float; Concat shares one scale",
            f"{_MODEL_OPTIMIZER}/int8.py, ort_utils.py, graph_utils.py",
            "0.47",
        ),
        Source(
            "attention's Softmax and layer normalization are partitions that are not quantized; "
            "GELU and the Adds around are fused into them",
            f"{_MODEL_OPTIMIZER}/int8.py, partitioning.py, "
            "find_non_quantizable_partitions_from_patterns",
            "0.47",
        ),
        Source(
            "LSTM, GRU and RNN, which become loops, have no calibration: float",
            "TensorRT, answer to issue 1572",
            "8.x",
        ),
        Source(
            "the Add of a residual takes the convolution's output unquantized",
            "TensorRT, tools/tensorflow-quantization, Adding custom Q/DQ cases",
            "10.16",
        ),
    ),
    notes={
        "weight axis": "0; 1 for ConvTranspose",
        "small convolutions": "fewer than 16 channels in or out mostly stay in float",
        "implicit mode": "caches, ranges and calibrators are gone since 11.0; use Q/DQ",
        "residual add": "which input of the Add is fused is TensorRT's choice; the one on the "
        "longer path is assumed",
    },
)
