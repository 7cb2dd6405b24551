"""What a diagnosis may be told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

from lostbits.errors import LARGEST_SEED, TargetError, check_number, close_match
from lostbits.plan.tensor_settings import Override
from lostbits.runtime.metrics import Metric
from lostbits.workers.pool import Resources
from lostbits.workers.work_folder import Work, nobody

ROOM = 1_200_000_000
# Each permutation is two runs a site; beyond some thousands nothing settles any further.
_MOST_PERMUTATIONS = 10_000
_LARGEST_BATCH = 1 << 20


METHODS = ("auto", "aumann-shapley", "permutation")


@final
@dataclass(frozen=True)
class Settings:
    """How a diagnosis goes about it.

    Attributes:
        metric: ``nsr``, ``kl`` or ``loss``: what is attributed.
        method: Of the network attribution; ``auto`` takes the gradient where there is one.
        of: Output or part whose error alone is attributed, or ``all``; None: the worst part where
            it is far below the whole.
        batch: Samples a run while calibrating.
        permutations: Orders that the permutation method walks; an even number.
        seed: Of permutations beyond the first two.
        overrides: Wishes for single tensors.
        command: The command line that stands in findings and result.
        resources: Who works: this process, several, or a cluster, and with how much memory.
        room: Bytes that the tensors of one batch may take while they are attributed, all copies
            together; smaller where ``resources`` bound the memory.
        loss: Of a user's metric, which ``loss`` stands for; see ``runtime.metrics.Value``.
        announce: Told in a sentence what a bounded run will take, before it begins.
        cache: Where the sums over the data are kept as they grow, so that a run that was killed
            goes on where they stand; None keeps none.
    """

    metric: Metric = "nsr"
    method: str = "auto"
    of: str | None = None
    batch: int = 8
    permutations: int = 2
    seed: int = 0
    overrides: tuple[Override, ...] = ()
    command: str = ""
    resources: Resources = field(default_factory=Resources)
    cache: Work | None = None
    room: int = ROOM
    loss: Callable[..., Any] | None = None
    announce: Callable[[str], None] = nobody

    def __post_init__(self) -> None:
        """Refuse numbers that nobody can mean.

        Raises:
            TargetError: T010, T017.
        """
        check_method(self.method)
        check_number("--batch", self.batch, 1, _LARGEST_BATCH)
        check_number("--permutations", self.permutations, 2, _MOST_PERMUTATIONS)
        check_number("--seed", self.seed, 0, LARGEST_SEED)


def check_method(name: str) -> None:
    """Whether it is an attribution method.

    Raises:
        TargetError: T010 for any other name.
    """
    if name not in METHODS:
        advice = close_match(name, METHODS)
        raise TargetError("T010", f"--method {name}", "no such method", advice=advice)
