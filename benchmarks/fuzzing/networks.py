"""Small models of many kinds, and samples for them; all are valid and run."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
SAMPLES = 8


@dataclass(frozen=True)
class Network:
    """A model and what goes into it.

    Attributes:
        model: The model.
        feeds: Samples of every input, along axis 0.
        classes: Size of the last axis of its first output.
    """

    model: onnx.ModelProto
    feeds: dict[str, Array]
    classes: int


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Array:
    """Values that are the same in every run."""
    values = np.random.default_rng((seed, *shape)).standard_normal(shape)
    return (scale * values).astype(np.float32)


def written(graph: str, opset: int = 17, **weights: Array) -> onnx.ModelProto:
    """The model of ``graph``, in ONNX text without a header."""
    header = f'<ir_version: 8, opset_import: ["" : {opset}, "local" : 1, "com.microsoft" : 1]>'
    model = onnx.parser.parse_model(header + graph)
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}{number}"
    return model


_CONVOLUTIONS = """g (float[N,3,8,8] x) => (float[N,4] y) {
    c = Conv <pads = [1,1,1,1], strides = [2,2]> (x, w, b)
    n = BatchNormalization (c, s, o, m, v)
    r = Relu(n)
    d = Conv <group = 6, pads = [1,1,1,1]> (r, dw, db)
    e = Conv (d, pw)
    a = Add(e, r)
    p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (a)
    q = GlobalAveragePool(p)
    f = Flatten(q)
    y = Gemm <transB = 1> (f, u, t)
}"""


def _convolutions(opset: int = 17) -> Network:
    model = written(
        _CONVOLUTIONS,
        opset, w=normal(6, 3, 3, 3, scale=0.3), b=normal(6, scale=0.1), s=np.abs(normal(6)) + 0.5,
        o=normal(6), m=normal(6), v=np.abs(normal(6)) + 0.5, dw=normal(6, 1, 3, 3, scale=0.4),
        db=normal(6), pw=normal(6, 6, 1, 1, scale=0.4), u=normal(4, 6, scale=0.4), t=normal(4),
    )  # fmt: skip
    return Network(model, {"x": normal(SAMPLES, 3, 8, 8)}, 4)


_DENSE = """g (float[N,6] x) => (float[N,5] y) {
    h = Gemm <transB = 1> (x, w, b)
    t = Tanh(h)
    m = MatMul(t, u)
    a = Add(m, c)
    y = Softmax <axis = -1> (a)
}"""


def _dense() -> Network:
    model = written(
        _DENSE,
        w=normal(8, 6), b=normal(8), u=normal(8, 5), c=normal(5),
    )  # fmt: skip
    return Network(model, {"x": normal(SAMPLES, 6)}, 5)


_ATTENTION = """g (float[N,4,8] x) => (float[N,4,8] y) {
    n = LayerNormalization <axis = -1> (x, g, h)
    q = MatMul(n, wq)
    k = MatMul(n, wk)
    v = MatMul(n, wv)
    kt = Transpose <perm = [0,2,1]> (k)
    s = MatMul(q, kt)
    d = Div(s, root)
    p = Softmax <axis = -1> (d)
    o = MatMul(p, v)
    r = Add(x, o)
    u = MatMul(r, w1)
    z = com.microsoft.Gelu(u)
    f = MatMul(z, w2)
    y = Add(r, f)
}"""


def _attention() -> Network:
    model = written(
        _ATTENTION,
        g=np.ones(8, np.float32), h=normal(8, scale=0.1), wq=normal(8, 8), wk=normal(8, 8, seed=1),
        wv=normal(8, 8, seed=2), w1=normal(8, 12), w2=normal(12, 8), root=np.array(2.8, np.float32),
    )  # fmt: skip
    return Network(model, {"x": normal(SAMPLES, 4, 8)}, 8)


_TWO_INPUTS = """g (float[N,4] x, int64[N,3] i) => (float[N,6] y, float[N,3] z) {
    e = Gather <axis = 0> (table, i)
    s = ReduceMean <axes = [1], keepdims = 0> (e)
    j = Concat <axis = 1> (x, s)
    k = MatMul(j, w)
    y = Sigmoid(k)
    z,
    z2 = Split <axis = 1> (k, parts)
    l = Mul(z2, z2)
}"""


def _two_inputs() -> Network:
    model = written(
        _TWO_INPUTS,
        table=normal(7, 5), w=normal(9, 6), parts=np.array([3, 3], np.int64),
    )  # fmt: skip
    tokens = np.random.default_rng(5).integers(0, 7, (SAMPLES, 3))
    return Network(model, {"x": normal(SAMPLES, 4), "i": tokens}, 6)


_IMAGES_UP = """g (float[N,2,6,6] x) => (float[N,2,8,8] y) {
    p = Pad <mode = "reflect"> (x, around)
    t = ConvTranspose <strides = [1,1]> (p, w, b)
    i = InstanceNormalization (t, s, o)
    l = LeakyRelu <alpha = 0.1> (i)
    u = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",
                nearest_mode = "floor"> (l, , , size)
    c = Clip(u, low, high)
    r = PRelu(c, slope)
    y = Slice(r, starts, ends, axes)
}"""


def _images_up() -> Network:
    model = written(
        _IMAGES_UP,
        around=np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), w=normal(2, 2, 2, 2), b=normal(2),
        s=np.ones(2, np.float32), o=normal(2), size=np.array([SAMPLES, 2, 9, 9], np.int64),
        low=np.array(-2.0, np.float32), high=np.array(2.0, np.float32), slope=normal(2, 1, 1),
        starts=np.array([0, 0], np.int64), ends=np.array([8, 8], np.int64),
        axes=np.array([2, 3], np.int64),
    )  # fmt: skip
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = SAMPLES
    return Network(model, {"x": normal(SAMPLES, 2, 6, 6)}, 8)


def _with_function() -> Network:
    header = '<ir_version: 8, opset_import: ["" : 17, "local" : 1]>'
    model = onnx.parser.parse_model(
        header
        + """g (float[N,4] x) => (float[N,4] y) {
            a = local.Swish <beta = 1.5> (x)
            b = MatMul(a, w)
            y = local.Twice(b)
        }
        <domain: "local", opset_import: ["" : 17]> Swish <beta> (i) => (o) {
            b = Constant <value_float: float = @beta> ()
            m = Mul(i, b)
            s = Sigmoid(m)
            o = Mul(i, s)
        }
        <domain: "local", opset_import: ["" : 17, "local" : 1]> Twice (i) => (o) {
            h = local.Swish <beta = 1.0> (i)
            o = local.Swish <beta = 2.0> (h)
        }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(normal(4, 4), "w"))
    return Network(model, {"x": normal(SAMPLES, 4)}, 4)


def _with_branches() -> Network:
    model = written(
        """g (float[N,4] x) => (float[N,4] y) {
            h = MatMul(x, w)
            s = ReduceSum <keepdims = 0> (h)
            c = Greater(s, zero)
            y = If (c) <
                then_branch = yes () => (float[N,4] a) { a = Relu(h) },
                else_branch = no () => (float[N,4] b) { b = Neg(h) }
            >
        }""",
        w=normal(4, 4), zero=np.array(0, np.float32),
    )  # fmt: skip
    return Network(model, {"x": normal(SAMPLES, 4)}, 4)


_RECURRENT = """g (float[N,5,4] x) => (float[N,3] y) {
    t = Transpose <perm = [1,0,2]> (x)
    o,
    h,
    c = LSTM <hidden_size = 6> (t, w, r, b)
    s = Squeeze(h, zero)
    y = MatMul(s, u)
}"""


def _recurrent() -> Network:
    model = written(
        _RECURRENT,
        w=normal(1, 24, 4), r=normal(1, 24, 6), b=normal(1, 48), u=normal(6, 3),
        zero=np.array([0], np.int64),
    )  # fmt: skip
    return Network(model, {"x": normal(SAMPLES, 5, 4)}, 3)


def _sparse() -> Network:
    model = written("g (float[N,6] x) => (float[N,4] y) { y = MatMul(x, w) }")
    values = numpy_helper.from_array(normal(5), "w")
    places = numpy_helper.from_array(np.array([0, 5, 9, 14, 23], np.int64), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [6, 4]))
    return Network(model, {"x": normal(SAMPLES, 6)}, 4)


_STATIC_BATCH = """g (float[4,6] x) => (float[4,6] y) {
    e = Exp(x)
    o = Add(e, one)
    l = Log(o)
    p = Pow(l, two)
    s = Sqrt(p)
    d = Div(x, s)
    c = Cos(d)
    w = Where(mask, c, d)
    n = ReduceL2 <axes = [1], keepdims = 1> (w)
    y = Div(w, n)
}"""


def _static_batch() -> Network:
    """A batch that is fixed, and a tree of elementwise operators."""
    model = written(
        _STATIC_BATCH,
        one=np.array(1, np.float32), two=np.array(2, np.float32),
        mask=np.array([1, 0, 1, 0, 1, 1], bool),
    )  # fmt: skip
    return Network(model, {"x": normal(SAMPLES, 6)}, 6)


_INTEGERS = """g (float[N,6] x) => (float[N,4] y) {
    q,
    s,
    z = DynamicQuantizeLinear(x)
    i = MatMulInteger(q, w, z)
    f = Cast <to = 1> (i)
    m = Mul(s, ws)
    y = Mul(f, m)
}"""


def _integers() -> Network:
    """Operators of integers, as quantizers write them."""
    model = written(
        _INTEGERS,
        w=np.random.default_rng(1).integers(0, 255, (6, 4), np.uint8),
        ws=np.array(0.02, np.float32),
    )  # fmt: skip
    return Network(model, {"x": normal(SAMPLES, 6)}, 4)


_QUANTIZED = """g (float[N,3,8,8] x) => (float[N,4,8,8] y) {
    q = QuantizeLinear(x, xs, xz)
    c = QLinearConv <pads = [1,1,1,1]> (q, xs, xz, w, ws, wz, ys, yz, b)
    d = DequantizeLinear(c, ys, yz)
    y = Relu(d)
}"""


def _quantized() -> Network:
    """Operators of quantized tensors, between Q and DQ."""
    codes = np.random.default_rng(1)
    model = written(
        _QUANTIZED,
        xs=np.array(0.03, np.float32), xz=np.array(128, np.uint8), ys=np.array(0.1, np.float32),
        yz=np.array(120, np.uint8), w=codes.integers(-127, 127, (4, 3, 3, 3), np.int8),
        ws=np.full(4, 0.01, np.float32), wz=np.zeros(4, np.int8),
        b=codes.integers(-999, 999, 4, np.int32),
    )  # fmt: skip
    return Network(model, {"x": normal(SAMPLES, 3, 8, 8)}, 8)


_UNARY = (
    "Relu", "Sigmoid", "Tanh", "Abs", "Neg", "Exp", "Softplus", "Erf", "HardSigmoid", "Elu",
    "Softsign", "Identity", "Sin", "Cos", "Atan", "Ceil", "Floor", "Round", "Sign", "HardSwish",
    "Celu", "Selu", "ThresholdedRelu", "Softmax", "LogSoftmax", "LeakyRelu", "Flatten", "Dropout",
    "Reciprocal", "Sqrt", "Log", "Tan", "Sinh", "Asinh", "Acosh", "Mish", "Gelu",
)  # fmt: skip
_BINARY = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Mean", "Sum", "PRelu")
_OPSETS = (11, 12, 13, 14, 16, 17, 18, 20, 21, 22)


def random_network(dice: Random) -> Network:
    """Operators on rows of six numbers, or on small images; opset 11 to 22."""
    return _random_rows(dice) if dice.random() < 0.6 else _random_images(dice)


def _random_rows(dice: Random) -> Network:
    """Each operator after any of those before."""
    nodes, constants, tensors = [], [], ["x"]
    for number in range(dice.randrange(1, 9)):
        source, name = dice.choice(tensors), f"t{number}"
        op = dice.choice(("MatMul", "MatMul", *(["binary"] * 2), "two", *(["unary"] * 5)))
        ends = [source]
        if op in ("MatMul", "binary"):
            shape: Any = [6, 6] if op == "MatMul" else dice.choice(([6], [1], [], [1, 6]))
            values = np.asarray(normal(*shape, seed=dice.randrange(99), scale=0.5), np.float32)
            constants.append(numpy_helper.from_array(values, f"c{number}"))
            ends.append(f"c{number}")
        elif op == "two":
            ends.append(dice.choice(tensors))
        op = {"binary": dice.choice(_BINARY), "two": dice.choice(_BINARY)}.get(op, op)
        op = dice.choice(_UNARY) if op == "unary" else op
        nodes.append(helper.make_node(op, ends, [name], name=f"n{number}"))
        tensors.append(name)
    ends = [tensors[-1]] if dice.random() < 0.7 else dice.sample(tensors[1:], min(2, len(nodes)))
    outputs = [helper.make_tensor_value_info(n, 1, ["N", None]) for n in dict.fromkeys(ends)]
    return _random(nodes, outputs, constants, [6], dice)


class _Images:
    """A chain of operators on images, under construction."""

    def __init__(self, dice: Random) -> None:
        self.dice, self.channels, self.last = dice, 3, "x"
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._seen = {3: "x"}  # the last tensor of each number of channels

    def add(self) -> None:
        """One more operator of any kind."""
        kinds = (self._convolution, self._convolution, self._pool, self._norm, self._two, self._one)
        self.dice.choice(kinds)()

    def _append(self, op: str, more: list[str], **how: Any) -> None:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.last, *more], [name], name=f"n{name}", **how))
        self.last = self._seen[self.channels] = name

    def _constant(self, values: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def _convolution(self) -> None:
        op, new = (
            self.dice.choice(("Conv", "Conv", "ConvTranspose")),
            self.dice.choice((1, 3, 4, 8)),
        )
        whole = op != "Conv" or new % self.channels or self.dice.random() < 0.5
        group = 1 if whole else self.channels
        sides = (new, self.channels // group) if op == "Conv" else (self.channels, new)
        more = [self._constant(normal(*sides, 3, 3, seed=len(self.nodes), scale=0.4))]
        if self.dice.random() < 0.7:
            more.append(self._constant(normal(new, scale=0.1)))
        self.channels = new
        self._append(op, more, pads=[1] * 4, group=group)

    def _pool(self) -> None:
        op = self.dice.choice(("MaxPool", "AveragePool"))
        self._append(op, [], kernel_shape=[3, 3], pads=[1] * 4)

    def _norm(self) -> None:
        least = (0.5, -1.0, -1.0, 0.5)
        size = self.channels
        self._append(
            "BatchNormalization", [self._constant(n + np.abs(normal(size))) for n in least]
        )

    def _two(self) -> None:
        self._append(self.dice.choice(("Add", "Mul", "Sub")), [self._seen[self.channels]])

    def _one(self) -> None:
        ops = ("Relu", "LeakyRelu", "Sigmoid", "HardSwish", "Elu", "Tanh", "Identity")
        self._append(self.dice.choice(ops), [])


def _random_images(dice: Random) -> Network:
    """Convolutions and pools one after the other, with a way around some of them."""
    net = _Images(dice)
    for _ in range(dice.randrange(1, 6)):
        net.add()
    outputs = [helper.make_tensor_value_info(net.last, 1, ["N", None, None, None])]
    return _random(net.nodes, outputs, net.constants, [3, 8, 8], dice)


def _random(
    nodes: list[Any], outputs: list[Any], constants: list[Any], shape: list[int], dice: Random
) -> Network:
    inputs = [helper.make_tensor_value_info("x", 1, ["N", *shape])]
    graph = helper.make_graph(nodes, "random", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", dice.choice(_OPSETS))]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return Network(model, {"x": normal(SAMPLES, *shape)}, shape[-1])


ALL: dict[str, Callable[[], Network]] = {
    "convolutions": _convolutions,
    "old": lambda: _convolutions(11),
    "dense": _dense,
    "attention": _attention,
    "two inputs": _two_inputs,
    "images up": _images_up,
    "function": _with_function,
    "branches": _with_branches,
    "recurrent": _recurrent,
    "sparse": _sparse,
    "static": _static_batch,
    "integers": _integers,
    "quantized": _quantized,
}
