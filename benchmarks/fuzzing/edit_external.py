"""Edits of external data: where a model says that the values of a tensor lie."""

from random import Random

import onnx

from benchmarks.fuzzing.tree import Entry, Folder, Link, Pipe, Tree

LOCATIONS = (
    "w.data", "nowhere.data", "../secret/w.data", "../secret/secret.txt", "/etc/passwd",
    "secret.txt", "../in/w.data", "./w.data", ".//w.data", "w.data/", "", ".", "..", "/",
    "/dev/zero", "/dev/stdin", "/dev/fd/0", "/proc/self/environ", "/proc/self/mem", "link.data",
    "pipe.data", "folder.data", "dangling.data", "loop.data", "sub/w.data", "sub/../w.data",
    "sub/../../secret/w.data", "up/w.data", "net.onnx", "w.data\0", "W.DATA", "w.data?x",
    "file:///etc/passwd", "http://localhost/w", "\\\\host\\share", "..\\secret\\w.data",
    "C:\\w.data", "~/w.data", "$HOME/w.data", "w*.data", "a" * 300, "d/" * 3000 + "w", "\x1b[31m",
    "\ud7ff\u202e", " w.data", "w.data ", "empty.data", "../work/w.data", "deep.data",
    "%2e%2e/secret/w.data", "-w.data",
)  # fmt: skip
_NUMBERS = (
    "0", "1", "4", "-1", "4096", "99999999999", "9223372036854775807", "18446744073709551616", "x",
    "", "1e3", "0x10", " 4", "4.0", "1" * 400, "None", "-4096", "3", "٤",
)  # fmt: skip


def beside(data: bytes) -> Tree:
    """Files beside a model that locations may lead to."""
    found: dict[str, Entry] = {
        "in/w.data": data,
        "in/link.data": Link("../secret/w.data"),
        "in/deep.data": Link("deeper.data"),
        "in/deeper.data": Link("../secret/secret.txt"),
        "in/dangling.data": Link("nowhere"),
        "in/loop.data": Link("loop.data"),
        "in/pipe.data": Pipe(),
        "in/folder.data": Folder(),
        "in/empty.data": b"",
        "in/sub/w.data": data,
        "in/up": Link("../secret"),
    }
    return dict(found)


def outsourced(model: onnx.ModelProto) -> bytes:
    """Put the values of all large tensors into one file, which is returned; names it ``w.data``."""
    content = b""
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.STRING and len(tensor.raw_data) > 8:
            place(tensor, "w.data", str(len(content)), str(len(tensor.raw_data)))
            content += tensor.raw_data
            tensor.ClearField("raw_data")
    return content


def place(tensor: onnx.TensorProto, location: str, offset: str | None, length: str | None) -> None:
    """Say where the values lie."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=value)


def edit(model: onnx.ModelProto, dice: Random) -> None:
    """Change what one tensor says, or make one external that is not."""
    tensors = list(model.graph.initializer)
    if not tensors:
        return
    tensor = dice.choice([t for t in tensors if t.external_data] or tensors)
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        tensor.ClearField("raw_data")
        place(tensor, "w.data", None, None)
    entry = dice.choice(tensor.external_data)
    match dice.randrange(8):
        case 0:
            tensor.external_data.add(
                key=dice.choice(("location", "checksum", "x", "offset")), value="1"
            )
        case 1:
            del tensor.external_data[:]
        case 2:
            tensor.data_type = dice.choice((0, 2, 7, 8, 10, 11, 16, 17, 21, 22, 23, 99))
        case 3:
            tensor.dims.append(dice.choice((0, 1, 2, -1, 2**31, 2**62)))
        case _ if entry.key == "location" or dice.random() < 0.5:
            _set(tensor, "location", dice.choice(LOCATIONS))
        case _:
            entry.value = dice.choice(_NUMBERS)


def _set(tensor: onnx.TensorProto, key: str, value: str) -> None:
    for entry in tensor.external_data:
        if entry.key == key:
            entry.value = value
