"""Edits of .npy and .npz: headers, values, members of the archive."""

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fuzzing import edit_bytes, hostile

Array = NDArray[Any]
_SHAPES = (
    "()", "(0,)", "(-1,)", "(-1, 3)", "(True,)", "(2**62,)", "(9223372036854775808,)", "(1e3,)",
    "(4, 4294967296)", "(1000000000, 1000000000)", "[6, 4]", "(6, '4')", "6", "None", "(((6,),),)",
    "(6,) * 9", "(1,)*40", "(3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1)", "(6, 4", "(" * 200 + ")" * 200,
    "(99999999999999999999999999,)", "(0, 5)", "(6, 0)", "(1, 6, 4)", "(100000000,)", "(7, 4)",
)  # fmt: skip
_TYPES = (
    "'|O'", "'<f2'", "'<f8'", "'>f4'", "'<i4'", "'<u8'", "'|b1'", "'<c8'", "'<U5'", "'|S0'",
    "'|V8'", "'<M8[ns]'", "'<f16'", "'x'", "''", "None", "[('a', '<f4'), ('b', '|O')]",
    "[('a', '<f4')]", "'<f4,<f4'", "'|V0'", "'<U0'", "('<f4', (3,))", "'<f4" + "0" * 50 + "'",
    "float", "'<i8'", "[('a', '<f4', (1000000, 1000000))]", "'|S2147483647'",
)  # fmt: skip
_HEADERS = (
    "", "{", "{}", "{'descr'}", "[]", "1", "__import__('os').system('touch poisoned')", "\0" * 20,
    "{'descr': '<f4', 'fortran_order': False}",
    "{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': 1}", "(" * 5000, "{**{}}",
    "'" * 99, "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 4)", "lambda: 0", "\xff\xfe",
    "{'a': 'b",
)  # fmt: skip


def npy(array: Array) -> bytes:
    """The array as a file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def npz(arrays: dict[str, Array]) -> bytes:
    """The arrays as an archive."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def edited(content: bytes, dice: Random) -> bytes:
    """A .npy or .npz file with something changed, whichever it is."""
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile):
        return edit_bytes.edited(content, dice)
    if not arrays:
        return edit_bytes.edited(content, dice)
    if content.startswith(b"PK"):
        return _archive(arrays, dice)
    return _file(arrays[""], dice)


def _file(array: Array, dice: Random) -> bytes:
    match dice.randrange(4):
        case 0:
            return edit_bytes.edited(npy(array), dice)
        case 1:
            return npy(_values(array, dice))
        case _:
            return _headed(array, dice)


def _headed(array: Array, dice: Random) -> bytes:
    """With another header before the same values."""
    shape = dice.choice(_SHAPES) if dice.random() < 0.5 else repr(array.shape)
    kind = dice.choice(_TYPES) if dice.random() < 0.4 else repr(array.dtype.str)
    order = dice.choice(("False", "False", "True", "0", "None", "'x'"))
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if dice.random() < 0.25:
        header = dice.choice(_HEADERS)
    text = (header + " " * dice.choice((0, 3, 60)) + "\n").encode("latin-1")
    size = dice.choice((len(text), len(text), len(text), 0, 65_535, len(text) - 1))
    version = dice.choice(
        (b"\1\0", b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0", b"\0\0", b"\xff\xff")
    )
    length = struct.pack("<I" if version in (b"\2\0", b"\3\0") else "<H", size)
    values = array.tobytes()[: dice.choice((None, None, 5, 0))]
    return b"\x93NUMPY" + version + length + text + values


def _values(array: Array, dice: Random) -> Array:
    """Other values, another type, or another shape."""
    return dice.choice(_OF_VALUES)(array, dice)


def _some(array: Array, dice: Random) -> Array:
    changed = array.copy()
    if changed.dtype.kind == "f" and changed.size:
        flat = changed.reshape(-1)
        with np.errstate(over="ignore"):
            flat[dice.randrange(flat.size) :: dice.choice((1, 7, 10**9))] = hostile.number(dice)
    return changed


def _all(array: Array, dice: Random) -> Array:
    with np.errstate(over="ignore"):
        return np.full_like(array, hostile.number(dice) if array.dtype.kind == "f" else 0)


def _typed(array: Array, dice: Random) -> Array:
    names = ("f2", "f8", "i1", "u1", "i8", "u8", "?", "c8", "U9", "S3", ">f4", "f16")
    with np.errstate(all="ignore"):
        return array.astype(dice.choice(names))


def _shaped(array: Array, dice: Random) -> Array:
    if not array.size:  # of an edit before; there is nothing left to lay out otherwise
        return array
    shapes: tuple[Array, ...] = (
        array[:0], array[:1], array[:3], array[0], array[np.newaxis], array[..., np.newaxis],
        array.ravel(), array[..., :-1], array.T, np.concatenate([array, array], -1),
        np.asfortranarray(array), array.reshape(array.shape[0], -1), np.asarray(np.float32(1.5)),
        np.repeat(array, 3, axis=0), array[..., ::-1],
    )  # fmt: skip
    return dice.choice(shapes)


def _stretched(array: Array, dice: Random) -> Array:
    factor = np.float32(dice.choice((1e-30, 1e-6, 1e6, 1e18, 1e30, -1, 0, 1e-40)))
    with np.errstate(all="ignore"):
        return (array * factor).astype(array.dtype) if array.dtype.kind == "f" else array


def unlucky(array: Array, dice: Random) -> Array:
    """Samples of the same shape and type that no sound data would be, all of them finite."""
    if array.dtype.kind != "f":
        return np.zeros_like(array) if dice.random() < 0.5 else array
    changed = array.copy()
    match dice.randrange(7):
        case 0:
            changed[:] = dice.choice((0, 1, -1, 1e-30, 1e18, 65504))
        case 1:
            changed *= np.float32(dice.choice((1e-30, 1e-12, 1e-6, 1e4, 1e9, 1e15)))
        case 2:
            changed[1:] = 0
        case 3:
            changed[dice.randrange(len(changed))] *= np.float32(1e8)
        case 4:
            changed[:] = changed[:1]
        case 5:
            changed[:, ..., 0] = dice.choice((0, 1e6))
        case _:
            changed = np.abs(changed) + np.float32(dice.choice((0, 1000)))
    return changed


_OF_VALUES: tuple[Callable[[Array, Random], Array], ...] = (
    _some, _some, _all, _typed, _shaped, _shaped, _stretched,
)  # fmt: skip
_MEMBERS = (
    "../../work/poisoned", "/etc/passwd", "x.txt", "", "x", "X.npy", "a/b.npy", "x.npy/", "..",
    "\\x.npy", "con.npy", "x\0.npy", "n" * 9000 + ".npy", "層.npy", "\x1b[31m.npy", "file.npy",
    "names.npy",
)  # fmt: skip
Members = list[tuple[str, bytes]]


def _archive(arrays: dict[str, Array], dice: Random) -> bytes:
    members = [(f"{name}.npy", npy(array)) for name, array in arrays.items()]
    if dice.random() < 0.2:
        return edit_bytes.edited(_zipped(members, zipfile.ZIP_STORED), dice)
    if dice.random() < 0.6:
        number = dice.randrange(len(members))
        name, _ = members[number]
        members[number] = name, _file(arrays[name.removesuffix(".npy")], dice)
    else:
        dice.choice(_OF_MEMBERS)(members, dice)
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    whole = _zipped(members, dice.choice(methods))
    return _marked(whole, dice) if dice.random() < 0.3 else whole


def _zipped(members: Members, method: int) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method) as archive:
        warnings.simplefilter("ignore")  # two members of one name are meant
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def _drop(members: Members, dice: Random) -> None:
    del members[dice.randrange(len(members))]


def _rename(members: Members, dice: Random) -> None:
    number = dice.randrange(len(members))
    new = dice.choice((dice.choice(_MEMBERS), hostile.name(dice) + ".npy"))
    members[number] = new, members[number][1]


def _add(members: Members, dice: Random) -> None:
    name = dice.choice((dice.choice(_MEMBERS), "y.npy", "x1.npy", members[0][0]))
    content = dice.choice((b"", b"text", npy(np.zeros(3, np.float32)), members[0][1]))
    members.insert(dice.randrange(len(members) + 1), (name, content))


def _many(members: Members, dice: Random) -> None:
    members.extend((f"m{number}.npy", members[0][1][:200]) for number in range(2000))


def _bomb(members: Members, dice: Random) -> None:
    """A claim of much more than there is."""
    row = dice.choice((8, 1 << 16, 1 << 30))
    size = dice.choice((6, 1 << 10, 1 << 20))
    header = (
        f"{{'descr': '<f4', 'fortran_order': {dice.random() < 0.3}, 'shape': ({size}, {row}), }}\n"
    )
    text = header.encode()
    start = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text
    members[dice.randrange(len(members))] = members[0][0], start + b"\0" * dice.choice((0, 1 << 24))


_OF_MEMBERS: tuple[Callable[[Members, Random], None], ...] = (
    _drop, _rename, _rename, _add, _add, _many, _bomb, _bomb,
)  # fmt: skip


def _marked(whole: bytes, dice: Random) -> bytes:
    """Flags, methods and sizes in the records of an archive, which say what is not so."""
    place = whole.find(b"PK\1\2")
    offset, value = dice.choice(

        (
(8, b"\1\0"), (8, b"\xff\xff"), (10, b"\x0c\0"), (10, b"\x63\0"), (10, b"\x0e\0"),
(16, b"\0\0\0\0"), (20, b"\xff\xff\xff\xff"), (24, b"\xff\xff\xff\xff"), (28, b"\xff\xff"),
(42, b"\xff\xff\xff\x7f"), (10, b"\x08\0"), (24, b"\0\0\0\0"), (30, b"\xff\0"),
),
    )  # fmt: skip
    return whole[: place + offset] + value + whole[place + offset + len(value) :]


def zeros_in_little(rows: int, row: int) -> bytes:
    """An archive of one array ``x`` of float32 zeros that takes a thousandth of their room."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {row}), }}\n".encode()
    start = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    packer = zlib.compressobj(wbits=-15)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b"\0" * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = -(-rows * row * 4 >> 20)
    deflated = head + block * count + packer.flush()
    size = len(start) + (count << 20)
    facts = struct.pack("<IIIHH", 0, len(deflated), min(size, 0xFFFFFFFE), 5, 0)
    local = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + facts + b"x.npy" + deflated
    entry = b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + facts
    entry += struct.pack("<HHHII", 0, 0, 0, 0, 0) + b"x.npy"
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end
