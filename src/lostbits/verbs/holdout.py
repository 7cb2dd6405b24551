"""Samples that judge a recovery, kept apart from those that it works on."""

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lostbits.data import near_duplicates
from lostbits.errors import DataError
from lostbits.language import Message, say
from lostbits.verbs.origin import Samples

_ONE_IN = 4  # samples of which one judges, where no others are given
_FEWEST, _MOST = 16, 64  # judges that tell a gain from noise, as far as half of the samples go


def held_out(samples: Samples) -> tuple[Samples, Samples]:
    """Samples that judge, the last ones, and samples to work on.

    Samples that are next to the same stay on one side, so that nothing is judged by what it has
    learned from. Where these are too many for that, the notes of those that judge say so.

    Raises:
        DataError: D033 when there are too few for both.
    """
    size = len(samples.source)
    count = min(max(size // _ONE_IN, min(_FEWEST, size // 2)), _MOST)
    if size < 2 * _ONE_IN:
        raise DataError("D033", samples.source.description, f"{size}")
    judging, notes = _judging(near_duplicates(samples.source), size, count)
    rest = np.flatnonzero(~judging).tolist()
    judges = samples.part(np.flatnonzero(judging).tolist())
    return replace(judges, notes=notes), samples.part(rest)


def _judging(
    groups: NDArray[np.int64] | None, size: int, count: int
) -> tuple[NDArray[np.bool_], tuple[Message, ...]]:
    """Which samples judge, and what is to be said of that."""
    last = np.arange(size) >= size - count
    if groups is None:
        return last, ()
    shared = np.isin(groups, groups[last]) & ~last
    if not shared.any():
        return last, ()
    whole = _whole_groups(groups, count)
    if whole.sum() >= (count + 1) // 2:
        told = say("note.near_duplicates", count=str(_alike(groups)), judges=str(whole.sum()))
        return whole, (told,)
    seen = int(np.isin(groups[last], groups[~last]).sum())
    return last, (say("note.judges_seen", count=str(seen), judges=str(count)),)


def _whole_groups(groups: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """At most so many samples, from the end, each with all that are next to the same."""
    chosen = np.zeros(len(groups), bool)
    for group in dict.fromkeys(groups[::-1].tolist()):
        members = groups == group
        if chosen.sum() + members.sum() <= count:
            chosen |= members
    return chosen


def _alike(groups: NDArray[np.int64]) -> int:
    """Samples that have another next to the same."""
    return sum(n for n in Counter(groups.tolist()).values() if n > 1)
