"""From whatever was named or given to a source of samples."""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from lostbits.data.arrays import arrays_in_file, arrays_in_files
from lostbits.data.callables import imported, is_target
from lostbits.data.images import SUFFIXES, ImageReader, images_in_files
from lostbits.data.input_list import files_in_list
from lostbits.data.interface import Interface
from lostbits.data.objects import samples_of, samples_of_callable
from lostbits.data.paths import existing, reading
from lostbits.data.preprocess import Preprocess
from lostbits.data.samples import Samples
from lostbits.data.source import InputSpec, Source
from lostbits.data.wrong_kind import check_kind, no_samples, skipped
from lostbits.errors import DataError
from lostbits.system.files import size_of

_ARRAYS = frozenset({".npy", ".npz"})
_FILES: dict[str, Callable[[Path, Interface], Samples]] = {
    ".npy": arrays_in_file,
    ".npz": arrays_in_file,
    ".txt": files_in_list,
}


def open_source(
    data: object, inputs: Sequence[InputSpec], *, preprocess: Preprocess | None = None
) -> Source:
    """The samples of ``data`` for a model with these inputs.

    Args:
        data: A path to an .npz file with an array for every input, a .npy file, a folder of
            those or of images, or an ``input_list.txt`` of raw float32 files;
            ``package.module:callable``; a dict of arrays or an array; an iterable or a callable
            that gives dicts, arrays or tuples, each a batch (a torch DataLoader, whose labels
            are left out); or ONNX Runtime's CalibrationDataReader with a method ``rewind``.
        inputs: The model's inputs, in its order.
        preprocess: How images become values; needed for a folder of images, and for it alone.

    Raises:
        DataError: Any of the codes that `lostbits.data` lists.
    """
    if not inputs:
        raise ValueError("open_source(inputs=...) must name at least one input")
    interface = Interface(tuple(inputs))
    interface.check_size()
    if isinstance(data, str | Path) and not _is_callable(data):
        with reading(str(data)):
            path = existing(Path(data)).absolute()  # a worker may be in another folder
        return _in_path(path, interface, preprocess).tried()
    _refuse(preprocess, type(data).__name__)
    if isinstance(data, str):
        return samples_of_callable(data, imported(data), interface)
    return samples_of(data, interface)


def _is_callable(data: str | Path) -> bool:
    return isinstance(data, str) and is_target(data) and not os.path.exists(data)


def _in_path(path: Path, interface: Interface, preprocess: Preprocess | None) -> Samples:
    if path.is_dir():
        return _in_folder(path, interface, preprocess)
    check_kind(path)
    _refuse(preprocess, str(path))
    if path.suffix.lower() in _FILES:
        return _FILES[path.suffix.lower()](path, interface)
    found = f"a file of kind {path.suffix!r}"
    raise DataError("D003.file", str(path), found)


def _in_folder(folder: Path, interface: Interface, preprocess: Preprocess | None) -> Samples:
    with reading(str(folder)):
        files = sorted(folder.iterdir())
    arrays = _readable(files, _ARRAYS)
    images = _readable(files, SUFFIXES)
    name = f"{folder.resolve().name}/"
    if arrays and images:
        found = f"both, as {arrays[0].name!r} and {images[0].name!r}"
        raise DataError("D003.mixed", str(folder), found)
    others = [path for path in files if path not in {*arrays, *images}]
    if images:
        spec = interface.sole(str(folder), "images")
        reader = ImageReader.for_input(_needed(preprocess, folder), spec)
        return replace(images_in_files(name, images, reader), skipped=skipped(others))
    if arrays:
        _refuse(preprocess, str(folder))
        return replace(arrays_in_files(name, arrays, interface), skipped=skipped(others))
    raise no_samples(folder, files)


def _readable(files: Sequence[Path], suffixes: Collection[str]) -> list[Path]:
    """Those of these kinds; a link to nowhere among them is a sample that is missing."""
    chosen = [path for path in files if path.suffix.lower() in suffixes]
    for path in chosen:
        with reading(str(path)):
            size_of(existing(path))
    return chosen


def _needed(preprocess: Preprocess | None, folder: Path) -> Preprocess:
    if preprocess is None:
        raise DataError("D012.needed", str(folder), "there are none")
    return preprocess


def _refuse(preprocess: Preprocess | None, where: str) -> None:
    if preprocess is not None:
        raise DataError("D012.misplaced", where, "these data are none")
