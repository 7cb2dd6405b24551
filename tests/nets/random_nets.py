"""Random networks over about 60 kinds of ops and opsets 11 to 21, always the same for a seed.

Every network is valid by construction: ``random_net`` walks from images to sequences, or to rows,
and appends at each step one of the blocks that the shapes at hand allow.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSETS = range(11, 22)
_IR_VERSIONS = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
_BATCH = "batch"
Shape = tuple[int, ...]  # without the batch
Samples = dict[str, NDArray[np.float32]]


def random_net(seed: int, opset: int | None = None) -> onnx.ModelProto:
    """A network of up to about 25 nodes, with one or two inputs and one to three outputs.

    Args:
        seed: Eleven in a row have all opsets of ``OPSETS``.
        opset: Another one than the seed's.
    """
    version = OPSETS[seed % len(OPSETS)] if opset is None else opset
    walk = _Walk(np.random.default_rng(seed), version)
    _walked(walk)
    return walk.model()


def samples_for(model: onnx.ModelProto, n: int, seed: int) -> Samples:
    """Normal samples by the names of the inputs; the batch is the first axis."""
    random = np.random.default_rng([seed, 1])
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim[1:]] for v in model.graph.input
    }
    return {name: random.normal(size=(n, *s)).astype(np.float32) for name, s in shapes.items()}


@final
class _Walk:
    """A graph under construction, and the value that it has come to."""

    def __init__(self, random: np.random.Generator, opset: int) -> None:
        self.random, self.opset = random, opset
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: dict[str, Shape] = {}
        self.values: dict[str, Shape] = {}  # results of nodes, for branches and outputs
        self.x, self.shape = "", Shape()
        self.style = self.pick(["{}{}", "/model/{}_{}/output", "{}{}:0", "block.{}.{}"])

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.random.integers(len(options)))]

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def enter(self, name: str, shape: Shape) -> None:
        self.inputs[name] = self.shape = shape
        self.x = name

    def constant(self, array: object, kind: type[np.generic] = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, kind), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def weight(self, *shape: int, fan: int) -> str:
        """Normal, and here and there with channels of unlike size."""
        array = self.random.normal(0, np.sqrt(1.5 / fan), shape)
        if self.chance(0.3):
            array *= np.exp(self.random.uniform(-2, 1, (shape[0], *[1] * (len(shape) - 1))))
        return self.constant(array)

    def vector(self, size: int, low: float = -0.3, high: float = 0.3) -> str:
        return self.constant(self.random.uniform(low, high, size))

    def node(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> Any:
        """Append one; the name of its output, or the names of several."""
        number = len(self.nodes)
        names = [self.style.format(op, f"{number}_{i}" if i else number) for i in range(outputs)]
        self.nodes.append(
            helper.make_node(op, list(inputs), names, name=f"{op}_{number}", **attributes)
        )
        return names[0] if outputs == 1 else names

    def step(self, op: str, *others: str, shape: Shape | None = None, **attributes: Any) -> None:
        """Append a node that reads the value at hand first, and go on from its result."""
        self.move(self.node(op, [self.x, *others], **attributes), shape)

    def move(self, x: str, shape: Shape | None = None) -> None:
        self.x, self.shape = x, self.shape if shape is None else shape
        self.values[x] = self.shape

    def axes(self, op: str, axes: Sequence[int], since: int, shape: Shape, **rest: Any) -> None:
        """An op whose axes became an input with opset ``since``."""
        if self.opset < since:
            self.step(op, shape=shape, axes=list(axes), **rest)
        else:
            self.step(op, self.integers(*axes), shape=shape, **rest)

    def fitting(self, shape: Shape) -> list[str]:
        """Earlier values of a shape, others than the one at hand."""
        return [n for n, s in self.values.items() if s == shape and n != self.x]

    def model(self) -> onnx.ModelProto:
        """With the value at hand as output, and perhaps values on the way to it."""
        others = [n for n in self.values if n != self.x]
        extra = [self.pick(others)] if others and self.chance(0.2) else []
        names = list(dict.fromkeys([*extra, self.x] if self.chance(0.5) else [self.x, *extra]))
        graph = helper.make_graph(
            self.nodes,
            "net",
            [_info(n, s) for n, s in self.inputs.items()],
            [_info(n, self.values[n]) for n in names],
            self.constants,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSIONS[self.opset])


def _info(name: str, shape: Shape) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [_BATCH, *shape])


def _walked(walk: _Walk) -> None:
    kind = walk.pick(["image", "image", "image", "sequence", "rows"])
    if kind == "rows":
        walk.enter("x", (int(walk.random.integers(4, 13)),))
        walk.move(walk.x)
        walk.values.clear()  # an input is no output
        _rows(walk)
        return
    if kind == "image":
        side = walk.pick([6, 8, 12])
        walk.enter("x", (walk.pick([1, 3, 4]), side, side))
        _images(walk)
        if walk.chance(0.25):
            return
    else:
        walk.enter("x", (walk.pick([5, 8]), walk.pick([6, 8])))
    if kind == "sequence" or walk.chance(0.25):
        _sequences(walk)
    if walk.chance(0.85):
        _rows(walk)


def _images(walk: _Walk) -> None:
    _conv(walk)
    for _ in range(walk.random.integers(2, 7)):
        if walk.chance(0.15) and "side" not in walk.inputs:
            _second_input(walk)
        walk.pick(_IMAGE)(walk)
        if walk.chance(0.6):
            _activation(walk)


def _sequences(walk: _Walk) -> None:
    if len(walk.shape) == 3:
        _image_to_sequence(walk)
    _projection(walk)
    for _ in range(walk.random.integers(1, 5)):
        walk.pick(_SEQUENCE)(walk)
        if walk.chance(0.4):
            _activation(walk)


def _rows(walk: _Walk) -> None:
    if len(walk.shape) > 1:
        _to_row(walk)
    _gemm(walk)
    for _ in range(walk.random.integers(0, 4)):
        walk.pick(_ROW)(walk)
        if walk.chance(0.6):
            _activation(walk)
    if walk.chance(0.3):
        walk.step(walk.pick(["Softmax", "LogSoftmax", "Sigmoid"]))


# Activation functions and other ops that work on any shape.


def _activation(walk: _Walk) -> None:
    walk.pick([f for f, since in _ACTIVATIONS if since <= walk.opset])(walk)


def _plain(op: str, **attributes: Any) -> Callable[[_Walk], None]:
    return lambda walk: walk.step(op, **attributes)


def _clip(walk: _Walk) -> None:
    low, high = walk.pick([(0, 6), (-1, 1), (0, None), (None, 4)])
    ends = ["" if end is None else walk.constant(float(end)) for end in (low, high)]
    walk.step("Clip", *ends[: 1 if high is None else 2])


def _prelu(walk: _Walk) -> None:
    slopes = walk.random.uniform(0.05, 0.5, walk.shape[0])
    rank = len(walk.shape)
    walk.step("PRelu", walk.constant(slopes.reshape(-1, *[1] * (rank - 1)) if rank > 1 else 0.2))


def _gated(walk: _Walk) -> None:
    """x * sigmoid(x), or as HardSwish spelt out."""
    before = walk.x
    walk.step(walk.pick(["Sigmoid", "HardSigmoid"]))
    walk.move(walk.node("Mul", [before, walk.x]))


def _erf_gelu(walk: _Walk) -> None:
    before = walk.x
    walk.step("Div", walk.constant(np.sqrt(2)))
    walk.step("Erf")
    walk.step("Add", walk.constant(1.0))
    walk.move(walk.node("Mul", [before, walk.x]))
    walk.step("Mul", walk.constant(0.5))


def _power(walk: _Walk) -> None:
    walk.step("Tanh")
    walk.step("Pow", walk.constant(2.0))


def _root(walk: _Walk) -> None:
    walk.step("Abs")
    walk.step("Add", walk.constant(0.1))
    walk.step("Sqrt")


def _decay(walk: _Walk) -> None:
    walk.step("Abs")
    walk.step("Neg")
    walk.step("Exp")


_ACTIVATIONS: Sequence[tuple[Callable[[_Walk], None], int]] = (
    *[(_plain("Relu"), 11)] * 5,
    *[(_clip, 11)] * 3,
    (_plain("LeakyRelu", alpha=0.1), 11),
    (_plain("Sigmoid"), 11),
    (_plain("Tanh"), 11),
    (_plain("Elu"), 11),
    (_plain("Selu"), 11),
    (_plain("Softplus"), 11),
    (_plain("Softsign"), 11),
    (_plain("HardSigmoid"), 11),
    (_plain("ThresholdedRelu", alpha=0.2), 11),
    (_plain("Sin"), 11),
    (_plain("Identity"), 11),
    (_plain("Dropout"), 11),
    (_plain("Celu", alpha=1.5), 12),
    (_plain("HardSwish"), 14),
    (_plain("Mish"), 18),
    (_plain("Gelu"), 20),
    (_prelu, 11),
    (_gated, 11),
    (_erf_gelu, 11),
    (_power, 11),
    (_root, 11),
    (_decay, 11),
)


def _residual(walk: _Walk) -> None:
    """With an earlier value of the same shape, or with what one more block makes of it."""
    others = walk.fitting(walk.shape)
    before = walk.x
    if others and walk.chance(0.6):
        other = walk.pick(others)
    else:
        _activation(walk)
        other = walk.x
    walk.move(walk.node(walk.pick(["Add", "Add", "Sub", "Mul", "Max", "Min"]), [before, other]))


def _scaled(walk: _Walk) -> None:
    """One number a channel, or one for all."""
    rank = len(walk.shape)
    size = (walk.shape[0], *[1] * (rank - 1)) if rank == 3 else (walk.shape[-1],)
    factors = walk.random.uniform(0.5, 1.5, size if walk.chance(0.7) else ())
    walk.step(walk.pick(["Mul", "Div", "Add", "Sub"]), walk.constant(factors))


# Blocks for images: channels, height, width.


def _conv(walk: _Walk) -> None:
    channels, height, width = walk.shape
    kernel = walk.pick([1, 3, 3, 5]) if min(height, width) > 4 else walk.pick([1, 3])
    dilation = walk.pick([1, 1, 1, 2]) if min(height, width) > 4 and kernel == 3 else 1
    pad = dilation * (kernel // 2)
    stride = walk.pick([1, 1, 2]) if min(height, width) >= 6 else 1
    group = walk.pick([g for g in (1, 1, channels, 2) if channels % g == 0])
    outputs = channels if group == channels else group * int(walk.random.integers(2, 5))
    inputs = channels // group
    weight = walk.weight(outputs, inputs, kernel, kernel, fan=inputs * kernel**2)
    bias = [walk.vector(outputs)] if walk.chance(0.8) else []
    extents = (1 + (size - 1) // stride for size in (height, width))
    details = {"dilations": [dilation] * 2} if dilation > 1 or walk.chance(0.3) else {}
    walk.step(
        "Conv",
        weight,
        *bias,
        shape=(outputs, *extents),
        kernel_shape=[kernel] * 2,
        pads=[pad] * 4,
        strides=[stride] * 2,
        group=group,
        **details,
    )


def _conv_batch_norm(walk: _Walk) -> None:
    _conv(walk)
    size = walk.shape[0]
    walk.step(
        "BatchNormalization",
        walk.vector(size, 0.5, 1.5),
        walk.vector(size),
        walk.vector(size),
        walk.vector(size, 0.5, 1.5),
    )


def _conv_transpose(walk: _Walk) -> None:
    channels, height, width = walk.shape
    stride = walk.pick([1, 2]) if height <= 6 else 1
    outputs = int(walk.random.integers(2, 6))
    weight = walk.weight(channels, outputs, stride, stride, fan=channels)
    bias = [walk.vector(outputs)] if walk.chance(0.6) else []
    shape = (outputs, height * stride, width * stride)
    walk.step(
        "ConvTranspose", weight, *bias, shape=shape, kernel_shape=[stride] * 2, strides=[stride] * 2
    )


def _pool(walk: _Walk) -> None:
    channels, height, width = walk.shape
    if min(height, width) < 4:
        return
    shape = (channels, height // 2, width // 2)
    details = {"kernel_shape": [2, 2], "strides": [2, 2]}
    walk.step(walk.pick(["MaxPool", "AveragePool"]), shape=shape, **details)


def _window(walk: _Walk) -> None:
    op = walk.pick(["MaxPool", "AveragePool", "LpPool"])
    walk.step(op, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])


def _resize(walk: _Walk) -> None:
    channels, height, width = walk.shape
    if height > 6 or height != width:
        return
    mode = walk.pick(["nearest", "linear"])
    scales = walk.constant([1, 1, 2, 2])
    empty = walk.constant([], np.float32) if walk.opset < 13 else ""
    details = {"coordinate_transformation_mode": "asymmetric"}
    if mode == "nearest":
        details["nearest_mode"] = "floor"
    shape = (channels, 2 * height, 2 * width)
    walk.step("Resize", empty, scales, shape=shape, mode=mode, **details)


def _squeeze_excite(walk: _Walk) -> None:
    before, shape = walk.x, walk.shape
    channels = shape[0]
    walk.step("GlobalAveragePool", shape=(channels, 1, 1))
    weight = walk.weight(channels, channels, 1, 1, fan=channels)
    walk.step("Conv", weight, walk.vector(channels))
    walk.step(walk.pick(["Sigmoid", "HardSigmoid"]))
    walk.move(walk.node("Mul", [before, walk.x]), shape)


def _inception(walk: _Walk) -> None:
    """Two branches side by side."""
    before, shape = walk.x, walk.shape
    channels, height, width = shape
    branches, outputs = [], 0
    for _ in range(2):
        walk.x, walk.shape = before, shape
        size = int(walk.random.integers(2, 5))
        weight = walk.weight(size, channels, 1, 1, fan=channels)
        walk.step("Conv", weight, walk.vector(size), shape=(size, height, width))
        _activation(walk)
        branches.append(walk.x)
        outputs += size
    walk.move(walk.node("Concat", branches, axis=1), (outputs, height, width))


def _split(walk: _Walk) -> None:
    channels, height, width = walk.shape
    if channels % 2:
        return
    half = channels // 2
    sizes = {"split": [half, half]} if walk.opset < 13 else {}
    others = [] if walk.opset < 13 else [walk.integers(half, half)]
    one, other = walk.node("Split", [walk.x, *others], 2, axis=1, **sizes)
    shape = (half, height, width)
    walk.move(other, shape)
    walk.move(one, shape)
    _activation(walk)
    walk.move(walk.node("Concat", [other, walk.x], axis=1), (channels, height, width))


def _slice(walk: _Walk) -> None:
    channels, height, width = walk.shape
    if min(height, width) < 4:
        return
    ends = [walk.integers(*v) for v in ((1, 0), (height, width - 1), (2, 3))]
    walk.step("Slice", *ends, shape=(channels, height - 1, width - 1))


def _pad(walk: _Walk) -> None:
    channels, height, width = walk.shape
    mode = walk.pick(["constant", "reflect", "edge"]) if min(height, width) > 1 else "constant"
    shape = (channels, height + 1, width + 1)
    walk.step("Pad", walk.integers(0, 0, 1, 0, 0, 0, 0, 1), shape=shape, mode=mode)


def _depth_to_space(walk: _Walk) -> None:
    channels, height, width = walk.shape
    if channels % 4 == 0 and height <= 6:
        shape = (channels // 4, height * 2, width * 2)
        walk.step("DepthToSpace", shape=shape, blocksize=2, mode=walk.pick(["DCR", "CRD"]))
    elif height % 2 == 0 and width % 2 == 0 and channels <= 4:
        walk.step("SpaceToDepth", shape=(channels * 4, height // 2, width // 2), blocksize=2)


def _shuffle(walk: _Walk) -> None:
    """Reshape, Transpose, Reshape."""
    channels, height, width = walk.shape
    if channels % 2:
        return
    grouped = (2, channels // 2, height, width)
    walk.step("Reshape", walk.integers(-1, *grouped), shape=grouped)
    turned = (channels // 2, 2, height, width)
    walk.step("Transpose", shape=turned, perm=[0, 2, 1, 3, 4])
    back = (channels, height, width)
    walk.step("Reshape", walk.integers(-1, *back), shape=back)


def _instance_norm(walk: _Walk) -> None:
    size = walk.shape[0]
    if walk.shape[1] * walk.shape[2] < 4:
        return
    walk.step("InstanceNormalization", walk.vector(size, 0.5, 1.5), walk.vector(size))


def _turn(walk: _Walk) -> None:
    channels, height, width = walk.shape
    walk.step("Transpose", shape=(channels, width, height), perm=[0, 1, 3, 2])


def _second_input(walk: _Walk) -> None:
    """Another input of the shape at hand, added."""
    walk.inputs["side"] = walk.shape
    walk.move(walk.node("Add", [walk.x, "side"]))


_IMAGE: Sequence[Callable[[_Walk], None]] = (
    *[_conv] * 6,
    *[_conv_batch_norm] * 2,
    *[_residual] * 3,
    _conv_transpose,
    _pool,
    _pool,
    _window,
    _resize,
    _squeeze_excite,
    _inception,
    _split,
    _slice,
    _pad,
    _depth_to_space,
    _shuffle,
    _instance_norm,
    _turn,
    _scaled,
)


# Blocks for sequences: steps, features.


def _image_to_sequence(walk: _Walk) -> None:
    """Reshape then Transpose, as vision transformers do."""
    channels, height, width = walk.shape
    steps = height * width
    walk.step("Reshape", walk.integers(0, channels, -1), shape=(channels, steps))
    if walk.chance(0.8):
        walk.step("Transpose", shape=(steps, channels), perm=[0, 2, 1])


def _projection(walk: _Walk) -> None:
    steps, features = walk.shape
    outputs = int(walk.random.integers(3, 9))
    walk.step("MatMul", walk.weight(features, outputs, fan=features), shape=(steps, outputs))
    if walk.chance(0.7):
        walk.step("Add", walk.vector(outputs))


def _layer_norm(walk: _Walk) -> None:
    size = walk.shape[-1]
    if walk.opset >= 17 and walk.chance(0.5):
        weights = walk.vector(size, 0.5, 1.5), walk.vector(size)
        walk.step("LayerNormalization", *weights, axis=-1)
        return
    shape, before = walk.shape, walk.x
    walk.axes("ReduceMean", [-1], 18, (*shape[:-1], 1), keepdims=1)
    walk.move(walk.node("Sub", [before, walk.x]), shape)
    centred = walk.x
    walk.step("Pow", walk.constant(2.0))
    walk.axes("ReduceMean", [-1], 18, (*shape[:-1], 1), keepdims=1)
    walk.step("Add", walk.constant(1e-2))
    walk.step("Sqrt")
    walk.move(walk.node("Div", [centred, walk.x]), shape)
    walk.step("Mul", walk.vector(size, 0.5, 1.5))
    walk.step("Add", walk.vector(size))


def _attention(walk: _Walk) -> None:
    """One head; its products multiply two activations."""
    source, (steps, features) = walk.x, walk.shape
    parts = []
    for _ in range(3):
        walk.move(source, (steps, features))
        walk.step("MatMul", walk.weight(features, features, fan=features))
        parts.append(walk.x)
    query, key, value = parts
    turned = walk.node("Transpose", [key], perm=[0, 2, 1])
    walk.move(walk.node("MatMul", [query, turned]), (steps, steps))
    walk.step("Div", walk.constant(np.sqrt(features)))
    walk.step("Softmax", axis=-1 if walk.opset >= 13 else 2)
    walk.move(walk.node("MatMul", [walk.x, value]), (steps, features))


def _gather(walk: _Walk) -> None:
    steps, features = walk.shape
    chosen = walk.random.permutation(steps)[: max(2, steps // 2)]
    walk.step("Gather", walk.integers(*chosen), shape=(len(chosen), features), axis=1)


def _swap(walk: _Walk) -> None:
    walk.step("Transpose", shape=walk.shape[::-1], perm=[0, 2, 1])


def _lift(walk: _Walk) -> None:
    """An axis more, a convolution along the steps, and the axis away again."""
    steps, features = walk.shape
    walk.axes("Unsqueeze", [1], 13, (1, steps, features))
    weight = walk.weight(1, 1, 3, 1, fan=3)
    walk.step("Conv", weight, walk.vector(1), kernel_shape=[3, 1], pads=[1, 0, 1, 0])
    walk.axes("Squeeze", [1], 13, (steps, features))


def _conv_1d(walk: _Walk) -> None:
    channels, length = walk.shape
    outputs = int(walk.random.integers(2, 7))
    weight = walk.weight(outputs, channels, 3, fan=3 * channels)
    shape = (outputs, length)
    walk.step("Conv", weight, walk.vector(outputs), shape=shape, kernel_shape=[3], pads=[1, 1])


def _joined(walk: _Walk) -> None:
    """Concat with an earlier value that fits along the last axis, or with itself."""
    fits = [n for n, s in walk.values.items() if len(s) == 2 and s[0] == walk.shape[0]]
    other = walk.pick(fits) if fits else walk.x
    width = walk.shape[1] + (walk.values[other][1] if fits else walk.shape[1])
    shape = (walk.shape[0], width)
    walk.move(walk.node("Concat", [walk.x, other], axis=2), shape)


_SEQUENCE: Sequence[Callable[[_Walk], None]] = (
    *[_projection] * 3,
    *[_layer_norm] * 2,
    *[_attention] * 2,
    *[_residual] * 2,
    _gather,
    _swap,
    _lift,
    _conv_1d,
    _joined,
    _scaled,
)


# Blocks for rows: features.


def _to_row(walk: _Walk) -> None:
    """By pooling, by a mean, or by laying everything in a row."""
    shape = walk.shape
    size = int(np.prod(shape))
    if size > 64 or walk.chance(0.4):
        op = walk.pick(["ReduceMean", "ReduceMax", "ReduceMean", "Pool"])
        if op == "Pool" and len(shape) == 3:
            walk.step(walk.pick(["GlobalAveragePool", "GlobalMaxPool"]), shape=(shape[0], 1, 1))
            walk.step("Flatten", shape=(shape[0],))
            return
        op = "ReduceMean" if op == "Pool" else op
        axes = [2, 3] if len(shape) == 3 else [walk.pick([1, 2])]
        left = tuple(s for axis, s in enumerate(shape, 1) if axis not in axes)
        walk.axes(op, axes, 18, left, keepdims=0)
    elif walk.chance(0.5):
        walk.step("Flatten", shape=(size,))
    else:
        walk.step("Reshape", walk.integers(-1, size), shape=(size,))


def _gemm(walk: _Walk) -> None:
    (inputs,) = walk.shape
    outputs = int(walk.random.integers(3, 10))
    if walk.chance(0.25):
        walk.step("MatMul", walk.weight(inputs, outputs, fan=inputs), shape=(outputs,))
        if walk.chance(0.7):
            walk.step("Add", walk.vector(outputs))
        return
    turned = int(walk.chance(0.6))
    shape = (outputs, inputs) if turned else (inputs, outputs)
    bias = [walk.vector(outputs)] if walk.chance(0.85) else []
    weight = walk.weight(*shape, fan=inputs)
    walk.step("Gemm", weight, *bias, shape=(outputs,), transB=turned)


def _column(walk: _Walk) -> None:
    """Every second feature."""
    (size,) = walk.shape
    if size > 3:
        ends = [walk.integers(v) for v in (0, size, 1, 2)]
        walk.step("Slice", *ends, shape=((size + 1) // 2,))


_ROW: Sequence[Callable[[_Walk], None]] = (*[_gemm] * 4, *[_residual] * 2, _scaled, _column)


def ops_of(seeds: Sequence[int]) -> Mapping[str, int]:
    """How often each op occurs in the networks of these seeds."""
    counts: dict[str, int] = {}
    for seed in seeds:
        for node in random_net(seed).graph.node:
            counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return counts
