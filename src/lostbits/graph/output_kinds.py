"""What an output means, as far as the end of its graph shows.

It decides which figures exist: answers for classes, a cosine for embeddings. What the graph does
not show stays ``other``, and can be told. Where two meanings end alike, size decides: a linear
layer without Softmax is a classifier, but an embedding where its width is a multiple of 64.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import final

import onnx_ir as ir

from lostbits.graph.output_parts import operands
from lostbits.graph.queries import constant, rank


@final
class Kind(StrEnum):
    """What an output means: it decides which figures exist for it."""

    CLASSES = "classes"
    SEQUENCE = "sequence"
    EMBEDDING = "embedding"
    IMAGE = "image"
    DETECTIONS = "detections"
    OTHER = "other"


_LAYOUT = frozenset(
    {
        *("Cast", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze"),
        *("Transpose", "Unsqueeze"),
    }
)
_PROBABILITIES = frozenset({"LogSoftmax", "Softmax"})
_SIGMOIDS = frozenset({"HardSigmoid", "Sigmoid"})
_LINEAR = frozenset({"Conv", "Gemm", "MatMul"})
_NORMS = frozenset(
    {"BatchNormalization", "LayerNormalization", "LpNormalization", "RMSNormalization"}
)
_POOLED = frozenset({"GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "ReduceSum"})
_BOX, _STEP, _WIDEST = 4, 64, 4096  # corners of a box; widths of embeddings
_FEW_COLOURS = 4


def kind_of(value: ir.Value, others: Sequence[ir.Value] = ()) -> Kind:
    """What a tensor means.

    Args:
        value: An output, or what one is chosen from.
        others: All that are compared.
    """
    axes = rank(value)
    if axes is None:  # what has probabilities has classes, whatever its shape
        return Kind.CLASSES if _end(value) in _PROBABILITIES else Kind.OTHER
    if axes < 2:
        return Kind.OTHER
    if _detects(value) or _pairs_up(value, others):
        return Kind.DETECTIONS
    if _read_by(value, "ArgMax"):
        return _of_probabilities(axes)
    source = _before_layout(value)
    end = source.producer()
    return Kind.OTHER if end is None else _by_its_end(value, source, end, others)


def _by_its_end(
    value: ir.Value, source: ir.Value, end: ir.Node, others: Sequence[ir.Value]
) -> Kind:
    axes = rank(value) or 0
    if end.op_type in _SIGMOIDS and axes == 3:  # notes, events: several at a step, or none
        return Kind.OTHER
    if end.op_type in _PROBABILITIES | _SIGMOIDS:
        wide = _spreads(value) if axes > 3 else _size(value, _class_axis(value)) != 1
        return _of_probabilities(axes) if wide else Kind.OTHER
    if axes > 3:
        return Kind.IMAGE if _pictures(value, end) else Kind.OTHER
    return _of_features(value, source, end, others)


def class_axis(value: ir.Value) -> int:
    """Axis along which the largest entry is an answer."""
    return _class_axis(value)


def _class_axis(value: ir.Value) -> int:
    """That of the Softmax at the end, where nothing has moved it; else the last."""
    end, axes = value.producer(), rank(value)
    if not axes:  # nothing is known of them, or it is a single number
        return -1
    if end is not None and end.op_type in _PROBABILITIES:
        return end.attributes.get_int("axis", -1) % axes
    for use in value.uses():
        if use.node.op_type == "ArgMax":
            return use.node.attributes.get_int("axis", 0) % axes
    return axes - 1


def _of_probabilities(axes: int) -> Kind:
    return {2: Kind.CLASSES, 3: Kind.SEQUENCE}.get(axes, Kind.IMAGE)


def _read_by(value: ir.Value, op: str) -> bool:
    return any(use.node.op_type == op for use in value.uses())


def _before_layout(value: ir.Value) -> ir.Value:
    """The tensor whose values these are."""
    while (node := value.producer()) is not None and node.op_type in _LAYOUT:
        if node.inputs[0] is None or constant(node.inputs[0]) is not None:
            break
        value = node.inputs[0]
    return value


def _size(value: ir.Value, axis: int) -> int | None:
    shape = tuple(value.shape or ())
    size = shape[axis] if -len(shape) <= axis < len(shape) else None
    return size if isinstance(size, int) else None


def _detects(value: ir.Value) -> bool:
    """Whether boxes and scores are put together: unlike branches, one of them four values wide.

    What is put behind an input, as tokens behind those before them, is made alike.
    """
    if (rank(value) or 0) < 3:
        return False
    parts = operands(value)
    if len(parts) < 2:
        return False
    ends = [_end(part) for part in parts]
    if None in ends:
        return False
    if len(set(ends)) == 1:
        return ends[0] == "Concat" and all(_detects(part) for part in parts)
    return bool(_SIGMOIDS.union(_PROBABILITIES).intersection(map(str, ends))) or _has_boxes(parts)


def _has_boxes(parts: Sequence[ir.Value]) -> bool:
    return any(_BOX in tuple(part.shape or ())[1:] for part in parts)


def _end(value: ir.Value) -> str | None:
    node = _before_layout(value).producer()
    return None if node is None else node.op_type


def _pairs_up(value: ir.Value, others: Sequence[ir.Value]) -> bool:
    """Whether boxes and scores of the same candidates are two tensors, of which this is one."""
    shape = tuple(value.shape or ())
    if len(shape) != 3:
        return False
    mates = [tuple(o.shape or ()) for o in others if o is not value and rank(o) == 3]
    mates = [mate for mate in mates if mate[1] == shape[1] and mate[2] != shape[2]]
    return any(_BOX in (shape[2], mate[2]) for mate in mates)


def _pictures(value: ir.Value, end: ir.Node) -> bool:
    """Few channels over a plane or a volume, or what was resized."""
    shape = tuple(value.shape or ())
    if not _spreads(value):
        return False
    if end.op_type == "Concat" and any(v is not None and v.is_graph_input() for v in end.inputs):
        return False  # a cache of keys, behind those before them; a few heads are no colours
    few = _few(shape[-1] if _turned(value) else shape[1])
    return few or end.op_type in {"ConvTranspose", "DepthToSpace", "Resize"}


def _spreads(value: ir.Value) -> bool:
    """Whether it has a value for each point of a plane or a volume."""
    shape = tuple(value.shape or ())
    return not any(map(_few, shape[1:-1] if _turned(value) else shape[2:]))


def _turned(value: ir.Value) -> bool:
    """Whether a Transpose has put channels last."""
    node, axes = value.producer(), rank(value) or 0
    while node is not None and node.op_type in _LAYOUT:
        if node.op_type == "Transpose":
            return list(node.attributes.get_ints("perm", []))[-1:] == [1] and axes > 3
        node = None if node.inputs[0] is None else node.inputs[0].producer()
    return False


def _few(size: object) -> bool:
    return isinstance(size, int) and size <= _FEW_COLOURS


def _of_features(
    value: ir.Value, source: ir.Value, end: ir.Node, others: Sequence[ir.Value]
) -> Kind:
    axes, width = rank(value) or 0, _size(value, -1)
    if _normalised(end):
        return Kind.EMBEDDING
    if axes == 2 and end.op_type in {"Relu", "Tanh", "Div"}:
        return Kind.EMBEDDING
    if _linear(end) or (axes == 2 and end.op_type in _POOLED):
        if width is not None and width % _STEP == 0 and width <= _WIDEST:
            return Kind.EMBEDDING
        return _logits(value, source, others)
    return Kind.OTHER


def _logits(value: ir.Value, source: ir.Value, others: Sequence[ir.Value]) -> Kind:
    """Of a linear layer: no answers where another output shows that it has answers."""
    axes, spatial = rank(value) or 0, (rank(source) or 0) > 2
    end = source.producer()
    if _size(value, -1) == 1 or (
        axes == 3 and spatial and end is not None and end.op_type == "Conv"
    ):
        return Kind.OTHER
    ends = {_end(o) for o in others if o is not value}
    if ends & (_PROBABILITIES | _SIGMOIDS):
        return Kind.OTHER
    return Kind.CLASSES if axes == 2 else Kind.SEQUENCE


def _linear(end: ir.Node) -> bool:
    """A linear layer, or its bias that was left as an Add."""
    if end.op_type == "Add":
        makers = [v.producer() for v in end.inputs if v is not None and constant(v) is None]
        return len(makers) == 1 and makers[0] is not None and makers[0].op_type in _LINEAR
    return end.op_type in _LINEAR


def _normalised(end: ir.Node) -> bool:
    """A normalization over the last axis, written out or not, with or without its factors."""
    for wanted in ("Add", "Mul"):
        if end.op_type == wanted:
            data = [v for v in end.inputs if v is not None and constant(v) is None]
            maker = data[0].producer() if len(data) == 1 else None
            end = end if maker is None else maker
    if end.op_type == "Div":
        below = None if end.inputs[1] is None else _before_layout(end.inputs[1]).producer()
        return below is not None and below.op_type in {"Sqrt", "Clip", "ReduceL2", "Expand", "Max"}
    return end.op_type in _NORMS
