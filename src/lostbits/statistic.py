"""Contract of a statistic: a summary of many arrays, built one batch at a time."""

import abc
from typing import Any, Self

from lostbits.grid import Array


class Statistic(abc.ABC):
    """A commutative monoid over batches.

    For batches a and b, ``S().update(a).merge(S().update(b))`` equals
    ``S().update(concatenate([a, b]))`` bit for bit, in any order. tests/test_statistics.py holds
    every member to it.
    """

    @abc.abstractmethod
    def update(self, x: Array) -> Self:
        """Take in one batch and return self."""

    @abc.abstractmethod
    def merge(self, other: Self) -> Self:
        """Take in everything that ``other`` has seen and return self."""

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """What has been seen, as plain arrays: compared in tests, kept in caches."""
