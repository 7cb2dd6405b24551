"""Snapshots of RKNN's ``accuracy_analysis``: every layer as text, as .npy, or as both."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import numpy as np

from lostbits.dump import Content, DumpFormat, Stored

_MARKS = ("map_name_to_file.txt", "error_analysis.txt")
# Of what a snapshot holds, what the device or its simulator computed; never the float network.
_COMPUTED = ("runtime", "simulator", "entire_qnt", "qnt_data", "qnt", "individual_qnt")
_LINE = re.compile(r"^\s*(?P<name>\S.*?)(?:\s*[:,]\s*|\s{2,}|\t|\s+)(?P<file>\S+)\s*$")


@final
class Rknn(DumpFormat):
    """``snapshot/{golden,simulator,runtime}/npy/FILE.npy`` with a map of names to files.

    The older toolkit writes text, a value a line: ``entire_qnt/NAME.txt``, or ``NAME.tensor``.

    References:
        Rockchip rknn-toolkit2 2.3, examples/functions/accuracy_analysis; rknn-toolkit 1.7,
        user guide, accuracy_analysis.
    """

    name = "rknn"
    title = "RKNN accuracy_analysis snapshots"

    def takes(self, files: Sequence[Path]) -> list[Path]:
        """What lies beside the table of errors, of the best kind that there is."""
        roots = {f.parent for f in files if f.name in _MARKS}
        found = [f for f in files if f.suffix.lower() in {".npy", ".txt", ".tensor"}]
        for kind in _COMPUTED:
            mine = [f for f in found if any(_below(f, r / kind) for r in roots)]
            if mine:
                arrays = [f for f in mine if f.suffix.lower() == ".npy"]
                return arrays or mine
        return []

    def read(self, root: Path, file: Path) -> Iterator[Stored]:
        """One layer."""
        names = {Path(stored).stem: name for name, stored in _names(file, root)}
        name = names.get(file.stem, file.stem)
        if file.suffix.lower() == ".npy":
            yield Stored(name, None, str(file), lambda: np.load(file, allow_pickle=False))
        else:
            yield Stored(name, None, str(file), lambda: _numbers(file))


def _below(file: Path, folder: Path) -> bool:
    return folder in file.parents


def _numbers(file: Path) -> Content:
    """Values as text, one or several a line; the shape is not told."""
    return np.asarray(file.read_text(encoding="utf-8").replace(",", " ").split(), np.float64)


def _names(file: Path, root: Path) -> Iterator[tuple[str, str]]:
    """Names of layers and of their files, as the map beside them has them."""
    for folder in file.parents:
        table = folder / _MARKS[0]
        if table.is_file():
            lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
            yield from ((m["name"], m["file"]) for m in map(_LINE.match, lines) if m)
            return
        if folder == root:
            return
