"""Traces of Texas Instruments' TIDL: a file a buffer, whose name holds its number and its sizes."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import numpy as np

from lostbits.dump import Content, DumpFormat, Stored, unreadable

_TRACE = re.compile(
    r"(?P<prefix>.*?trace.*?)_?(?P<id>\d{4})(?P<sizes>(?:_\d{5})+(?:x\d{5})?)"
    r"(?:(?P<float>_float\.bin)|\.y)"
)
_TABLE = re.compile(r"^\s*(?P<layer>\d+)\s+(?P<id>\d+)\s+(?P<name>\S.*?)\s*$")


@final
class Tidl(DumpFormat):
    """``tidl_traceAAAA_BBBBB_CCCCC_DDDDDxEEEEE.y`` and ``..._float.bin``.

    A is the number of the buffer, B the batch, C channels, D width, E height; float traces, where
    there are any, are taken instead of codes. Names come from ``*.layer_info.txt``: number of the
    layer, of the buffer, name in the model.

    References:
        Texas Instruments edgeai-tidl-tools, docs/tidl_osr_debug.md (debug_level 3 and 4).
    """

    name = "tidl"
    title = "TIDL layer traces"

    def takes(self, files: Sequence[Path]) -> list[Path]:
        """By the form of the name."""
        found = [(f, m) for f in files if (m := _TRACE.fullmatch(f.name))]
        floats = {(f.parent, m["id"]) for f, m in found if m["float"]}
        return [f for f, m in found if m["float"] or (f.parent, m["id"]) not in floats]

    def read(self, root: Path, file: Path) -> Iterator[Stored]:
        """One buffer."""
        match = _TRACE.fullmatch(file.name)
        assert match is not None
        number, sizes = int(match["id"]), [int(n) for n in re.findall(r"\d{5}", match["sizes"])]
        shape = [*sizes[:-2], sizes[-1], sizes[-2]]  # the width comes first
        kind = np.dtype(np.float32) if match["float"] else None
        name = _names(root).get(number, f"data_{number}")
        yield Stored(name, None, str(file), lambda: _array(file, shape, kind))


def _names(root: Path) -> dict[int, str]:
    """Names by the number of the buffer; the last layer that writes it counts."""
    tables = sorted(root.rglob("*layer_info.txt")) if root.is_dir() else []
    lines = [line for t in tables for line in t.read_text(encoding="utf-8").splitlines()]
    return {int(m["id"]): m["name"] for m in map(_TABLE.match, lines) if m}


def _array(file: Path, shape: Sequence[int], kind: np.dtype[np.float32] | None) -> Content:
    """The array; of codes, the bytes of a value follow from the size of the file."""
    content, count = file.read_bytes(), int(np.prod(shape))
    width = len(content) // count if count else 0
    if not count or len(content) != count * width or width not in {1, 2, 4}:
        raise unreadable(str(file), f"{len(content)} bytes for {count} values")
    if kind is None:
        return content
    return np.frombuffer(content, kind).reshape(shape)
