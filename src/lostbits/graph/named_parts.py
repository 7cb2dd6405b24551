"""A part of an output, as a user names it: ``output0[4:]``."""

from collections.abc import Sequence

import onnx_ir as ir

from lostbits.errors import TargetError
from lostbits.graph.compared_outputs import Compared, Part, no_output
from lostbits.graph.output_parts import Span, text

ALL = "all"  # no part, and no choice of one


def named_part(name: str, compared: Sequence[Compared]) -> tuple[int, Part]:
    """Number of an output, and a part of it, or all of it.

    An index of one axis is that of the axis along which the output has parts, else that of the
    first behind the samples. An index of several begins with the samples, which all count.

    Raises:
        TargetError: T040 for an output that is not compared, T046 for what is no part.
    """
    known = [each.name for each in compared]
    if name in known:
        return known.index(name), Part(name, {})
    output, bracket, index = name.removesuffix("]").rpartition("[")
    if not bracket or not name.endswith("]") or output not in known:
        raise no_output(output if bracket and name.endswith("]") else name, known)
    number = known.index(output)
    spans = [_span(each, name) for each in index.split(",")]
    box = dict(enumerate(spans)) if len(spans) > 1 else {_axis(compared[number]): spans[0]}
    if len(spans) > 1 and spans[0] != (0, None):
        raise no_part(name, "an index of samples")
    box = {axis: span for axis, span in box.items() if span != (0, None)}
    return number, Part(f"{output}{text(box)}", box)


def check_fits(part: Part, value: ir.Value) -> None:
    """Whether a part can lie in a tensor of that shape.

    Raises:
        TargetError: T046 where it has more axes, or reaches beyond one.
    """
    shape = tuple(value.shape or ())
    for axis, (start, stop) in part.box.items():
        if value.shape is None:
            return
        size = shape[axis] if axis < len(shape) else 0
        if isinstance(size, int) and (start >= size or (stop or size) > size):
            raise no_part(
                part.name, f"shape {[s if isinstance(s, int) else str(s) for s in shape]}"
            )


def _axis(each: Compared) -> int:
    axes = {axis for part in each.parts for axis in part.box}
    return axes.pop() if len(axes) == 1 else 1


def _span(index: str, name: str) -> Span:
    """Of a slice, or of one number; steps and ends that count from behind are no parts."""
    start, colon, stop = (piece.strip() for piece in index.partition(":"))
    if not all(piece == "" or piece.isdecimal() for piece in (start, stop)) or not (start or colon):
        raise no_part(name, repr(index))
    if not colon:
        return int(start), int(start) + 1
    first, last = int(start or 0), int(stop) if stop else None
    if last is not None and last <= first:
        raise no_part(name, repr(index))
    return first, last


def no_part(name: str, found: str) -> TargetError:
    """T046."""
    output = name.partition("[")[0]
    return TargetError("T046", f"--of {name}", found, example=f"{output}[4:]")
