"""Arrays of NumPy: what most runtimes hand to Python, LiteRT's and ONNX Runtime's among them."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import final
from zipfile import ZipFile

import numpy as np

from lostbits.dump import Content, DumpFormat, Stored, placed, unreadable
from lostbits.system.file_kind import UNREADABLE

# Of trtexec --saveAllDebugTensors=numpy: the iteration, and the tensor.
_DEBUG = re.compile(r"\d{4}_(?P<name>\D.*)")


@final
class NumpyArrays(DumpFormat):
    """``NAME.npy``, a file a tensor, and ``.npz``, a member a tensor.

    LiteRT's preserved tensors (``experimental_preserve_all_tensors``, ``get_tensor``) and what
    ``onnxruntime.quantization.qdq_loss_debug.collect_activations`` gives are stored so, and so are
    the debug tensors of trtexec (TensorRT 10.12).
    """

    name = "numpy"
    title = "NumPy arrays (.npy, .npz)"

    def takes(self, files: Sequence[Path]) -> list[Path]:
        """By suffix."""
        return [f for f in files if f.suffix.lower() in {".npy", ".npz"}]

    def read(self, root: Path, file: Path) -> Iterator[Stored]:
        """One tensor, or those of an archive."""
        name, sample = placed(root, file)
        counted = _DEBUG.fullmatch(name)
        name = counted["name"] if counted else name
        if file.suffix.lower() == ".npy":
            yield Stored(name, sample, str(file), lambda: np.load(file, allow_pickle=False))
            return
        for member in _members(file):
            yield Stored(member, sample, f"{file}: {member}", partial(_member, file, member))


def _members(file: Path) -> list[str]:
    try:
        with ZipFile(file) as archive:
            return [each.removesuffix(".npy") for each in archive.namelist()]
    except UNREADABLE as error:
        raise unreadable(str(file), str(error)) from error


def _member(file: Path, name: str) -> Content:
    with np.load(file, allow_pickle=False) as archive:
        array: Content = archive[name]
    return array
