"""What is known of an output, or of the tensor that is compared in its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import onnx_ir as ir

from lostbits.errors import TargetError, close_match
from lostbits.graph.output_kinds import Kind
from lostbits.graph.output_parts import Box, text
from lostbits.graph.padding_masks import Mask
from lostbits.graph.queries import name_of
from lostbits.graph.site import Use
from lostbits.language import Message, say


@final
@dataclass(frozen=True)
class Part:
    """A part of an output.

    Attributes:
        name: Such as ``output0[:, 4:]``.
        box: Where it lies, by axis.
    """

    name: str
    box: Box

    @property
    def index(self) -> tuple[slice, ...]:
        """For an array of the output."""
        last = max(self.box, default=-1)
        return tuple(slice(*self.box.get(axis, (None, None))) for axis in range(last + 1))


@final
@dataclass(frozen=True)
class Compared:
    """One tensor that is compared.

    Attributes:
        name: Of the tensor.
        kind: What it means.
        parts: One at least.
        axis: Along which the largest entry is an answer; of classes and sequences.
        mask: What says which positions count; None: all.
        told: Whether the mask was told, and must fit.
        reader: What reads the tensor to choose from it; None for an output of the graph.
        behind: Outputs of the graph that it stands for.
        rows_chosen: Whether its rows are chosen inside the network; see ``selection``.
    """

    name: str
    kind: Kind
    parts: tuple[Part, ...]
    axis: int = -1
    mask: Mask | None = None
    told: bool = False
    reader: Use | None = None
    behind: tuple[str, ...] = ()
    rows_chosen: bool = False


def parts_of(value: ir.Value, boxes: Sequence[Box]) -> tuple[Part, ...]:
    """Parts of a tensor, by where they lie."""
    return tuple(Part(f"{name_of(value)}{text(box)}", box) for box in boxes)


def choice(compared: Sequence[Compared]) -> Message | None:
    """Which outputs are chosen from candidates, and what is compared for them; None: none is."""
    behind = list(dict.fromkeys(name for each in compared for name in each.behind))
    if not behind:
        return None
    names = [each.name for each in compared if each.reader is not None]
    return say("note.chosen", outputs=", ".join(behind), tensors=", ".join(names))


def rows(compared: Sequence[Compared]) -> Message | None:
    """Which outputs have rows that both networks may have in another order; None: none has."""
    names = dict.fromkeys(n for c in compared if c.rows_chosen for n in (c.behind or (c.name,)))
    return say("note.rows", outputs=", ".join(names)) if names else None


def no_output(name: str, known: Sequence[str]) -> TargetError:
    """T040."""
    return TargetError(
        "T040", f"output {name!r}", "none of that name", advice=close_match(name, known)
    )
