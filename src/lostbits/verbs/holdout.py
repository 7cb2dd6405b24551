"""Samples that judge a recovery, kept apart from those that it works on."""

from lostbits.errors import DataError
from lostbits.verbs.origin import Samples

_ONE_IN = 4  # samples of which one judges, where no others are given
_MOST = 64


def held_out(samples: Samples) -> tuple[Samples, Samples]:
    """Samples that judge, the last ones, and samples to work on.

    Raises:
        DataError: D033 when there are too few for both.
    """
    size = len(samples.source)
    count = min(size // _ONE_IN, _MOST)
    if count < 2 or size - count < 2:
        raise DataError(
            "D033",
            samples.source.description,
            f"{size}",
        )
    return samples.part(size - count, size), samples.part(0, size - count)
