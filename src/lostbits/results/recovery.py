"""What a recovery tells of its attempts."""

from dataclasses import dataclass, field
from typing import final

from lostbits.graph.site import Role
from lostbits.language import Message
from lostbits.results.sites import Standing
from lostbits.runtime.figure_kinds import Count, Named, Size
from lostbits.runtime.metrics import Baseline


@final
@dataclass(frozen=True)
class Attempt:
    """One attempt of a recovery, as the ledger keeps it; figures are of the samples that judge.

    Attributes:
        method: Name of the recovery.
        scope: What it worked on: the stage of recoveries that it belongs to.
        predicted_gain_db: What it was expected to win, in dB of the output's SQNR.
        skipped: What it left alone, with reasons.
        gain_db: What it won, or lost.
    """

    method: str
    scope: str
    predicted_gain_db: float
    before: Baseline
    after: Baseline
    kept: bool
    seconds: Size
    note: Message
    skipped: dict[str, Message]
    gain_db: float


@final
@dataclass(frozen=True)
class SiteChange:
    """One site before and after; None where it is, or came, in float.

    Shares are of the output error before, on the same samples.
    """

    tensor: str
    role: Role
    before: Standing | None
    after: Standing | None


@final
@dataclass(frozen=True)
class Wider:
    """What more bits on the tensors that cost most would give, on the samples that judge.

    Attributes:
        tensors: Those with the target's wide grid, or in float where it has none.
        after: Figures with them.
    """

    tensors: list[str]
    after: Baseline


@final
@dataclass(frozen=True)
class AddedOps:
    """Nodes that the recovered network has and the model has not.

    Attributes:
        op: Their type.
        count: How many more there are.
        in_float: Whether the target runs them in float.
    """

    op: Named
    count: Count
    in_float: bool


@final
@dataclass(frozen=True)
class Outcome:
    """What came of all attempts.

    Attributes:
        stopped: Why no more were made.
        goal_met: None without a goal.
        floors_db: SQNR that the output would have with one role in float.
        sites: What became of each.
        wider: What more bits on the first 1, 3 and 5 tensors would give; none with a goal.
        written: Figures of what is written, where that is calibrated on all samples, those that
            judge among them; None where it is what ``after`` tells of.
        added: Nodes that the recovered network has more.
        interrupted: Whether it was, so that there is more to try.
        floor_predicted_db: SQNR that noise gains predict with the weights in float: rounding of
            activations as independent errors. None where no gradient passes, or without time.
    """

    before: Baseline
    after: Baseline
    stopped: Message
    goal_met: bool | None
    floors_db: dict[str, float | None]
    sites: list[SiteChange]
    text: Message
    wider: list[Wider] = field(default_factory=list)
    written: Baseline | None = None
    added: list[AddedOps] = field(default_factory=list)
    interrupted: bool = False
    floor_predicted_db: float | None = None
