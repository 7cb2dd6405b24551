"""Arithmetic on shapes that is settled by what is declared of them, axis by axis.

``x.shape[1]`` is known where axis 1 is, whatever the batch axis: constant folding alone sees a
Shape that is not wholly known.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import add_initializer, constant, name_of

_Parts = NDArray[np.object_]  # ints, and None where a length is free


def fold_shapes(model: ir.Model) -> int:
    """Make constants of what is known of shapes and read by others; returns how many."""
    parts, folded = dict[ir.Value, _Parts](), 0
    for node in list(model.graph):
        found = _of_node(node, parts)
        if found is None:
            continue
        output = node.outputs[0]
        parts[output] = found
        if None not in found.ravel() and output.uses() and not output.is_graph_output():
            _replace(model.graph, output, found.astype(np.int64))
            folded += 1
    return folded


def _replace(graph: ir.Graph, output: ir.Value, array: NDArray[np.int64]) -> None:
    name = name_of(output)
    output.name = f"{name}__shape"
    output.replace_all_uses_with(add_initializer(graph, name, array))


def _of_node(node: ir.Node, parts: dict[ir.Value, _Parts]) -> _Parts | None:
    if node.op_type == "Shape" and node.domain in ("", "ai.onnx"):
        return _shape(node)
    rule = _RULES.get(node.op_type)
    source = node.inputs[0] if node.inputs else None
    if rule is None or source is None:
        return None
    known = [_known(v, parts) for v in node.inputs]
    if known[0] is None or (source not in parts and node.op_type != "Concat"):
        return None
    try:
        return rule(node, known)
    except (IndexError, TypeError, ValueError):  # what the runtime says is wrong with it
        return None


def _known(value: ir.Value | None, parts: dict[ir.Value, _Parts]) -> _Parts | None:
    if value is None:
        return None
    array = constant(value)
    return parts.get(value) if array is None else np.asarray(array).astype(object)


def _shape(node: ir.Node) -> _Parts | None:
    source = node.inputs[0]
    if source is None or source.shape is None:
        return None
    lengths = [d if isinstance(d, int) else None for d in source.shape]
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(lengths))
    return _array(lengths[start:end])


def _array(lengths: list[int | None]) -> _Parts:
    made = np.empty(len(lengths), object)
    made[:] = lengths
    return made


def _gather(node: ir.Node, known: list[_Parts | None]) -> _Parts | None:
    source, indices = known[0], known[1]
    if source is None or indices is None or None in indices.ravel():
        return None
    return np.asarray(np.take(source, indices.astype(np.int64)), object)


def _slice(node: ir.Node, known: list[_Parts | None]) -> _Parts | None:
    source, *rest = known
    if source is None or any(part is None for part in rest):
        return None
    numbers = [int(part.ravel()[0]) for part in rest if part is not None]
    step = numbers[3] if len(numbers) > 3 else 1
    return np.asarray(source[numbers[0] : numbers[1] : step], object)


def _concat(node: ir.Node, known: list[_Parts | None]) -> _Parts | None:
    arrays = [part for part in known if part is not None and part.ndim == 1]
    return np.concatenate(arrays) if len(arrays) == len(known) else None


def _squeeze(node: ir.Node, known: list[_Parts | None]) -> _Parts | None:
    return None if known[0] is None else known[0].reshape(())


def _unsqueeze(node: ir.Node, known: list[_Parts | None]) -> _Parts | None:
    return known[0].reshape(1) if known[0] is not None and known[0].ndim == 0 else None


def _cast(node: ir.Node, known: list[_Parts | None]) -> _Parts | None:
    whole = node.attributes.get_int("to", 0) == ir.DataType.INT64
    return known[0] if whole else None


_RULES: dict[str, Callable[[ir.Node, list[_Parts | None]], _Parts | None]] = {
    "Cast": _cast,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
