"""What a file is by its first bytes, where these tell; where they do not, by how its name ends.

Names lie more often than bytes: a download that failed is a page named ``model.onnx``.
"""

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lostbits.system.files import open_file, size_of

_HEAD = 1 << 12  # bytes that are looked at
_MOST_NAMES = 4096  # of an archive: what tells lies among the first
# What opening a zip raises where it is damaged, or of a version or a kind that zipfile lacks.
UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError)
_Test = Callable[[bytes], bool]


def _begins(*starts: bytes) -> _Test:
    return lambda head: head.startswith(starts)


def _marked(mark: bytes, at: int = 4) -> _Test:
    return lambda head: head[at : at + len(mark)] == mark


def _text(*starts: bytes) -> _Test:
    return lambda head: head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(starts)


_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif")
_DLC = {"model.params", "dlc.metadata"}  # names in archives
_EXPORTED = {"archive_format", "serialized_exported_program.json"}
_ZSTD = b"\x28\xb5\x2f\xfd"


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")


# Order counts: what is told by more bytes comes first.
_MARKS: tuple[tuple[str, _Test], ...] = (
    ("lfs", _begins(b"version https://git-lfs")),
    ("html", _text(b"<!doctype html", b"<html", b"<head")),
    ("openvino", lambda head: _text(b"<?xml", b"<net")(head) and b"<net" in head),
    ("ncnn", _begins(b"7767517")),
    ("tflite", _marked(b"TFL3")),
    ("ort", _marked(b"ORTM")),
    ("rknn", _begins(b"RKNN")),
    ("engine", lambda head: b"ftrt" in head[:64] or _length_and_json(head)),
    ("ascend", _begins(b"IMOD")),
    ("gguf", _begins(b"GGUF")),
    ("hdf5", _begins(b"\x89HDF\r\n\x1a\n")),
    ("numpy", _begins(b"\x93NUMPY")),
    ("gif", _begins(b"GIF87a", b"GIF89a")),
    ("tiff", _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("heic", lambda head: head[4:8] == b"ftyp" and head[8:12] in _HEIC),
    ("video", lambda head: head[4:8] in (b"ftyp", b"moov") and head[8:12] not in _HEIC),
    ("video", _begins(b"\x1a\x45\xdf\xa3", b"\0\0\x01\xba", b"FLV\x01")),
    ("video", lambda head: head.startswith(b"RIFF") and head[8:12] == b"AVI "),
    ("image", _begins(b"\x89PNG\r\n", b"\xff\xd8\xff", b"BM")),
    ("image", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP"),
    ("archive", _begins(b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"BZh", _ZSTD)),
    ("archive", _marked(b"ustar", 257)),
    ("pytorch", _begins(*(bytes((0x80, version)) for version in range(2, 6)))),  # a pickle
    ("safetensors", lambda head: head[8:9] == b"{" and _number(head[:8]) < 1 << 30),
)  # fmt: skip
# Formats whose first bytes are their own data.
_ENDINGS = {
    ".mnn": "mnn",
    ".bin": "weights",
    ".weights": "weights",
    ".caffemodel": "weights",
    ".params": "weights",
    ".param": "ncnn",
    ".prototxt": "caffe",
    ".pb": "tensorflow",
    ".engine": "engine",
    ".plan": "engine",
    ".trt": "engine",
    ".dlc": "dlc",
    ".rknn": "rknn",
    ".tflite": "tflite",
    ".xml": "openvino",
    ".pth": "pytorch",
    ".pt": "pytorch",
    ".ckpt": "pytorch",
    ".safetensors": "safetensors",
    ".h5": "hdf5",
    ".keras": "keras",
    ".mlmodel": "coreml",
    ".cambricon": "cambricon",
    ".json": "json",
}


def kind_of(path: Path) -> str | None:
    """The kind of a file by its content: ``pytorch``, ``html``, ``empty``, ...; None where unsure.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    if not size_of(path):
        return "empty"
    with open_file(path) as file:
        head = file.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        return _of_archive(path)
    return next((kind for kind, told in _MARKS if told(head)), None)


def kind_by_name(path: Path) -> str | None:
    """The kind that the ending of the name stands for; None where it stands for none of them."""
    return _ENDINGS.get(path.suffix.lower())


def _of_archive(path: Path) -> str:
    """Of a zip, by what lies in it: many formats are one."""
    names: list[str] = []
    with suppress(*UNREADABLE), zipfile.ZipFile(path) as archive:
        names = archive.namelist()[:_MOST_NAMES]
    last = {name.rsplit("/", 1)[-1] for name in names}
    tests = (
        ("numpy", bool(names) and all(name.endswith(".npy") for name in names)),
        ("dlc", bool(_DLC & last) or path.suffix.lower() == ".dlc"),
        ("exported_program", bool(_EXPORTED & last) or "models/model.json" in names),
        ("torchscript", "constants.pkl" in last or any("/code/" in name for name in names)),
        ("pytorch", "data.pkl" in last),
        ("keras", {"config.json", "model.weights.h5"} <= last),
    )
    return next((kind for kind, holds in tests if holds), "archive")


def _length_and_json(head: bytes) -> bool:
    """Four bytes of length, then JSON: what an exporter puts before a TensorRT engine."""
    length = _number(head[:4])
    with suppress(ValueError):
        return 2 < length <= len(head) - 4 and bool(json.loads(head[4 : 4 + length]))
    return False
