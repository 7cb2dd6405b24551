"""Values that an open job sends to all of its workers."""

from typing import Any, NamedTuple, final


class Broadcast(NamedTuple):
    """One value.

    Attributes:
        number: Later ones have larger numbers.
        place: What it is about; only the last value of a place counts.
        where: Where the pool has put it for its workers.
    """

    number: int
    place: str
    where: Any


@final
class Broadcasts:
    """The values that count, in the order in which they were sent."""

    def __init__(self) -> None:
        self._by_place: dict[str, Broadcast] = {}
        self.last = 0

    def put(self, place: str, where: Any) -> Broadcast | None:
        """Add a value; the one that it replaces is returned."""
        before = self._by_place.pop(place, None)
        self.last += 1
        self._by_place[place] = Broadcast(self.last, place, where)
        return before

    def after(self, number: int) -> list[Broadcast]:
        """Values that a worker has not received, where the last one that it has is ``number``."""
        return [broadcast for broadcast in self._by_place.values() if broadcast.number > number]
