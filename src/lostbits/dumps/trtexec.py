"""``trtexec --exportOutput=FILE``: the bindings of an engine as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np

from lostbits.dump import Content, DumpFormat, Stored, beginning, placed, unreadable


@final
class Trtexec(DumpFormat):
    """A list of ``{"name": ..., "dimensions": "1x3x8x8", "values": [...]}``.

    References:
        NVIDIA TensorRT 10.16, samples/common/sampleReporting.cpp, exportJSONOutput.
    """

    name = "trtexec"
    title = "trtexec --exportOutput"

    def takes(self, files: Sequence[Path]) -> list[Path]:
        """JSON whose first object has the three keys."""
        found = (f for f in files if f.suffix.lower() == ".json")
        return [f for f in found if _is_list_of_tensors(beginning(f))]

    def read(self, root: Path, file: Path) -> Iterator[Stored]:
        """Every binding."""
        try:
            tensors = json.loads(file.read_bytes())
            rows = [(str(t["name"]), t) for t in tensors]
        except (ValueError, KeyError, TypeError) as error:
            raise unreadable(str(file), f"{type(error).__name__}: {error}") from error
        sample = placed(root, file)[1]
        for name, row in rows:
            yield Stored(name, sample, f"{file}: {name}", partial(_array, row))


def _is_list_of_tensors(head: bytes) -> bool:
    return head.lstrip()[:1] == b"[" and b'"dimensions"' in head and b'"name"' in head


def _array(row: Mapping[str, Any]) -> Content:
    """The values; a scalar has no dimensions."""
    told = str(row["dimensions"]).strip()
    shape = [int(n) for n in told.split("x")] if told else []
    return np.asarray(row["values"], np.float64).reshape(shape)
