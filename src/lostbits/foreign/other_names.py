"""Names of a file that are the model's but for a part that all of them have or lack."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import final

from lostbits.language import Message, say

_ENDS = "./:"  # what a part of a name ends or begins with
_FEWEST = 2  # names that become known, below which it may be chance
_MOST = 5000  # names that are tried
_SWAPS = {("/", "."): "match.dots", (".", "/"): "match.slashes"}


def renaming(names: Collection[str], known: Collection[str]) -> Message | None:
    """What makes most of the ``names`` known: one part less or more, or other separators.

    Args:
        names: Of a file; those that are known already do not count.
        known: Of the model.
    """
    votes = _Votes(frozenset(known))
    strange = [name for name in names if name not in votes.known][:_MOST]
    for name in strange:
        votes.of(name)
    code, part, count = votes.best()
    if count < min(_FEWEST, len(strange)) or not count:
        return None
    return say(code, count=str(count), all=str(len(names)), part=repr(part))


@final
class _Votes:
    """Counts what each name would need."""

    def __init__(self, known: frozenset[str]) -> None:
        self.known = known
        self.longer = {cut: part for name in known for cut, part in _shortened(name) if cut}
        self.counts = Counter[tuple[str, str]]()

    def of(self, name: str) -> None:
        """Count what makes this name known."""
        less = {part for cut, part in _shortened(name) if cut in self.known}
        self.counts.update(("match.without", part) for part in less)
        if name in self.longer:
            self.counts["match.with", self.longer[name]] += 1
        for (old, new), code in _SWAPS.items():
            plain = name.replace(old, new)
            if plain != name and (plain in self.known or plain.strip(new) in self.known):
                self.counts[code, new] += 1

    def best(self) -> tuple[str, str, int]:
        """Text, part and how many names it makes known."""
        most = self.counts.most_common(1)
        return (*most[0][0], most[0][1]) if most else ("", "", 0)


def _shortened(name: str) -> Iterator[tuple[str, str]]:
    """The name without its beginning or end, for each separator, and the part that goes."""
    for place, letter in enumerate(name):
        if letter in _ENDS:
            yield name[place + 1 :], name[: place + 1]
            yield name[:place], name[place:]
