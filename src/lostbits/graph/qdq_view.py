"""Q/DQ graphs, tapped: where activations are integer codes, and which constants nodes read.

Taps are the outputs of QuantizeLinear. A runtime that fuses a pair into its neighbours has these
codes in any case, so that asking for them does not change what it fuses.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.instrument import LIMITED, REPEATED
from lostbits.graph.queries import constant, name_of, node_name, reached
from lostbits.graph.turned import turned, turned_axis, turns
from lostbits.grid import along

_QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
Floats = NDArray[np.float64]
_CODES = frozenset(ir.DataType[f"{sign}INT{bits}"] for sign in ("", "U") for bits in (8, 16))


@final
@dataclass(frozen=True)
class Tap:
    """One quantized activation of a Q/DQ graph.

    Attributes:
        names: Of the tensor: of the value that is quantized, and of the one that comes back.
        codes: Name of the integer tensor.
        nodes: What computes it from other taps, from the last node backwards.
        scale, zero_point: One number each, or one per channel of ``axis``.
        axis: Channel axis, or None.
        span: Difference of the largest and the smallest code.
    """

    names: tuple[str, str]
    codes: str
    nodes: tuple[str, ...]
    scale: NDArray[np.float64]
    zero_point: NDArray[np.float64]
    axis: int | None
    span: int

    @property
    def tensor(self) -> str:
        """The name that the user knows: that of the float model."""
        return self.names[0]

    def real(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """What integer codes stand for, in the unit of the tensor."""
        zero, step = self.zero(codes.ndim), self.step(codes.ndim)
        values: NDArray[np.float64] = (codes - zero) * step
        return values

    def zero(self, rank: int) -> NDArray[np.float64]:
        """The code that stands for zero, shaped to broadcast over ``rank`` axes."""
        return along(self.zero_point, rank, self.axis)

    def step(self, rank: int) -> NDArray[np.float64]:
        """One code in the unit of the tensor, shaped to broadcast over ``rank`` axes."""
        return along(self.scale, rank, self.axis)


@final
@dataclass(frozen=True)
class Operand:
    """A constant that a node reads, as the numbers that it stands for.

    Attributes:
        tensor: Name of the tensor that the node reads.
        values: float64, after dequantization.
        step: One code, shaped to broadcast over ``values``; None for a float constant.
        axis: Channel axis of the scales, or None.
        zero: The code that stands for zero, shaped as ``step``; None for a float constant.
    """

    tensor: str
    values: NDArray[np.float64]
    step: NDArray[np.float64] | None
    axis: int | None
    zero: NDArray[np.float64] | None = None


def taps_of(graph: ir.Graph) -> list[Tap]:
    """Every activation that is quantized and dequantized by constants, in the graph's order."""
    return [tap for node in graph if (tap := _tap(node)) is not None]


def twins(graph: ir.Graph, other: ir.Graph) -> list[tuple[Tap, Tap]]:
    """Taps of the same tensor in two graphs, in the order of the first."""
    known = {name: tap for tap in reversed(taps_of(other)) for name in tap.names}
    found = ((tap, [known[n] for n in tap.names if n in known]) for tap in taps_of(graph))
    return [(tap, matching[0]) for tap, matching in found if matching]


def _tap(node: ir.Node) -> Tap | None:
    if node.op_type != "QuantizeLinear" or f"{REPEATED}__" in (node.name or ""):
        return None
    source, readers = node.inputs[0], [u.node for u in node.outputs[0].uses()]
    back = next((r for r in readers if r.op_type == "DequantizeLinear"), None)
    parameters, kind = _parameters(node), _type(node).dtype
    if source is None or constant(source) is not None or back is None or parameters is None:
        return None
    if kind not in _CODES:
        return None
    plain, returned = name_of(_unlimited(source)), name_of(back.outputs[0])
    renamed = back.outputs[0].is_graph_output() and not returned.startswith(plain)
    names = (returned, plain) if renamed else (plain, returned)
    nodes = tuple(n.name or "" for n in computing(source))
    info = np.iinfo(kind.numpy())
    return Tap(names, name_of(node.outputs[0]), nodes, *parameters, info.max - info.min)


def _parameters(
    node: ir.Node,
) -> tuple[NDArray[np.float64], NDArray[np.float64], int | None] | None:
    """Scale, zero point and axis of a quantizer or dequantizer, if they are constants that fit."""
    scale = constant(node.inputs[1])
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if scale is None or (len(node.inputs) > 2 and zero is None):
        return None
    if zero is not None and zero.size != scale.size:
        return None
    single = scale.size == 1
    axis = None if single else node.attributes.get_int("axis", 1)
    steps = scale.astype(np.float64).reshape(() if single else (-1,))
    zeros = np.zeros(steps.shape) if zero is None else zero.astype(np.float64).reshape(steps.shape)
    return steps, zeros, axis


def _unlimited(value: ir.Value) -> ir.Value:
    while (limit := value.producer()) is not None and f"{LIMITED}__" in node_name(limit):
        if limit.inputs[0] is None:
            break
        value = limit.inputs[0]
    return value


def computing(value: ir.Value) -> Iterator[ir.Node]:
    """Nodes between ``value`` and the quantized tensors before it, along the first inputs."""
    node = value.producer()
    while node is not None and node.op_type not in _QUANTIZERS:
        yield node
        first = node.inputs[0] if node.inputs else None
        node = None if first is None or _from_dequantizer(node) else first.producer()


def _from_dequantizer(node: ir.Node) -> bool:
    producers = (v.producer() for v in node.inputs if v is not None)
    return any(p is not None and p.op_type == "DequantizeLinear" for p in producers)


def between_quantizers(node: ir.Node) -> bool:
    """Whether a node, with what is fused to it, reads and gives quantized tensors."""
    before = list(computing(node.outputs[0]))
    return bool(before) and _from_dequantizer(before[-1]) and _reaches_quantizer(node.outputs[0])


def _reaches_quantizer(value: ir.Value) -> bool:
    along = reached([value], _behind_only_reader)
    return any(use.node.op_type == "QuantizeLinear" for v in along for use in v.uses())


def _behind_only_reader(value: ir.Value) -> list[ir.Value]:
    readers = [use.node for use in value.uses()]
    return [readers[0].outputs[0]] if len(readers) == 1 else []


def tapped(model: ir.Model, taps: Sequence[Tap]) -> ir.Model:
    """A copy that gives the codes of every tap as well as its own outputs."""
    copy = model.clone()
    codes = {name_of(n.outputs[0]): n for n in copy.graph if n.op_type == "QuantizeLinear"}
    for tap in taps:
        value = codes[tap.codes].outputs[0]
        value.type, value.shape = _type(codes[tap.codes]), None
        if not value.is_graph_output():
            copy.graph.outputs.append(value)
    return copy


def _type(node: ir.Node) -> ir.TensorType:
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    return ir.TensorType(ir.DataType.UINT8 if zero is None or zero.dtype is None else zero.dtype)


def given(tap: Tap) -> str:
    """Name of the input of a forced graph that takes the codes of a tap."""
    return f"{tap.codes}__given"


def forced(model: ir.Model, taps: Sequence[Tap]) -> ir.Model:
    """A tapped copy in which every layer starts from codes that are given from outside.

    What a runtime found for one tensor becomes the input of the next layer, so that the outputs
    show what each layer does by itself, whatever happened before it.
    """
    copy = tapped(model, taps)
    codes = {name_of(n.outputs[0]): n for n in copy.graph if n.op_type == "QuantizeLinear"}
    for tap in taps:
        source = codes[tap.codes].outputs[0]
        entry = ir.Value(name=given(tap), type=_type(codes[tap.codes]))
        copy.graph.inputs.append(entry)
        for use in list(source.uses()):
            use.node.replace_input_with(use.idx, entry)
    return copy


def operands(graph: ir.Graph) -> Mapping[tuple[str, int], Operand]:
    """Constants by the node and the position that read them; quantizers are no readers."""
    found = {}
    for node in graph:
        if node.op_type not in _QUANTIZERS:
            for index, value in enumerate(node.inputs):
                operand = None if value is None else _operand(value)
                if operand is not None:
                    found[node_name(node), index] = operand
    return found


def _operand(value: ir.Value) -> Operand | None:
    array, node = constant(value), value.producer()
    if array is not None and array.dtype.kind == "f":
        return Operand(name_of(value), array.astype(np.float64), None, None)
    if node is not None and turns(node) and node.inputs[0] is not None:
        return _turned(name_of(value), _operand(node.inputs[0]), node)
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    codes = _codes(node.inputs[0])
    return None if codes is None else _dequantized(value, codes, node)


def _dequantized(value: ir.Value, codes: Floats, node: ir.Node) -> Operand | None:
    """Stored codes as the dequantizer reads them."""
    parameters = _parameters(node)
    if parameters is None:
        return None
    scale, zero, axis = parameters
    if block := node.attributes.get_int("block_size", 0):
        return _of_blocks(name_of(value), codes, node, block)
    if not _fits(scale, codes, axis) or not np.isfinite(scale).all():
        return None
    step, zeros = along(scale, codes.ndim, axis), along(zero, codes.ndim, axis)
    return Operand(name_of(value), (codes - zeros) * step, step, axis, zeros)


def _of_blocks(name: str, codes: Floats, node: ir.Node, block: int) -> Operand | None:
    """A constant with one scale for so many neighbours along an axis; no scale of a channel."""
    axis, numbers = node.attributes.get_int("axis", 1), [constant(v) for v in node.inputs[1:3]]
    if not -codes.ndim <= axis < codes.ndim:
        return None
    each = [a.astype(np.float64).repeat(block, axis) for a in numbers if a is not None and a.ndim]
    cut = [a[tuple(map(slice, codes.shape))] for a in each if a.ndim == codes.ndim]
    if len(cut) < len(numbers) or any(a.shape != codes.shape for a in cut):
        return None
    return Operand(name, (codes - (cut[1] if len(cut) > 1 else 0.0)) * cut[0], None, None)


def _turned(name: str, operand: Operand | None, node: ir.Node) -> Operand | None:
    """A constant behind a node that turns it, as tools leave weights of another layout."""
    values = None if operand is None else turned(operand.values, node)
    if operand is None or values is None:
        return None
    if operand.axis is None or operand.step is None or operand.zero is None:
        return Operand(name, values, operand.step, None, operand.zero)
    axis = turned_axis(operand.values.shape, operand.axis, node)
    if axis is None:
        return Operand(name, values, None, None)
    step, zero = (along(v.ravel(), values.ndim, axis) for v in (operand.step, operand.zero))
    return Operand(name, values, step, axis, zero)


def _fits(scale: NDArray[np.float64], values: NDArray[Any], axis: int | None) -> bool:
    """Whether there is one scale, or one for every index of an axis."""
    if axis is None:
        return True
    return -values.ndim <= axis < values.ndim and values.shape[axis] == scale.size


def _codes(value: ir.Value) -> NDArray[np.float64] | None:
    """Integer codes: stored, or computed from a float constant behind a pair of its own."""
    array, node = constant(value), value.producer()
    if array is not None:
        return array.astype(np.float64)
    floats = None if node is None or node.op_type != "QuantizeLinear" else constant(node.inputs[0])
    parameters = None if node is None or floats is None else _parameters(node)
    if floats is None or parameters is None or node is None:
        return None
    scale, zero, axis = parameters
    if not _fits(scale, floats, axis) or _type(node).dtype not in _CODES:
        return None
    info = np.iinfo(_type(node).dtype.numpy())
    finest = np.where(scale == 0, np.finfo(np.float32).tiny, scale)  # as the readers take it
    steps = np.rint(floats / along(finest, floats.ndim, axis)) + along(zero, floats.ndim, axis)
    codes: NDArray[np.float64] = np.clip(steps, info.min, info.max).astype(np.float64)
    return codes
