"""Whether a quantized network is good, degraded or broken, and by which figure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, final

from lostbits.language import Message
from lostbits.runtime.figure_kinds import Count, Part


@final
class Grade(StrEnum):
    """The verdict in a word; docs/verdict.md has the rules."""

    GOOD = "good"
    DEGRADED = "degraded"
    BROKEN = "broken"


Ground = Literal[
    "metric", "accuracy", "agreement", "sqnr_db", "dead_part", "equal", "file", "nothing_matched"
]


@final
@dataclass(frozen=True)
class Judgement:
    """The verdict, and what it was decided by.

    Attributes:
        grade: None where no entry of a plan belongs to the network: then nothing was judged.
        by: The figure that decided.
        where: Output, or part of one, that it is of.
        value: The figure of the quantized network; None without an error, or where none decided.
        reference: That of the float network, where it has one of its own.
        samples: Answers that a share stands for; samples for a ratio.
        interval: Of a share of fewer than 200 answers, at 95 %.
        goal: What was to be reached, if anything.
        goal_met: Whether it was; None without a goal.
        why: The rule in words.
    """

    grade: Grade | None
    by: Ground
    where: str
    value: float | None
    reference: float | None
    samples: Count
    interval: list[Part] | None
    goal: str
    goal_met: bool | None
    why: Message
