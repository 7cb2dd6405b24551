"""Weights of files whose activations are quantized while they run, or not at all.

Such a file has the codes, scales and zero points of its weights, and of no activation:
``DynamicQuantizeLinear`` takes a scale from the values of each run. The product of integers is
scaled back by a Mul behind it, which is where the scale of the weight is found.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.block_weights import unpacked
from lostbits.graph.queries import constant, name_of, sole_consumer

Array = NDArray[np.generic]
_LONGEST = 6  # nodes between a product and the scale of its weight
_PACKED = re.compile(r"_Q\d+(G\d+)?$")
_QUANTIZES_ITS_INPUT = frozenset({"DynamicQuantizeLSTM", "DynamicQuantizeMatMul"})


@final
@dataclass(frozen=True)
class Weight:
    """A weight of such a file, in the layout of the float op.

    Attributes:
        tensor: Name of its codes, without what packing appends.
        node: That reads it; None where float nodes read what a Mul makes of it.
        index: At which input the float op has it.
        codes: Integers.
        scale, zero_point: One number, or one for each index of ``axis``; None for blocks, of which
            only the values are known.
        axis: Of the channels.
        values: What the codes stand for.
        output: What a Mul makes of it, where float nodes read that.
        blocks: What there is instead of one scale, in words of the format.
        looked_up: What a DequantizeLinear makes of the rows that a Gather takes of it.
    """

    tensor: str
    node: ir.Node | None
    index: int
    codes: ir.DataType
    scale: NDArray[np.float32] | None
    zero_point: Array | None
    axis: int | None
    values: NDArray[np.float32]
    output: ir.Value | None = None
    blocks: str = ""
    looked_up: str = ""


def dynamic_tensors(graph: ir.Graph) -> tuple[str, ...]:
    """Float tensors that are quantized with a scale of the run, in the order of the nodes."""
    nodes = [n for n in graph if n.op_type in ("DynamicQuantizeLinear", *_QUANTIZES_ITS_INPUT)]
    return tuple(dict.fromkeys(name_of(n.inputs[0]) for n in nodes if n.inputs[0] is not None))


def dynamic_weights(graph: ir.Graph) -> Iterator[Weight]:
    """Every weight whose codes and scales are constant."""
    for node in graph:
        find = _WEIGHTS.get(node.op_type)
        if find is not None:
            yield from find(node)


def _of_product(node: ir.Node) -> Iterator[Weight]:
    """MatMulInteger and ConvInteger: the scale stands behind the product."""
    codes, scale = _input(node, 1), _scale_behind(node)
    zero = _input(node, 3)
    if codes is not None and scale is not None and (zero is not None or not _given(node, 3)):
        channels = 0 if node.op_type == "ConvInteger" else codes.ndim - 1
        yield from _weight(node, 1, 1, scale, zero, channels)


def _of_scaled_product(node: ir.Node) -> Iterator[Weight]:
    """MatMulIntegerToFloat and DynamicQuantizeMatMul, which hold the scale themselves."""
    place, zero = (3, 5) if node.op_type == "MatMulIntegerToFloat" else (2, 3)
    codes, scale = _input(node, 1), _input(node, place)
    if codes is not None and scale is not None:
        yield from _weight(node, 1, 1, scale, _input(node, zero), codes.ndim - 1)


def _of_lstm(node: ir.Node) -> Iterator[Weight]:
    """W and R of a DynamicQuantizeLSTM, whose last two axes are turned."""
    for place, scale, zero in ((1, 8, 9), (2, 10, 11)):
        scales = _input(node, scale)
        if scales is not None and _input(node, place) is not None:
            yield from _weight(node, place, place, scales, _input(node, zero), 1, turned=True)


def _of_blocks(node: ir.Node) -> Iterator[Weight]:
    """MatMulNBits."""
    codes, scales, zeros = (_input(node, i) for i in (1, 2, 3))
    if codes is None or scales is None or _given(node, 4) or (zeros is None and _given(node, 3)):
        return
    told = {k: node.attributes.get_int(k, 0) for k in ("N", "K", "block_size", "bits")}
    bits, block = told["bits"] or 4, told["block_size"]
    values = unpacked(codes, scales, zeros, (told["N"], told["K"], block), bits)
    kind = ir.DataType.UINT8
    tensor, words = _PACKED.sub("", _name(node, 1)), f"uint{bits} in blocks of {block}"
    yield Weight(tensor, node, 1, kind, None, None, None, values.T.copy(), blocks=words)


def _of_table(node: ir.Node) -> Iterator[Weight]:
    """An embedding: rows of codes are taken, and dequantized behind the Gather."""
    rows = node.inputs[0]
    gather = None if rows is None else rows.producer()
    scale = _input(node, 1)
    if gather is None or gather.op_type != "Gather" or scale is None or scale.size != 1:
        return
    codes = _input(gather, 0)
    if codes is None or codes.dtype.kind not in "iu" or (zero := _input(node, 2)) is None:
        return
    for weight in _weight(gather, 0, 0, scale, zero, 0):
        yield replace(weight, looked_up=name_of(node.outputs[0]))


def _of_cast(node: ir.Node) -> Iterator[Weight]:
    """Codes, Cast to float, perhaps less a zero point, times a scale."""
    codes = _input(node, 0)
    if codes is None or codes.dtype.kind not in "iu" or codes.dtype.itemsize > 1 or codes.ndim < 2:
        return
    zero: Array | None = None
    reader = sole_consumer(node.outputs[0])
    if reader is not None and reader.op_type == "Sub" and reader.inputs[0] is node.outputs[0]:
        zero = _uncast(reader.inputs[1])
        reader = None if zero is None else sole_consumer(reader.outputs[0])
    scale = None if reader is None or reader.op_type != "Mul" else _other_constant(reader)
    if reader is None or scale is None or scale.dtype != np.float32:
        return
    axis = _axis_of(scale, codes.ndim)
    if axis is None and scale.size > 1:
        return
    made = list(_weight(node, 0, 0, scale, zero, axis or 0, output=reader.outputs[0]))
    yield from made


def _weight(  # noqa: PLR0913 - what a node says of one weight
    node: ir.Node,
    place: int,
    index: int,
    scale: Array,
    zero: Array | None,
    axis: int,
    *,
    turned: bool = False,
    output: ir.Value | None = None,
) -> Iterator[Weight]:
    """With one scale, or as many as the axis is long; without parameters where there are others."""
    codes = constant(node.inputs[place])
    assert codes is not None
    codes = np.swapaxes(codes, 1, 2) if turned and codes.ndim == 3 else codes
    scales = _floats(scale).ravel()
    zeros = np.zeros(1) if zero is None else zero.astype(np.float64).ravel()
    zeros = zeros if zeros.size == scales.size else np.broadcast_to(zeros[:1], scales.shape)
    one, channels = scales.size == 1, _along(codes.shape, scales.size, axis)
    shape = _shape_of_scales(codes.shape, scales.size, channels)
    if shape is None:
        return
    steps = codes.astype(np.float64) - zeros.reshape(shape)
    values = np.ascontiguousarray(_floats(steps * scales.reshape(shape)))
    tensor, kind = _name(node, place), ir.DataType.from_numpy(codes.dtype)
    reader = None if output is not None else node
    known = Weight(tensor, reader, index, kind, None, None, None, values, output)
    if one:
        yield replace(known, scale=scales.reshape(()), zero_point=zeros.reshape(()))
    elif channels is not None:
        yield replace(known, scale=scales, zero_point=zeros, axis=channels)
    else:
        yield replace(known, blocks=f"{kind.name.lower()} with scales of {codes.shape[:-1]}")


def _floats(values: Array) -> NDArray[np.float32]:
    """As runtimes have them; too large ones are infinite, and a run of the file names the first."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _shape_of_scales(
    shape: tuple[int, ...], scales: int, axis: int | None
) -> tuple[int, ...] | None:
    """How scales broadcast over the codes: one, along an axis, or one for each row."""
    if scales == 1:
        return ()
    if axis is not None:
        return tuple(n if i == axis else 1 for i, n in enumerate(shape))
    return (*shape[:-1], 1) if scales == np.prod(shape[:-1]) else None


def _along(shape: tuple[int, ...], scales: int, axis: int) -> int | None:
    """The axis that so many scales are for: the usual one, or that of the directions."""
    if axis < len(shape) and shape[axis] == scales:
        return axis
    return 0 if shape and shape[0] == scales else None


def _scale_behind(node: ir.Node) -> Array | None:
    """What a product, an integer bias added, is multiplied with beside the scale of the run."""
    value, factors, runs = node.outputs[0], list[Array](), False
    for _ in range(_LONGEST):
        reader = sole_consumer(value)
        if reader is None or reader.op_type not in ("Add", "Cast", "Mul", "Reshape"):
            break
        if reader.op_type == "Mul":
            for other in reader.inputs:
                if other is not None and other is not value:
                    runs |= _gather(other, factors)
        value = reader.outputs[0]
        if factors and runs:
            return factors[0] if len(factors) == 1 else None
    return None


def _gather(value: ir.Value, factors: list[Array]) -> bool:
    """Add the constants in a product of scales; whether the scale of the run is in it."""
    array, producer = constant(value), value.producer()
    if array is not None:
        factors.append(array)
        return False
    if producer is None:
        return False
    if producer.op_type == "DynamicQuantizeLinear":
        return True
    if producer.op_type not in ("Mul", "Reshape", "Unsqueeze"):
        return False
    read = producer.inputs if producer.op_type == "Mul" else producer.inputs[:1]
    return any([_gather(v, factors) for v in read if v is not None])


def _other_constant(node: ir.Node) -> Array | None:
    arrays = [constant(v) for v in node.inputs if v is not None]
    known = [a for a in arrays if a is not None]
    return known[0] if len(known) == 1 else None


def _uncast(value: ir.Value | None) -> Array | None:
    """A constant, or what a Cast reads."""
    producer = None if value is None else value.producer()
    if producer is not None and producer.op_type == "Cast":
        return constant(producer.inputs[0])
    return constant(value)


def _axis_of(scale: Array, axes: int) -> int | None:
    """The one axis of a scale that is longer than one, counted from the end."""
    long = [axes - scale.ndim + i for i, n in enumerate(scale.shape) if n > 1]
    return long[0] if len(long) == 1 else None


def _input(node: ir.Node, index: int) -> Array | None:
    return constant(node.inputs[index]) if index < len(node.inputs) else None


def _given(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def _name(node: ir.Node, index: int) -> str:
    value = node.inputs[index]
    assert value is not None
    return name_of(value)


_WEIGHTS: Mapping[str, Callable[[ir.Node], Iterator[Weight]]] = {
    "Cast": _of_cast,
    "ConvInteger": _of_product,
    "DequantizeLinear": _of_table,
    "DynamicQuantizeLSTM": _of_lstm,
    "DynamicQuantizeMatMul": _of_scaled_product,
    "MatMulInteger": _of_product,
    "MatMulIntegerToFloat": _of_scaled_product,
    "MatMulNBits": _of_blocks,
}
