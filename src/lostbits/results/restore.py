"""What setting sites to float restores, measured: the test of any ranking of them."""

from dataclasses import dataclass
from typing import final

from lostbits.runtime.figure_kinds import Count, Part


@final
@dataclass(frozen=True)
class RestorePoint:
    """The network with so many sites in float.

    Attributes:
        sites: How many; 0 is the network as it came.
        sqnr_db: Of the outputs; None where they equal float, or are not finite.
        agreement: Answers that stay the same; None without answers.
        accuracy: Right answers; None without labels.
    """

    sites: Count
    sqnr_db: float | None
    agreement: Part | None
    accuracy: Part | None


@final
@dataclass(frozen=True)
class RestoreCurve:
    """Figures against the number of sites set to float, first in the order of the attribution.

    Attributes:
        order: Keys of the sites, as many as the last point has.
        points: Beginning with none.
        samples: That each was measured on.
    """

    order: list[str]
    points: list[RestorePoint]
    samples: Count


@final
@dataclass(frozen=True)
class Repair:
    """Sites of a broken network that must be repaired before the rest can be told apart.

    Attributes:
        sites: Keys, the most suspect ones first.
        before_db: SQNR of the network as it came, on these samples; None where it is not finite.
        after_db: With the sites in float.
        runs: Forward runs over the samples that finding them took.
        samples: How many.
    """

    sites: list[str]
    before_db: float | None
    after_db: float | None
    runs: Count
    samples: Count
