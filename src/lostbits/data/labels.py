"""The true classes of samples."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.data.access import existing, reading
from lostbits.errors import DataError

_RULE = "labels are class numbers, one whole number a sample"


def read_labels(path: Path, count: int) -> NDArray[np.int64]:
    """The class of each of ``count`` samples, shape ``(count,)``.

    Args:
        path: A .npy file, an .npz file with one array, or a .txt file with a number a line.
        count: Number of samples that they are for.

    Raises:
        DataError: D001, D002 or D003 if the file is not there or not of these kinds; D019 if the
            number of labels differs; D020 if they are not whole numbers.
    """
    labels = _whole(path, _read(existing(path)))
    if len(labels) != count:
        rule, found = f"{count} samples need {count} labels", f"there are {len(labels)}"
        todo = "give the labels of these samples, in the same order"
        raise DataError("D019", str(path), rule, found, todo)
    return labels


def _whole(path: Path, labels: NDArray[Any]) -> NDArray[np.int64]:
    if labels.ndim == 1 and np.can_cast(labels.dtype, np.int64):
        return labels.astype(np.int64)
    found = f"{labels.dtype} of shape {labels.shape}"
    todo = "save class numbers, as scores.argmax(axis=1) gives them"
    raise DataError("D020", str(path), _RULE, found, todo)


def _read(path: Path) -> NDArray[Any]:
    match path.suffix.lower():
        case ".txt":
            return _lines(path)
        case ".npy" | ".npz":
            with reading(str(path)):
                loaded = np.load(path, allow_pickle=False)
                return loaded if isinstance(loaded, np.ndarray) else _only(loaded)
    todo = "give .npy, .npz or .txt"
    raise DataError("D003", str(path), _RULE, f"a file of kind {path.suffix!r}", todo)


def _only(archive: Any) -> NDArray[Any]:
    with archive:
        if len(archive.files) != 1:
            raise ValueError(f"it must hold one array, not {len(archive.files)}")
        only: NDArray[Any] = archive[archive.files[0]]
        return only


def _lines(path: Path) -> NDArray[Any]:
    with reading(str(path)):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    labels = []
    for number, line in enumerate(lines, start=1):
        try:
            labels += [np.int64(line)] if line.strip() else []
        except (ValueError, OverflowError):
            where = f"{path}, line {number}"
            raise DataError("D020", where, _RULE, repr(line), "correct the line") from None
    return np.array(labels, np.int64)
