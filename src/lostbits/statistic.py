"""Contracts of what is seen of data batch by batch: running sums, and statistics among them."""

import abc
import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lostbits.grid import Array

State = TypeVar("State")
Parts = Mapping[str, NDArray[np.generic]]  # of a sum that is a few arrays


class RunningSum(abc.ABC, Generic[State]):
    """What parts of the data add up to.

    It is filled where the data are, by a method ``update`` of its own or by what measures. Where
    parts come together it is merged; a file keeps its state; a report is made of the whole. What
    measures needs networks to run, and what reports needs the case: a sum needs neither.

    tests/workers/test_running_sums.py holds every member to the laws: in any split the parts,
    merged in their order, are the whole; what a state restores is what it is the state of, and
    goes on like it; and what is given to ``merge`` is not changed, then or later.

    Attributes:
        form: Of what ``state`` returns: a record; see ``runtime.record``.
    """

    form: ClassVar[Any]

    @abc.abstractmethod
    def merge(self, other: Self) -> Self:
        """Take in everything that ``other`` has seen, after all that was seen here; return self."""

    @abc.abstractmethod
    def state(self) -> State:
        """All that was seen; no copy, so to be read before more is taken in."""

    @abc.abstractmethod
    def restore(self, state: State) -> Self:
        """Put what a state holds in the place of all that was seen, and return self.

        Raises:
            ValueError: When it cannot be the state of such a sum; nothing has changed then.
        """


class RecordSum(RunningSum[Any]):
    """A sum that is a dataclass, of which nothing is known but its fields: its own state."""

    def __init_subclass__(cls) -> None:
        cls.form = cls

    def state(self) -> Self:
        """Itself."""
        return self

    def restore(self, state: Self) -> Self:
        """The fields of ``state``, which may be its own afterwards."""
        for field in fields(self):  # type: ignore[arg-type]
            setattr(self, field.name, getattr(state, field.name))
        return self


Sum = TypeVar("Sum", bound=RunningSum[Any])


def joined(own: Sum | None, more: Sum | None) -> Sum | None:
    """``own`` with what ``more`` has seen; either may be missing."""
    if more is None:
        return own
    return copy.deepcopy(more) if own is None else own.merge(more)


def join_all(sums: dict[str, Sum], more: Mapping[str, Sum]) -> None:
    """Merge sums that have names into those of the same names."""
    for name, one in more.items():
        found = joined(sums.get(name), one)
        assert found is not None
        sums[name] = found


class Statistic(RunningSum[State]):
    """A commutative monoid over batches.

    For batches a and b, ``S().update(a).merge(S().update(b))`` equals
    ``S().update(concatenate([a, b]))`` bit for bit, in any order.
    tests/statistics/test_statistics.py holds every member to it.
    """

    @abc.abstractmethod
    def update(self, x: Array) -> Self:
        """Take in one batch and return self."""
