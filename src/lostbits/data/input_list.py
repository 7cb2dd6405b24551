"""Samples from the raw files that an ``input_list.txt`` of SNPE or QNN names, a line each."""

from collections.abc import Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.data.conversion import whole_numbers
from lostbits.data.cursor import Item
from lostbits.data.interface import Interface
from lostbits.data.paths import MOST_TEXT, check_room, existing, reading
from lostbits.data.samples import Samples
from lostbits.data.source import InputSpec
from lostbits.errors import DataError, close_match
from lostbits.system.files import read_text, size_of

_FLOAT32 = np.dtype("<f4")


def files_in_list(path: Path, interface: Interface) -> Samples:
    """The samples of the raw files that a list names, all of which must have the right size.

    A line holds the paths of one sample's files, relative to the list's folder: in the order of
    the model's inputs, or as ``name:=path``. Lines that begin with # or % name outputs. A file
    holds little-endian float32 values in the layout of the model's own input; for an input of
    whole numbers they must be whole.
    """
    with reading(str(path)):
        lines = read_text(path, MOST_TEXT).splitlines()
    rows: list[tuple[str, dict[str, Path]]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith(("#", "%")):
            where = f"{path}, line {number}"
            rows.append((where, _files(where, path.parent, line.split(), interface)))
    return Samples.all_of(path.name, interface, partial(_raw, rows, interface), len(rows))


def _raw(rows: list[tuple[str, dict[str, Path]]], interface: Interface) -> Iterator[Item]:
    return (Item(where, 1, partial(_load, where, files, interface)) for where, files in rows)


def _files(where: str, folder: Path, entries: list[str], interface: Interface) -> dict[str, Path]:
    names = [spec.name for spec in interface.inputs]
    pairs = [entry.split(":=", 1) for entry in entries]
    if all(len(pair) == 2 for pair in pairs):
        named = {name: folder / file for name, file in pairs}
    else:
        named = {name: folder / entry for name, entry in zip(names, entries, strict=False)}
    if len(entries) != len(names) or set(named) != set(names):
        unknown = [name for name in named if name not in names]
        found = " ".join(entries)
        raise DataError(
            "D015",
            where,
            repr(found),
            names=", ".join(names),
            advice=close_match(unknown[0], names) if unknown else "correct the line",
        )
    for spec in interface.inputs:
        _check_bytes(existing(named[spec.name]), spec, interface)
    return named


def _check_bytes(path: Path, spec: InputSpec, interface: Interface) -> None:
    shape = _sample_shape(spec, interface)
    with reading(str(path)):
        expected, found = prod(shape) * _FLOAT32.itemsize, size_of(path)
    if found != expected:
        raise DataError(
            "D014.size", str(path), f"{found} bytes", name=spec.name, shape=shape, expected=expected
        )
    check_room(str(path), "a sample, as read and as fed,", 2 * found)


def _sample_shape(spec: InputSpec, interface: Interface) -> tuple[int, ...]:
    """Shape of one sample in a file, which says nothing about it itself."""
    shape = spec.sample_shape
    if interface.whole:
        batch = spec.shape[spec.batch_axis : spec.batch_axis + 1]
        shape = (*shape[: spec.batch_axis], *(d or 1 for d in batch), *shape[spec.batch_axis :])
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) < len(shape):
        found = f"input {spec.name!r} has shape {spec.shape}"
        raise DataError("D014.shape", "input list", found)
    return sizes


def _load(where: str, files: dict[str, Path], interface: Interface) -> dict[str, NDArray[Any]]:
    arrays = {}
    for spec in interface.inputs:
        with reading(str(files[spec.name])):
            values = np.fromfile(files[spec.name], _FLOAT32)
            x = values.reshape(1, *_sample_shape(spec, interface))
        arrays[spec.name] = x if spec.dtype.kind == "f" else whole_numbers(x)
    return arrays
