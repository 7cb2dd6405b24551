"""Labels one beside what float answers: another first class, or none for the background."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Offset = Literal[-1, 0, 1]
_STEPS = (-1, 1)  # from the label to what float answers
_OFF: tuple[Offset, Offset] = (1, -1)


def beside(answers: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples for which an answer is one less than its label, and one more; shape (2,)."""
    return np.array([int((answers == labels + step).sum()) for step in _STEPS], np.int64)


def labels_off(labelled: int, right: int, counts: NDArray[np.int64]) -> Offset:
    """1 where labels are one above the answers, -1 where they are one below, 0 otherwise.

    Most samples must say so, and more than twice as many as are right: networks that confuse
    neighbouring classes do neither.

    >>> labels_off(100, 3, np.array([90, 1])), labels_off(100, 60, np.array([30, 5]))
    (1, 0)
    """
    number = int(counts.argmax())
    most = int(counts[number])
    return _OFF[number] if 2 * most > labelled and most > 2 * right else 0
