"""Polygraphy's ``run --save-outputs FILE``: results of runners, arrays as base64 of .npy."""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np

from lostbits.dump import Content, DumpFormat, Stored, beginning, unreadable


@final
class Polygraphy(DumpFormat):
    """``RunResults``: of every runner a list of iterations; the first runner is taken.

    References:
        NVIDIA Polygraphy 0.53.6, polygraphy/comparator/struct.py, polygraphy/json/serde.py.
    """

    name = "polygraphy"
    title = "Polygraphy run results (JSON)"

    def takes(self, files: Sequence[Path]) -> list[Path]:
        """JSON objects with a list of runners."""
        found = (f for f in files if f.suffix.lower() == ".json")
        return [f for f in found if _is_results(beginning(f))]

    def read(self, root: Path, file: Path) -> Iterator[Stored]:
        """Every output of every iteration."""
        try:
            _, iterations = json.loads(file.read_bytes())["lst"][0]
            outputs = [each["outputs"] for each in iterations]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise unreadable(str(file), f"{type(error).__name__}: {error}") from error
        for number, tensors in enumerate(outputs):
            for name, held in tensors.items():
                where = f"{file}: iteration {number}: {name}"
                yield Stored(name, number, where, partial(_array, held))


def _is_results(head: bytes) -> bool:
    return head.lstrip()[:1] == b"{" and b'"lst"' in head


def _array(held: Mapping[str, Any]) -> Content:
    """An array, in a lazy one or by itself."""
    inner = held.get("values", held)
    content = base64.b64decode(inner["array"], validate=True)
    array: Content = np.load(io.BytesIO(content), allow_pickle=False)
    return array
