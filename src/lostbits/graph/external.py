"""External data: the only place that opens files which a model, of whatever origin, names.

They are a part of the model, so they lie beside it: what a file names elsewhere is somebody's
secret, and what happens to have that name in the folder one works in is somebody else's data.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import final

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.errors import ModelError
from lostbits.graph.large import LARGE, keep_in_files
from lostbits.graph.sparse import densify
from lostbits.graph.tensors import byte_count, misshapen, tensors_of, unfit
from lostbits.system.logs import silenced

Array = NDArray[np.generic]
Bytes = NDArray[np.uint8]
_DIGITS = 18  # of a number below 2^63
_PLAIN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def with_external_data(proto: onnx.ModelProto, path: Path) -> ir.Model:
    """The model that was parsed from the file at ``path``, with its external data.

    Afterwards nothing refers to a file any more; large constants of a large model stay mapped to
    theirs, see graph.large. ``proto`` is used up.

    Args:
        proto: The content of the file; its constants may lie in other files, wherever they are
            used: initializers, attributes, inner graphs, functions.
        path: Where it lies. Only files in its folder are opened, through no link that leads out.

    Raises:
        ModelError: M002 for constants whose data do not fit their shapes, M004 for external data
            that are missing, incomplete or elsewhere.
    """
    _check(proto, path)
    files, mapped = _Files(path), dict[str, Array]()
    for tensor in filter(_is_external, proto.graph.initializer):
        array = _array(files.part_of(tensor), tensor)
        if array is not None:
            mapped[tensor.name] = array
            _clear(tensor)
    for tensor in filter(_is_external, tensors_of(proto)):
        tensor.raw_data = files.part_of(tensor).tobytes()
        _clear(tensor)
    densify(proto)
    with silenced("onnx_ir"):
        model = ir.from_proto(proto)
    keep_in_files(model.graph, mapped)
    return model


def _check(proto: onnx.ModelProto, path: Path) -> None:
    for tensor in tensors_of(proto):
        flaw = misshapen(tensor) or ("" if _is_external(tensor) else unfit(tensor))
        if flaw:
            where = f"{path}: tensor {tensor.name!r}"
            raise ModelError("M002.data", where, flaw)


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _clear(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def _array(content: Bytes, tensor: onnx.TensorProto) -> Array | None:
    """Large values where they lie; None where numpy cannot take them from there."""
    dtype = ir.DataType(tensor.data_type).numpy()
    if content.size <= LARGE or dtype.kind not in "fiub" or content.ctypes.data % dtype.itemsize:
        return None
    return content.view(dtype).reshape(tuple(tensor.dims))


@final
@dataclass(frozen=True)
class _Files:
    """The files beside a model that have been opened, by their locations."""

    path: Path
    opened: dict[str, Bytes] = field(default_factory=dict)

    def part_of(self, tensor: onnx.TensorProto) -> Bytes:
        """The bytes of a tensor, where they lie."""
        named = {entry.key: entry.value for entry in tensor.external_data}
        try:
            first, size = _extent(tensor, named)
            content = self._content(named.get("location", ""))
            if first + size > len(content):
                found = f"{named['location']!r} has {len(content)} bytes of {first + size}"
                raise _UnfitError(found)
        except _UnfitError as error:
            raise ModelError(
                "M004.file", f"{self.path}: tensor {tensor.name!r}", str(error)
            ) from error
        return content[first : first + size]

    def _content(self, location: str) -> Bytes:
        if location not in self.opened:
            self.opened[location] = _mapped(self._file(location), location)
        return self.opened[location]

    def _file(self, location: str) -> str:
        """The file that a location means, without links."""
        parts = PureWindowsPath(location)  # knows the separators and roots of all systems
        if not location or "\0" in location or parts.anchor or ".." in parts.parts:
            raise _UnfitError(f"location {location!r}, which is no path below the model's folder")
        file = os.path.realpath(self.path.parent / location)
        # Of a model that is itself a link, the data are, too, and lie beside what it leads to.
        homes = {os.path.realpath(self.path.parent), os.path.dirname(os.path.realpath(self.path))}
        if not any(os.path.commonpath([home, file]) == home for home in homes):
            raise _UnfitError(f"{location!r} is a link that leads out of the model's folder")
        return file


class _UnfitError(Exception):
    """What is wrong with external data; ends as M004."""


def _extent(tensor: onnx.TensorProto, named: dict[str, str]) -> tuple[int, int]:
    """Offset and length in bytes."""
    size = byte_count(tensor)
    first, length = _number(named, "offset", 0), _number(named, "length", size)
    if length != size or tensor.data_type == onnx.TensorProto.STRING:
        raise _UnfitError(f"length {length} where shape and type take {size} bytes")
    return first, size


def _number(named: dict[str, str], key: str, default: int) -> int:
    text = named.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        raise _UnfitError(f"{key} {text[:40]!r}, which is no number of bytes")
    return int(text)


def _mapped(file: str, location: str) -> Bytes:
    """The bytes of a regular file; who writes to them writes to a copy of the page."""
    try:
        _check_regular(os.stat(file), location)  # opening a device may already do something
        with os.fdopen(os.open(file, _PLAIN), "rb") as opened:
            _check_regular(found := os.fstat(opened.fileno()), location)
            empty = np.empty(0, np.uint8)
            return np.asarray(np.memmap(opened, np.uint8, "c")) if found.st_size else empty
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        what = "is missing" if missing else f"cannot be read ({error.strerror or error})"
        raise _UnfitError(f"{location!r} {what}; looked for {file!r}") from error


def _check_regular(found: os.stat_result, location: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _UnfitError(f"{location!r} is no regular file")
    if found.st_nlink > 1:  # an archive can make one of a file outside
        raise _UnfitError(f"{location!r} is a hard link, one of {found.st_nlink} names of a file")
