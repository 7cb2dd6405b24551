"""What the workers of an open job are to know besides it."""

from typing import Any, NamedTuple, final


class Notice(NamedTuple):
    """Something to know.

    Attributes:
        number: Later ones have larger numbers.
        place: What it is about; there is one notice a place.
        where: Where the pool has put it for its workers.
    """

    number: int
    place: str
    where: Any


@final
class Board:
    """The notices, in the order in which they came."""

    def __init__(self) -> None:
        self._by_place: dict[str, Notice] = {}
        self.last = 0

    def put(self, place: str, where: Any) -> Notice | None:
        """Put up a notice; the one whose place it takes is returned."""
        before = self._by_place.pop(place, None)
        self.last += 1
        self._by_place[place] = Notice(self.last, place, where)
        return before

    def after(self, number: int) -> list[Notice]:
        """What somebody who knows all up to a number has yet to hear."""
        return [notice for notice in self._by_place.values() if notice.number > number]
