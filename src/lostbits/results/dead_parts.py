"""What a diagnosis tells of a part that a shared scale leaves nothing of."""

from dataclasses import dataclass
from typing import final

from lostbits.runtime.figure_kinds import Count, Positive, Several, Size


@final
@dataclass(frozen=True)
class Tried:
    """A remedy that was measured.

    Attributes:
        setting: As ``--set`` takes it; ``input_scaling`` is the recovery of that name.
        before_db: SQNR of the worst part of an output; None without an error.
        after_db: The same, with the change.
    """

    setting: str
    before_db: float | None
    after_db: float | None


@final
@dataclass(frozen=True)
class DeadFigures:
    """Figures of the part.

    Attributes:
        operands: Of the Concat; none where it is channels of the tensor itself.
        sources: Quantized tensors whose rounding it is.
        beside: The largest of what shares the scale.
        scale: Real units per code.
        widest: Largest magnitude of what shares the scale.
        reach: Largest magnitude of the part.
        channels: Of the part.
        constant: Of these, how many have a single code.
        poor: How many others keep less than one bit.
        sqnr_db: Of the part, by its rounding at this scale alone.
        samples: That remedies were measured on.
        tried: Remedies, what costs least first.
        host: What the remedy leaves to the host, as Python, or what the host may do instead of a
            Mul in float in front of the network; empty where it is nothing.
    """

    operands: list[str]
    sources: list[str]
    beside: str
    scale: Positive
    widest: Size
    reach: Size
    channels: Several
    constant: Count
    poor: Count
    sqnr_db: float | None
    samples: Several
    tried: list[Tried]
    host: list[str]
