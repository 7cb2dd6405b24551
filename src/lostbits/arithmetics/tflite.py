"""TensorFlow Lite's reference kernels, which LiteRT for Microcontrollers and CMSIS-NN equal."""

from lostbits.language import say
from lostbits.target import Arithmetic, Source

_KERNELS = "TensorFlow Lite, lite/kernels/internal"

TFLITE = Arithmetic(
    name="tflite",
    title=say("arithmetic.tflite"),
    requantization="fixed",
    rounding="half_up",
    twice=True,
    addition="fixed",
    mean="fixed",
    tables=frozenset({"HardSwish", "LeakyRelu", "Sigmoid", "Softmax", "Tanh"}),
    sources=(
        Source(
            "a multiplier of 32 bits and a shift, rounded after both",
            f"{_KERNELS}/common.h (MultiplyByQuantizedMultiplier); CMSIS-NN, "
            "arm_nnsupportfunctions.h (arm_nn_requantize)",
            "2.20; 7.0",
        ),
        Source(
            "Add at twice the wider scale, shifted by 20 bits",
            f"{_KERNELS}/reference/add.h; kernels/add.cc",
            "2.20",
        ),
        Source(
            "the sum of a mean is scaled before it is divided",
            f"{_KERNELS}/reference/integer_ops/mean.h",
            "2.20",
        ),
        Source(
            "activations of 8 bits by a table of 256 entries; of 16 bits by 513 and straight lines",
            f"{_KERNELS}/common.h (LUTPopulate, LUTLookup)",
            "2.20",
        ),
        Source(
            "Softmax in fixed point; its results are multiples of 1/256 or 1/32768",
            f"{_KERNELS}/reference/softmax.h; CMSIS-NN, arm_softmax_s8.c, arm_softmax_s16.c",
            "2.20; 7.0",
        ),
    ),
)
