"""From the network's probabilities to text, and from text to a score."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray


def alphabet(model: Path) -> list[str]:
    """Return the characters of the network's classes: blank, the dictionary, a space."""
    entries = {entry.key: entry.value for entry in onnx.load(str(model)).metadata_props}
    return ["", *entries["character"].split("\n"), " "]


def decode(probabilities: NDArray[Any], characters: list[str]) -> str:
    """Return the likeliest class of every step, repetitions and blanks left out."""
    best = [0, *(int(step) for step in probabilities.argmax(-1))]
    return "".join(characters[now] for before, now in pairwise(best) if now != before)


def distance(found: str, wanted: str) -> int:
    """Return how many characters must be put in, left out or changed (Levenshtein)."""
    row = list(range(len(wanted) + 1))
    for number, character in enumerate(found, 1):
        corner, row[0] = row[0], number
        for index, other in enumerate(wanted, 1):
            cost = min(row[index] + 1, row[index - 1] + 1, corner + (character != other))
            corner, row[index] = row[index], cost
    return row[-1]


def right(found: list[str], wanted: list[str]) -> float:
    """Return the share of characters right: 1 - edit distances / lengths, both summed."""
    pairs = zip(found, wanted, strict=True)
    return 1 - sum(distance(f, w) for f, w in pairs) / sum(map(len, wanted))


def read(outputs: list[NDArray[Any]], characters: list[str]) -> list[str]:
    """Return the texts of all batches, without spaces: the network reads empty paper as some."""
    return [decode(each, characters).replace(" ", "") for each in np.concatenate(outputs)]
