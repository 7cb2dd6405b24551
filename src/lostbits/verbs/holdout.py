"""Samples that judge a recovery, kept apart from those that it works on."""

from lostbits.errors import DataError
from lostbits.verbs.origin import Samples

_ONE_IN = 4  # samples of which one judges, where no others are given
_FEWEST, _MOST = 16, 64  # judges that tell a gain from noise, as far as half of the samples go


def held_out(samples: Samples) -> tuple[Samples, Samples]:
    """Samples that judge, the last ones, and samples to work on.

    Raises:
        DataError: D033 when there are too few for both.
    """
    size = len(samples.source)
    count = min(max(size // _ONE_IN, min(_FEWEST, size // 2)), _MOST)
    if size < 2 * _ONE_IN:
        raise DataError(
            "D033",
            samples.source.description,
            f"{size}",
        )
    return samples.part(size - count, size), samples.part(0, size - count)
