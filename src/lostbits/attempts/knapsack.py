"""Which attempts promise most together in the time that is left.

Attempts of one class fight the same error, so that only the best of each counts: a knapsack of
multiple choice. A set is named by its best in every class, its leaders; any other member that fits
beside them, and promises no more than its leader, changes nothing but the number of attempts. So
not all subsets have to be looked at, but all choices of leaders: at most ``(n / c + 1) ** c`` for n
attempts in c classes, which is 1,296 for twenty in four, and linear in n for one class.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product
from math import fsum
from typing import final

_UNSURE = 2.0  # times as long as was said an attempt may take
_FAR = 10.0  # times as much promises what small gains wait for


@final
@dataclass(frozen=True)
class Option:
    """One attempt.

    Attributes:
        kind: Its class.
        worth: What it promises, positive.
        cost: What it takes.
    """

    kind: Hashable
    worth: float
    cost: float


def worth(some: Sequence[Option]) -> float:
    """What several promise together: the best of every class.

    >>> worth([Option("a", 3.0, 1.0), Option("a", 2.0, 1.0), Option("b", 1.0, 1.0)])
    4.0
    """
    kinds = {o.kind for o in some}
    return fsum(max(o.worth for o in some if o.kind == kind) for kind in kinds)


def best(options: Sequence[Option], room: float) -> tuple[int, ...]:
    """Indices of those that promise most in ``room``, of several such sets the largest.

    Of several as large, the first in the order of their indices. Nothing is left out that costs
    nothing. Empty where none fits.

    >>> best([Option("a", 4.0, 60.0), Option("a", 3.0, 20.0), Option("b", 0.5, 20.0)], 65.0)
    (0,)
    """
    kinds = dict.fromkeys(o.kind for o in options)
    choices = [[None, *(i for i, o in enumerate(options) if o.kind == kind)] for kind in kinds]
    led = [tuple(i for i in chosen if i is not None) for chosen in product(*choices)]
    fitting = [some for some in led if some and _cost(options, some) < room]
    promises = [fsum(options[i].worth for i in some) for some in fitting]
    most = max(promises, default=0.0)
    sets = [
        _filled(options, some, room)
        for some, promise in zip(fitting, promises, strict=True)
        if promise == most
    ]
    return min(sets, key=lambda some: (-len(some), some), default=())


def timely(options: Sequence[Option], room: float, judging: float) -> tuple[int, ...]:
    """Indices of those that need not wait, where time may be short for all of them.

    What promises little waits for what promises most, unless it wins more a second.

    Args:
        options: All that may come.
        room: Seconds that are left.
        judging: Seconds that each takes besides.

    >>> timely([Option("a", 0.1, 20.0), Option("b", 4.0, 40.0)], 90.0, 1.0)
    (1,)
    >>> timely([Option("a", 0.1, 20.0), Option("b", 4.0, 40.0)], 200.0, 1.0)
    (0, 1)
    """
    most = max(options, key=lambda option: option.worth, default=None)
    if most is None or _UNSURE * fsum(option.cost for option in options) < room:
        return tuple(range(len(options)))
    seconds = most.cost + judging
    return tuple(
        i
        for i, o in enumerate(options)
        if _FAR * o.worth >= most.worth or o.worth * seconds >= most.worth * o.cost
    )


def _cost(options: Sequence[Option], some: Sequence[int]) -> float:
    return fsum(options[i].cost for i in some)


def _filled(options: Sequence[Option], leaders: tuple[int, ...], room: float) -> tuple[int, ...]:
    """The leaders, and as many others as fit: the first in order of all such choices."""
    limits = {options[i].kind: options[i].worth for i in leaders}
    others = [
        i for i, o in enumerate(options) if i not in leaders and o.worth <= limits.get(o.kind, 0.0)
    ]
    chosen, left = list(leaders), room - _cost(options, leaders)
    wanted = _fitting(options, others, left)
    for number, i in enumerate(others):
        rest = left - options[i].cost
        if wanted and rest > 0 and _fitting(options, others[number + 1 :], rest) >= wanted - 1:
            chosen, left, wanted = [*chosen, i], rest, wanted - 1
    return tuple(sorted(chosen))


def _fitting(options: Sequence[Option], others: Sequence[int], room: float) -> int:
    """How many fit at most: the cheapest ones."""
    total, count = 0.0, 0
    for cost in sorted(options[i].cost for i in others):
        total += cost
        if not total < room:
            break
        count += 1
    return count
