"""What is measured at each output of a network, and at each part of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from lostbits.graph.output_kinds import Kind

__all__ = ["Kind", "OutputFigures", "PartFigures", "worst"]


@final
@dataclass(frozen=True)
class PartFigures:
    """Figures of one part of an output.

    Attributes:
        name: Such as ``output0[:, 4:]``; that of the output where it has a single part.
        sqnr_db: In dB; None where the part is equal.
        dead: Whether the quantized part is constant where the float one is not.
    """

    name: str
    sqnr_db: float | None
    dead: bool = False


@final
@dataclass(frozen=True)
class OutputFigures:
    """Figures of one output.

    Attributes:
        name: Of the tensor that was compared.
        kind: What it means.
        sqnr_db: Of the whole, in dB; None where it is equal.
        parts: One at least.
    """

    name: str
    kind: Kind
    sqnr_db: float | None
    parts: list[PartFigures] = field(default_factory=list)


@final
@dataclass(frozen=True)
class MetricFigures:
    """A metric of the quantized network beside that of the float one; higher is better.

    Attributes:
        name: Of the metric, or of the user's function.
        quantized: None where it is infinite: nothing is wrong.
        reference: The same of the float network.
    """

    name: str
    quantized: float | None
    reference: float | None


def worst(outputs: Sequence[OutputFigures]) -> PartFigures | None:
    """The part that is farthest from float, of all outputs; None where all are equal."""
    parts = [part for output in outputs for part in output.parts if part.sqnr_db is not None]
    return min(parts, key=lambda part: part.sqnr_db or 0.0, default=None)
