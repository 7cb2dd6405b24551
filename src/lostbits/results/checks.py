"""A bound that a user gave, and whether it was met: goals of a diagnosis, gates of a comparison."""

from dataclasses import dataclass
from typing import final

from lostbits.language import Message
from lostbits.runtime.figure_kinds import Named


@final
@dataclass(frozen=True)
class Check:
    """One bound on one figure.

    Attributes:
        bound: As it was given.
        value: The figure, or how far it moved.
        met: Whether the bound is kept.
        text: Both in a sentence.
    """

    bound: Named
    value: float
    met: bool
    text: Message
