"""What a diagnosis may be told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, final

from lostbits.data import Preprocess
from lostbits.errors import LARGEST_SEED, TargetError, check_number, close_match
from lostbits.override import Override
from lostbits.runtime.pool import Resources
from lostbits.runtime.work import Work, nobody

ROOM = 1_200_000_000
# Each permutation is two runs a site; beyond some thousands nothing settles any further.
_MOST_PERMUTATIONS = 10_000
_LARGEST_BATCH = 1 << 20


Method = Literal["auto", "aumann-shapley", "permutation"]
METHODS: tuple[Method, ...] = ("auto", "aumann-shapley", "permutation")


@final
@dataclass(frozen=True)
class Settings:
    """What a diagnosis may be told beyond model, data and target.

    Attributes:
        labels: Class numbers of the samples, for accuracy.
        calibration: Samples that set the ranges, if not the ones that are diagnosed.
        metric: ``nsr`` or ``kl``: what is attributed.
        method: Of the network attribution; ``auto`` takes the gradient where there is one.
        samples: Use only the first of them.
        batch: Samples a run while calibrating.
        permutations: Orders that the permutation method walks; an even number.
        seed: Of permutations beyond the first two.
        overrides: Wishes for single tensors.
        preprocess: For folders of images.
        plan: Somebody else's file: its parameters, instead of those of the target's own rules.
        command: The command line that stands in findings and result.
        resources: Who works: this process, several, or a cluster, and with how much memory.
        room: Bytes that the tensors of one batch may take while they are attributed, all copies
            together; smaller where ``resources`` bound the memory.
        announce: Told in a sentence what a bounded run will take, before it begins.
        cache: Where the sums over the data are kept as they grow, so that a run that was killed
            goes on where they stand; None keeps none.
    """

    labels: Path | None = None
    calibration: object = None
    metric: str = "nsr"
    method: Method = "auto"
    samples: int | None = None
    batch: int = 8
    permutations: int = 2
    seed: int = 0
    overrides: tuple[Override, ...] = ()
    preprocess: Preprocess | None = None
    plan: Path | None = None
    command: str = ""
    resources: Resources = field(default_factory=Resources)
    cache: Work | None = None
    room: int = ROOM
    announce: Callable[[str], None] = nobody

    def __post_init__(self) -> None:
        """Refuse numbers that nobody can mean.

        Raises:
            TargetError: T017.
        """
        check_number("--batch", self.batch, 1, _LARGEST_BATCH)
        check_number("--permutations", self.permutations, 2, _MOST_PERMUTATIONS)
        check_number("--seed", self.seed, 0, LARGEST_SEED)


def check_method(name: str) -> Method:
    """``name``, if it is an attribution method.

    Raises:
        TargetError: T010 for any other name.
    """
    for method in METHODS:
        if method == name:
            return method
    raise TargetError(
        "T010", f"--method {name}", "no such method", advice=close_match(name, METHODS)
    )
