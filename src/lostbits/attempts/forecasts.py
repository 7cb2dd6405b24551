"""What is expected of attempts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from lostbits.attempts.knapsack import Option, worth
from lostbits.recovery import FORMS, Recovery, Stage


@final
@dataclass(frozen=True)
class Forecast:
    """What is expected of an attempt at the present case.

    Attributes:
        gain: Decibels.
        cost: Operations.
    """

    gain: float
    cost: float

    def worth(self, stage: Stage) -> float:
        """By which attempts of a stage are ordered: decibels an operation.

        Of other forms of the network decibels alone: one leaves little to the next.
        """
        return self.gain if stage in FORMS else self.gain / self.cost


Forecasts = Mapping[str, Forecast]  # by the names of recoveries


def promise(some: Sequence[Recovery], predicted: Forecasts) -> float:
    """Decibels of several; those of one stage fight the same error: the best of them counts."""
    return worth([Option(r.stage, predicted[r.name].gain, 0.0) for r in some])
