"""How long attempts take: the operations that they state, and what this run has measured.

Operations decide in which order attempts come, so that two runs with one seed take the same one;
seconds decide only what fits into the time that is left.
"""

from dataclasses import dataclass
from typing import final

from lostbits.case import Case
from lostbits.recovery import FORMS, Recovery, sweep_cost, walk_cost

# Operations of a pass of the optimised float network: it computes a value five times as fast as
# anything that looks at the values, or quantizes them.
_OPTIMISED = 0.2
# And operations of a multiplication in it, which decide where there are hundreds for each value:
# in transformers, and networks of large kernels.
_MULTIPLIED = 0.003
_SLOWER = 3  # than in the pass, a computing attempt is at most
_JUDGED = 3  # samples to work on for one that judges


@final
@dataclass
class Pace:
    """Seconds that an operation takes.

    Attributes:
        operations: Stated so far.
        seconds: Measured so far, for these.
        least: Seconds of an operation, of the first measurement; what is found in a cache, and so
            takes no time, shall not let anything begin for which there is none.
        largest: Operations of the largest attempt so far.
    """

    operations: float
    seconds: float
    least: float
    largest: float = 0.0

    @classmethod
    def of_pass(cls, case: Case, seconds: float) -> "Pace":
        """What a pass of the float network over the samples to work on tells."""
        values = _OPTIMISED * walk_cost(case, case.samples)
        operations = max(values, _MULTIPLIED * case.samples * _multiplied(case), 1.0)
        return cls(operations, seconds, seconds / operations)

    def learn(self, operations: float, seconds: float) -> None:
        """Take in what an attempt has stated, and what it took."""
        self.operations += operations
        self.seconds += seconds
        self.largest = max(self.largest, operations)

    def needed(self, operations: float) -> float:
        """Seconds for so many operations.

        Each attempt makes networks and sessions before it computes. Where it computes little, as
        on small networks, that is nearly all of its time, and says nothing of a larger one: what
        it has beyond the largest so far is taken to be computed, at a pace near that of the pass.
        """
        pace = max(self.seconds / self.operations, self.least)
        known = min(operations, self.largest)
        return known * pace + (operations - known) * min(pace, _SLOWER * self.least)


def attempt_cost(recovery: Recovery, case: Case) -> float:
    """Operations of an attempt: of the recovery, of judging, of calibrating another form."""
    anew = sweep_cost(case) if recovery.stage in FORMS else 0.0
    judged = walk_cost(case, case.samples) / _JUDGED
    return max(recovery.cost(case) + anew + judged, 1.0)


def _multiplied(case: Case) -> float:
    """Multiplications of the layers a sample: each value of a channel meets that one's weights.

    Windows that step over positions take fewer. Layers whose input has no axis of channels, or
    another name by then, are left out.
    """
    read = {u.node: s for s in case.sites if s.streams and s.axis is not None for u in s.uses}
    total = 0.0
    for site in case.sites:
        source = read.get(site.node)
        known = source is not None and source.key in case.seen and site.key in case.seen
        if site.role == "weight" and source is not None and known:
            channels = case.seen[source.key].channels.hi.size
            total += case.values([source]) * case.seen[site.key].whole.size / channels
    return total
