"""The true classes of samples."""

import io
from array import array
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.data.conversion import convert
from lostbits.data.paths import MOST_TEXT, check_room, existing, reading
from lostbits.data.stored import Rows, stored_arrays
from lostbits.errors import DataError, edge
from lostbits.quoting import brief
from lostbits.system.files import read_text

_RULE = "labels are class numbers, one whole number a sample"


def read_labels(given: object, count: int) -> NDArray[np.int64]:
    """The class of each of ``count`` samples, shape ``(count,)``.

    Args:
        given: A .npy file, an .npz file with one array, a .txt file with a number a line; or an
            array, or what numpy makes one of.
        count: Number of samples that they are for.

    Raises:
        DataError: D001, D002 or D003 if the file is not there or not of these kinds; D019 if the
            number of labels differs; D020 if they are not whole numbers; D021 if they do not fit
            into memory.
    """
    where = str(given) if isinstance(given, str | Path) else "labels"
    with ExitStack() as stack:
        path = existing(Path(where)) if isinstance(given, str | Path) else None
        rows = _in_memory(given) if path is None else _rows(path, stack)
        _check_form(where, rows, count)
        check_room(where, "labels", 2 * 8 * count)
        with reading(where):
            labels = convert(rows[0:count], np.dtype(np.int64))
    if labels is None:
        raise _no_classes(where, f"{rows.dtype} above the largest int64")
    return labels


def read_truth(given: object, count: int) -> NDArray[Any]:
    """What a metric compares with, axis 0 counting samples; an array of objects where they differ.

    Args:
        given: A .npy file, an .npz file with one array, a .txt file with a text a line; an array,
            or a sequence with anything for each sample.
        count: Number of samples that it is for.

    Raises:
        DataError: D001, D002 or D003 if the file is not there or not of these kinds; D019 if the
            number differs; D020 if there is nothing for each sample; D021 if it does not fit into
            memory.
    """
    where = str(given) if isinstance(given, str | Path) else "labels"
    with ExitStack() as stack:
        if not isinstance(given, str | Path):
            found = _one_each(given)
        elif (path := existing(Path(where))).suffix.lower() == ".txt":
            with reading(where):
                found = np.array(read_text(path, MOST_TEXT).splitlines())
        else:
            rows = _rows(path, stack)
            check_room(where, "labels", 2 * int(np.prod(rows.shape)) * rows.dtype.itemsize)
            with reading(where):
                found = np.asarray(rows[0 : rows.shape[0]])
    if found.shape[:1] != (count,):
        raise DataError("D019", where, f"there are {len(found) if found.ndim else 1}", count=count)
    return found


def _one_each(given: object) -> NDArray[Any]:
    with edge(partial(_no_classes, "labels")):
        try:
            return np.asarray(given)
        except ValueError:  # lists of unlike length
            rows = list(given)  # type: ignore[call-overload]
            found = np.empty(len(rows), object)
            found[:] = rows
            return found


def _in_memory(given: object) -> NDArray[Any]:
    with edge(partial(_no_classes, "labels")):
        return np.asarray(given)


def check_classes(labels: NDArray[np.int64], classes: int) -> None:
    """Refuse labels that no answer of the network can be equal to: they would count as mistakes.

    Args:
        labels: Of the samples.
        classes: How many the network tells apart.

    Raises:
        DataError: D022, with how many they are, and the first of them.
    """
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        first = int(wrong[0])
        from_one = labels.min() >= 1 and labels.max() == classes
        raise DataError(
            "D022.from_one" if from_one else "D022.range",
            "labels",
            f"{wrong.size} of {labels.size} are none of them, as {labels[first]} of sample {first}",
            last=classes - 1,
        )


def _rows(path: Path, stack: ExitStack) -> Rows:
    match path.suffix.lower():
        case ".txt":
            return _lines(path)
        case ".npy" | ".npz":
            arrays = stored_arrays(path, stack)
            with reading(str(path)):
                if len(arrays) != 1:
                    raise ValueError(f"it must hold one array, not {len(arrays)}")
                return next(iter(arrays.values()))
    raise DataError("D003.labels", str(path), f"a file of kind {path.suffix!r}")


def _check_form(where: str, rows: Rows, count: int) -> None:
    if len(rows.shape) != 1 or rows.dtype.kind not in "iub":
        raise _no_classes(where, f"{rows.dtype} of shape {rows.shape}")
    if rows.shape[0] != count:
        found = f"there are {rows.shape[0]}"
        raise DataError("D019", where, found, count=count)


def _no_classes(where: str, found: str) -> DataError:
    return DataError("D020.array", where, found)


def _lines(path: Path) -> NDArray[Any]:
    with reading(str(path)):
        text = read_text(path, MOST_TEXT)
    labels = array("q")  # int64
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        try:
            labels.extend([int(line)] if line.strip() else [])
        except (ValueError, OverflowError):
            where = f"{path}, line {number}"
            raise DataError("D020.line", where, brief(line)) from None
    return np.array(labels, np.int64)
