"""Sequences: lines of text that a network reads step by step (CTC)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import DataError
from lostbits.metric import Answers, Labels, Metric
from lostbits.metrics.shapes import Floats, pair, truth

Line = tuple[int, ...]
_LINES = "class numbers, one a letter (samples, letters), filled up with -1"


@final
@dataclass(frozen=True)
class CtcAgreement(Metric):
    """One less the character error rate against what float reads, by greedy CTC.

    Attributes:
        blank: Class that stands for no letter.
    """

    blank: int = 0
    name: ClassVar[str] = "ctc"
    title: ClassVar[str] = "1 - character error rate against what float reads (greedy CTC)"
    source: ClassVar[str] = "Graves et al. 2006; Levenshtein 1966"
    kinds: ClassVar[tuple[str, ...]] = ("sequence",)
    range: ClassVar[tuple[float, float]] = (-np.inf, 1.0)

    def measure(self, answers: Answers) -> float:
        """Of the first output, (samples, steps, classes)."""
        output, plain = pair(answers, self.name, 3)
        return 1 - error_rate(read(output, self.blank), read(plain, self.blank))


@final
@dataclass(frozen=True)
class Characters(Metric):
    """One less the character error rate.

    Attributes:
        blank: Class that stands for no letter.
    """

    blank: int = 0
    name: ClassVar[str] = "cer"
    title: ClassVar[str] = "1 - character error rate (greedy CTC)"
    source: ClassVar[str] = "Levenshtein 1966"
    kinds: ClassVar[tuple[str, ...]] = ("sequence",)
    range: ClassVar[tuple[float, float]] = (-np.inf, 1.0)
    labels: ClassVar[Labels] = "any"

    def measure(self, answers: Answers) -> float:
        """Of the first output, (samples, steps, classes)."""
        output, _ = pair(answers, self.name, 3)
        return 1 - error_rate(read(output, self.blank), _lines(answers, self.name, output))


@final
@dataclass(frozen=True)
class Words(Metric):
    """One less the word error rate.

    Attributes:
        blank: Class that stands for no letter.
        space: Class between words; None where a line is one word.
    """

    blank: int = 0
    space: int | None = None
    name: ClassVar[str] = "wer"
    title: ClassVar[str] = "1 - word error rate (greedy CTC); by name a line is one word"
    source: ClassVar[str] = "Levenshtein 1966"
    kinds: ClassVar[tuple[str, ...]] = ("sequence",)
    range: ClassVar[tuple[float, float]] = (-np.inf, 1.0)
    labels: ClassVar[Labels] = "any"

    def measure(self, answers: Answers) -> float:
        """Of the first output, (samples, steps, classes)."""
        output, _ = pair(answers, self.name, 3)
        both = read(output, self.blank), _lines(answers, self.name, output)
        found, wanted = ([_words(line, self.space) for line in lines] for lines in both)
        return 1 - error_rate(found, wanted)


def read(output: Floats, blank: int) -> list[Line]:
    """What greedy CTC reads: the best class of each step, repeats as one, blanks left out.

    >>> read(np.eye(3)[[[1, 1, 0, 1, 2, 2]]], 0)
    [(1, 1, 2)]
    """
    best = output.argmax(-1)
    return [
        tuple(int(c) for i, c in enumerate(row) if c != blank and (i == 0 or c != row[i - 1]))
        for row in best
    ]


def error_rate(found: Sequence[Sequence[Any]], wanted: Sequence[Sequence[Any]]) -> float:
    """Edits over the length of all that is wanted.

    Raises:
        DataError: D048 where nothing is wanted.
    """
    length = sum(map(len, wanted))
    if not length:
        raise DataError("D048.few", "the lines", "all empty", metric="cer")
    return sum(edits(f, w) for f, w in zip(found, wanted, strict=True)) / length


def edits(found: Sequence[Any], wanted: Sequence[Any]) -> int:
    """Fewest letters to add, take out or replace (Levenshtein 1966).

    >>> edits("kitten", "sitting")
    3
    """
    last = list(range(len(wanted) + 1))
    for i, f in enumerate(found, 1):
        row = [i]
        for j, w in enumerate(wanted, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (f != w)))
        last = row
    return last[-1]


def _lines(answers: Answers, metric: str, output: Floats) -> list[Line]:
    labels: NDArray[Any] = truth(answers, metric, _LINES, len(output), None)
    if labels.size and labels.max() >= output.shape[-1]:
        found = f"class {labels.max()} of {output.shape[-1]}"
        raise DataError("D047", "labels", found, metric=metric, form=_LINES)
    return [tuple(int(c) for c in row if c >= 0) for row in labels]


def _words(line: Line, space: int | None) -> list[Line]:
    words: list[list[int]] = [[]]
    for letter in line:
        if letter == space:
            words.append([])
        else:
            words[-1].append(letter)
    return [tuple(word) for word in words if word]
