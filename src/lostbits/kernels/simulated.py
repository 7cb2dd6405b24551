"""A Q/DQ graph in the arithmetic that a target declares.

Layers between quantizers become kernels that read and give codes. What ONNX defines stays in the
graph beside them, computed of the same codes: the difference is what the arithmetic adds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from lostbits.graph.inference import infer
from lostbits.graph.queries import LINEAR, constant, name_of, node_name, values_by_name
from lostbits.kernels import onnxruntime as floats
from lostbits.kernels import openvino, qnn_htp
from lostbits.kernels.bounds import takes_pairs
from lostbits.kernels.integer_ops import DOMAIN
from lostbits.kernels.onnxruntime import (
    Codes,
    Inputs,
    Kernel,
    Writer,
    coded,
    over_channels,
    put_in_place,
    replaced,
)
from lostbits.kernels.reaches import groups_of
from lostbits.kernels.tables import looked_up
from lostbits.target import Arithmetic

_NARROW = frozenset({ir.DataType.INT8, ir.DataType.UINT8})
_SAME_UNIT = 1e-3  # relative difference of scales that such kernels take for the same
_CODES = _NARROW | {ir.DataType.INT16, ir.DataType.UINT16}
PLAIN = "__float"  # after the name of a tensor, what it was before a kernel took its place


class Counts(NamedTuple):
    """Outputs of a graph that count the sums of one layer.

    Attributes:
        left: How many left their range, a channel.
        sums: Of how many.
        most: The largest size of an exact sum.
    """

    left: str
    sums: str
    most: str


@final
@dataclass(frozen=True)
class Simulated:
    """A graph that computes as a target does.

    Attributes:
        model: With the outputs of the one that it was made of, and further ones.
        layers: How many nodes became kernels.
        counts: Of linear layers, by the name of the node.
        sums: Tensors that a kernel gives as floats, behind which no quantizer is.
    """

    model: ir.Model
    layers: int
    counts: Mapping[str, Counts]
    sums: Sequence[str]


def in_arithmetic(
    model: ir.Model,
    arithmetic: Arithmetic,
    taps: Sequence[str] = (),
    floats: Collection[str] = frozenset(),
) -> Simulated:
    """A copy whose layers between quantizers compute as an arithmetic says.

    Args:
        model: Q/DQ graph.
        arithmetic: Of the target.
        floats: Names of nodes that a runtime left in float.
        taps: Further tensors to give out; where a kernel has taken the place of one, ``PLAIN``
            behind its name tells the float one.
    """
    copy = model.clone()
    infer(copy)
    work = _Work(arithmetic, floats)
    made = work.done(copy)
    counted = (name for each in work.counts.values() for name in each)
    _give(copy.graph, [*taps, *work.sums], list(counted))
    copy.opset_imports[DOMAIN] = 1
    common.RemoveUnusedNodesPass()(copy)
    return Simulated(copy, made, work.counts, tuple(work.sums))


def _give(graph: ir.Graph, taps: Sequence[str], counts: Sequence[str]) -> None:
    """Let a graph give tensors, and what they were before a kernel took their place."""
    values, own = values_by_name(graph), [name_of(v) for v in graph.outputs]
    plain = [name for name in (f"{tap}{PLAIN}" for tap in taps) if name in values]
    graph.outputs.clear()
    graph.outputs.extend(values[n] for n in dict.fromkeys([*own, *taps, *plain, *counts]))


def ideal_name(known: Mapping[str, object], tensor: str) -> str:
    """Name under which a simulated graph gives a tensor as ONNX defines it."""
    return f"{tensor}{PLAIN}" if f"{tensor}{PLAIN}" in known else tensor


@final
class _Work:
    """What is made of one graph."""

    def __init__(self, arithmetic: Arithmetic, floats: Collection[str]) -> None:
        self.arithmetic, self.floats = arithmetic, frozenset(floats)
        self.counts: dict[str, Counts] = {}
        self.sums: list[str] = []

    def done(self, model: ir.Model) -> int:
        """Put kernels into a graph; how many."""
        if self.arithmetic.fitted == "openvino":
            return openvino.put_into(model.graph, self.floats)
        if self.arithmetic.fitted == "qnn-htp":
            return qnn_htp.put_into(model.graph, self.floats)
        done = replaced(model.graph, self.floats, self._kernels(), wide=True)
        skipped = self.counts.keys() | self.floats
        layers = [n for n in model.graph if n.op_type in LINEAR and node_name(n) not in skipped]
        return done + sum(self._summed(node) for node in layers)

    def _kernels(self) -> Mapping[str, Kernel]:
        own = self.arithmetic
        if own.requantization == "none":
            return {}
        linear: dict[str, Kernel] = dict.fromkeys(own.layers, self._layer)
        linear["Add"] = self._sum
        mean = partial(_fixed_mean, own) if own.mean == "fixed" else floats.float_mean
        linear["GlobalAveragePool"] = mean
        tables: dict[str, Kernel] = dict.fromkeys(own.tables, looked_up)
        if "Softmax" in tables:
            tables["Softmax"] = partial(_fixed_softmax, own)
        return {**linear, **tables}

    def _layer(
        self, write: Writer, node: ir.Node, inputs: Inputs, result: Codes
    ) -> ir.Value | None:
        """Products, bias, and one factor a channel for all of it."""
        total, scale = self._total(write, node, inputs)
        if total is None:
            return None
        ratio = scale / result.scale.astype(np.float64).reshape(())
        return _requantized(write, self.arithmetic, total, ratio, result)

    def _sum(self, write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
        """Two operands; or a matrix product and its bias, which are one layer."""
        for product, bias in ((0, 1), (1, 0)):
            value = node.inputs[product]
            layer = None if value is None else value.producer()
            if layer is not None and layer.op_type == "MatMul" and inputs[product] is None:
                factors = [None if v is None else coded(write, v) for v in layer.inputs]
                return self._layer(write, layer, [*factors, inputs[bias]], result)
        kernel = _fixed_sum(self.arithmetic) if self.arithmetic.addition == "fixed" else None
        return (kernel or floats.float_sum)(write, node, inputs, result)

    def _summed(self, node: ir.Node) -> bool:
        """A layer behind which no quantizer is that takes its codes: a sum, scaled to a float."""
        if not _can_leave(self.arithmetic) or not node.outputs[0].uses():
            return False
        if node.op_type not in self.arithmetic.layers & self.arithmetic.sums:
            return False
        write, name = Writer(node), name_of(node.outputs[0])
        inputs = [None if v is None else coded(write, v) for v in node.inputs]
        added = node.inputs[2] if len(inputs) > 2 and inputs[2] is None else None
        total, scale = self._total(write, node, inputs[:2] if added is not None else inputs)
        if total is None:
            return False
        real = write("Mul", write("Cast", total, to=ir.DataType.FLOAT), scale.astype(np.float32))
        if added is not None:  # a bias that is no code
            shape = np.asarray(over_channels(node, inputs[1]), np.int64)  # type: ignore[arg-type]
            real = write("Add", real, write("Reshape", added, shape))
        put_in_place(node.outputs[0], real)
        self.sums.append(name)
        return True

    def _total(
        self, write: Writer, node: ir.Node, inputs: Inputs
    ) -> tuple[ir.Value | None, NDArray[np.float64]]:
        """The integer sum of a layer, and what one of it is; None where none is computed."""
        nothing = None, np.ones(1)
        x, w, bias = (*inputs, None)[:3]
        w = w if node.op_type != "ConvTranspose" or w is None else _of_outputs(node, w)
        added = None if bias is None else constant(bias.value)
        if x is None or w is None or x.scale.size > 1 or not _plain(node):
            return nothing
        given = len(inputs) > 2 and (len(node.inputs) < 3 or node.inputs[2] is not None)
        if not {x.value.dtype, w.value.dtype} <= _CODES or (given and added is None):
            return nothing
        operands: list[ir.Value | NDArray[np.int64]] = [x.value, _turned(write, node, w)]
        if added is not None:
            limit = 1 << self.arithmetic.bias_bits - 1
            operands.append(np.clip(added.astype(np.int64), -limit, limit - 1).ravel())
        settings = _adding(self.arithmetic, node, x, w)
        total, *counts = write.several("Sums", operands, 4, settings, DOMAIN)
        total.dtype = ir.DataType.INT32
        for each in counts:
            each.dtype = ir.DataType.INT64
        self.counts[node_name(node)] = Counts(*map(name_of, counts))
        scale = x.scale.astype(np.float64).reshape(()) * w.scale.astype(np.float64).ravel()
        return total, scale.reshape(over_channels(node, w)) if scale.size > 1 else scale.reshape(())


def _can_leave(arithmetic: Arithmetic) -> bool:
    """Whether a sum can be another one than that of wide integers."""
    return arithmetic.accumulator_bits < 32 or arithmetic.pairs is not None


def _plain(node: ir.Node) -> bool:
    """Whether a layer is a product and a bias, and nothing else."""
    factors = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    turned, shape = (node.attributes.get(name) for name in ("transA", "output_shape"))
    padded = node.attributes.get_string("auto_pad", "NOTSET")
    if node.op_type == "ConvTranspose" and (shape is not None or padded != "NOTSET"):
        return False
    return factors == [1.0, 1.0] and (turned is None or not turned.as_int())


def _of_outputs(node: ir.Node, w: Codes) -> Codes | None:
    """The weight of a ConvTranspose with one scale an output channel; None for other axes.

    Along axis 1 there are those of one group, which the groups share.
    """
    back = None if node.inputs[1] is None else node.inputs[1].producer()
    if w.scale.size == 1:
        return w
    if back is None or back.attributes.get_int("axis", 1) != 1:
        return None
    groups = groups_of(node)
    zero = np.broadcast_to(w.zero.ravel(), w.scale.size)
    return Codes(w.value, np.tile(w.scale.ravel(), groups), np.tile(zero, groups))


def _turned(write: Writer, node: ir.Node, w: Codes) -> ir.Value:
    if not node.attributes.get_int("transB", False):
        return w.value
    turned = write("Transpose", w.value, perm=[1, 0])
    assert w.value.dtype is not None
    turned.dtype = w.value.dtype
    return turned


def _adding(own: Arithmetic, node: ir.Node, x: Codes, w: Codes) -> dict[str, object]:
    """Attributes of a layer's sums."""
    paired = _in_pairs(own, node, x, w)
    return {
        "kind": node.op_type if "Conv" in node.op_type else "MatMul",
        "bits": own.accumulator_bits,
        "saturates": int(own.overflow == "saturate"),
        "pairs": own.pair_overflow if paired else "none",
        "distance": own.pair_distance,
        "x_zero": int(x.zero.reshape(())),
        "w_zero": ir.tensor(w.zero.ravel()),
        **{n: a.value for n, a in node.attributes.items() if n in _GEOMETRY},
    }


_GEOMETRY = ("auto_pad", "dilations", "group", "output_padding", "pads", "strides")


def _in_pairs(own: Arithmetic, node: ir.Node, x: Codes, w: Codes) -> bool:
    if x.value.dtype is None or w.value.dtype is None or w.value.shape is None:
        return False
    if node.op_type == "ConvTranspose":  # kernels add each product where it belongs
        return False
    kinds = x.value.dtype.numpy().name, w.value.dtype.numpy().name
    shape = tuple(d for d in w.value.shape if isinstance(d, int))
    return takes_pairs(own, kinds, shape, groups_of(node))


def _requantized(
    write: Writer, own: Arithmetic, total: ir.Value, ratio: NDArray[np.float64], result: Codes
) -> ir.Value:
    fixed = own.requantization == "fixed"
    settings = {**_multiplying(own, fixed=fixed), "real": ir.tensor(np.asarray(ratio))}
    return _written(write, "Requantize", [total], settings, result)


def _written(
    write: Writer,
    op: str,
    inputs: Sequence[ir.Value],
    settings: Mapping[str, object],
    result: Codes,
) -> ir.Value:
    """A kernel's node, which gives codes of the result."""
    kind = result.value.dtype
    assert kind is not None  # of a quantizer, whose zero point has it
    to = {"zero": int(result.zero.reshape(())), "to": int(kind)}
    (codes,) = write.several(op, inputs, 1, {**settings, **to}, DOMAIN)
    codes.dtype = kind
    return codes


def _multiplying(own: Arithmetic, *, fixed: bool) -> dict[str, object]:
    bits = own.multiplier_bits if fixed else 0
    return {"bits": bits, "rounding": own.rounding, "twice": int(own.twice)}


def _fixed_sum(own: Arithmetic) -> Kernel:
    def kernel(write: Writer, node: ir.Node, inputs: Inputs, result: Codes) -> ir.Value | None:
        operands = [each for each in inputs if each is not None]
        if len(operands) != 2 or any(
            e.scale.size > 1 or e.value.dtype not in _CODES for e in operands
        ):
            return None
        return _written(
            write,
            "Add",
            [each.value for each in operands],
            {
                **_multiplying(own, fixed=True),
                "scales": [float(each.scale.reshape(())) for each in operands],
                "zeros": [int(each.zero.reshape(())) for each in operands],
                "scale": float(result.scale.reshape(())),
            },
            result,
        )

    return kernel


def _fixed_mean(
    own: Arithmetic, write: Writer, node: ir.Node, inputs: Inputs, result: Codes
) -> ir.Value | None:
    x = inputs[0]
    if x is None or x.scale.size > 1 or x.value.dtype not in _CODES:
        return None
    settings = {
        **_multiplying(own, fixed=True),
        "x_zero": int(x.zero.reshape(())),
        "real": float(np.float64(x.scale.reshape(())) / np.float64(result.scale.reshape(()))),
    }
    return _written(write, "Mean", [x.value], settings, result)


_UNITS = {8: 256, 16: 32768}  # codes that are 1 behind a Softmax


def _fixed_softmax(
    own: Arithmetic, write: Writer, node: ir.Node, inputs: Inputs, result: Codes
) -> ir.Value | None:
    """In fixed point; None for scales and types that such kernels do not take."""
    x = inputs[0]
    if x is None or x.scale.size > 1 or x.value.dtype not in _CODES:
        return None
    info, steps = np.iinfo(x.value.dtype.numpy()), 1 / float(result.scale.reshape(()))
    least = info.min if info.bits == 8 else 0
    unit = _UNITS[info.bits]
    if result.value.dtype != x.value.dtype or int(result.zero.reshape(())) != least:
        return None
    if abs(steps - unit) > _SAME_UNIT * unit:
        return None
    settings = {
        "rounding": own.rounding,
        "twice": int(own.twice),
        "scale": float(x.scale.reshape(())),
    }
    axis = node.attributes.get_int("axis", -1)
    return _written(write, "Softmax", [x.value], {**settings, "axis": axis}, result)
