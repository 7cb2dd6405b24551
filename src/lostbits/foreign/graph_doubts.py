"""Doubts that the quantizers of a file raise by themselves, whatever platform it is for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.errors import ReadError
from lostbits.graph.queries import LINEAR, constant, name_of, node_name
from lostbits.grid import Affine, along
from lostbits.language import Message, say
from lostbits.reader import Entry, Parameters, doubt

_FEWEST = 4  # tensors from which a habit of the tool is told from coincidence
_MOST = 0.9
_FIXED = 1e-3  # relative difference of a scale from a fixed one
_BEYOND = 1.5  # times a range that a weight may reach; methods that cut outliers off stay below
_NAMED = 5
_FROM_ZERO = frozenset({"HardSigmoid", "Sigmoid", "Softmax"})  # whose values end at 1

Entries = Mapping[str, Entry]


def doubts_of_quantizers(parameters: Parameters, graph: ir.Graph | None) -> Iterator[ReadError]:
    """Axes, ranges and middle codes that are not what they should be, one doubt a kind."""
    yield from _middle(parameters)
    if graph is None:
        return
    entries = {name: e for e in reversed(parameters.entries) for name in e.names}
    yield from _axes(entries, graph)
    yield from _fixed_ranges(entries, graph)
    yield from _clipped_weights(entries, graph)


def some(names: Sequence[str]) -> str:
    """The first names of several, quoted."""
    more = f" + {len(names) - _NAMED}" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more


def _middle(parameters: Parameters) -> Iterator[ReadError]:
    """A symmetric unsigned grid whose middle code is one below the middle of the type."""
    unsigned = [e for e in parameters.entries if not e.affine.grid.signed and _is_whole(e.affine)]
    low = [e for e in unsigned if (e.affine.zero_point == 2 ** (e.affine.grid.bits - 1) - 1).all()]
    if len(low) >= _FEWEST and len(low) >= _MOST * len(unsigned):
        found = int(low[0].affine.zero_point.ravel()[0])
        figures = {"count": str(len(low)), "found": str(found), "middle": str(found + 1)}
        yield doubt("I030", say("doubt.file"), figures, [e.tensor for e in low])


def _is_whole(affine: Affine) -> bool:
    grid = affine.grid
    return grid.bits < 32 and grid.qmin == 0 and grid.qmax >= 2**grid.bits - 2


def _axes(entries: Entries, graph: ir.Graph) -> Iterator[ReadError]:
    """Weights whose scales run along the channels that are summed over."""
    wrong = list(_wrong_axes(entries, graph))
    if wrong:
        node, entry, axis, wanted = wrong[0]
        figures = {"names": some([e.tensor for _, e, _, _ in wrong]), "op": node.op_type}
        figures |= {"axis": str(axis), "wanted": str(wanted), "node": repr(node_name(node))}
        yield doubt("I031", _where(entry), figures, [e.tensor for _, e, _, _ in wrong])


def _wrong_axes(entries: Entries, graph: ir.Graph) -> Iterator[tuple[ir.Node, Entry, int, int]]:
    for node in graph:
        weight = node.inputs[1] if node.op_type in LINEAR and len(node.inputs) > 1 else None
        entry = None if weight is None else entries.get(name_of(weight))
        rank = None if weight is None else _rank(weight)
        if entry is None or entry.affine.axis is None or rank is None or not entry.axis_given:
            continue
        wanted, axis = _output_axis(node, rank), entry.affine.axis % rank
        if np.ptp(entry.affine.scale) > 0 and axis != wanted:
            yield node, entry, axis, wanted


def _output_axis(node: ir.Node, rank: int) -> int:
    """Axis of a weight that its output channels are along."""
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1
        case "Gemm" if node.attributes.get_int("transB", 0):
            return 0
    return rank - 1


def _rank(weight: ir.Value) -> int | None:
    """Axes of a weight, stored or behind a quantizer of its own."""
    value: ir.Value | None = weight
    while value is not None:
        array, producer = constant(value), value.producer()
        if array is not None:
            return array.ndim
        value = producer.inputs[0] if producer is not None and _quantizes(producer) else None
    return None


def _quantizes(node: ir.Node) -> bool:
    return node.op_type in {"QuantizeLinear", "DequantizeLinear"}


def _where(entry: Entry) -> Message:
    return say("doubt.tensor", name=repr(entry.tensor))


def _fixed_ranges(entries: Entries, graph: ir.Graph) -> Iterator[ReadError]:
    """A scale that is made for an unsigned grid, on a signed one: half of the range is cut off."""
    cut = []
    for node in graph:
        entry = entries.get(name_of(node.outputs[0])) if node.op_type in _FROM_ZERO else None
        if entry is not None and _is_cut(entry.affine):
            cut.append((node, entry))
    if cut:
        node, entry = cut[0]
        figures = {"names": some([e.tensor for _, e in cut]), "op": node.op_type}
        figures |= {"high": f"{float(entry.affine.hi.max()):.3g}"}
        yield doubt("I032", _where(entry), figures, [e.tensor for _, e in cut])


def _is_cut(affine: Affine) -> bool:
    """Whether the largest value of a function that reaches 1 is one half by rule.

    What a calibrator has not seen it need not hold: only the fixed scales are meant, of which
    2**bits or 2**bits - 1 codes reach from 0 to 1.
    """
    if affine.axis is not None or not affine.grid.signed or affine.zero_point.any():
        return False
    levels, scale = 2.0**affine.grid.bits, float(affine.scale)
    return any(abs(scale * n - 1) < _FIXED for n in (levels, levels - 1))


def _clipped_weights(entries: Entries, graph: ir.Graph) -> Iterator[ReadError]:
    """Float weights in the file that reach far beyond the scales in front of which they stand."""
    far = {}
    for source in (n.inputs[0] for n in graph if n.op_type == "QuantizeLinear"):
        values, entry = constant(source), entries.get("" if source is None else name_of(source))
        if values is not None and entry is not None and values.dtype.kind == "f":
            far[entry.tensor] = (_beyond(values, entry.affine), entry)
    cut = sorted((e for e in far.values() if e[0] > _BEYOND), key=lambda e: e[0], reverse=True)
    if cut:
        most, entry = cut[0]
        figures = {"names": some([e.tensor for _, e in cut]), "most": f"{most:.1f}"}
        yield doubt("I046", _where(entry), figures, [e.tensor for _, e in cut])


def _beyond(values: NDArray[Any], affine: Affine) -> float:
    """How many times farther than the range its values reach, in the worst channel."""
    if affine.axis is not None and not -values.ndim <= affine.axis < values.ndim:
        return 0.0
    low, high = (along(end, values.ndim, affine.axis) for end in (affine.lo, affine.hi))
    limits = np.where(values < 0, low, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.nan_to_num(np.max(values / limits, initial=0.0), posinf=0.0))
