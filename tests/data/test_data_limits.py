"""Data that are hostile, damaged or too large: refused with a code, before memory is taken."""

import io
import os
import random
import struct
import tempfile
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lostbits.data import InputSpec, Preprocess, check_classes, open_source, read_labels
from lostbits.errors import DataError, LostbitsError, TargetError
from lostbits.system import memory
from lostbits.targets import target

Array = NDArray[Any]

X = InputSpec("x", np.dtype("float32"), (None, 3))
FREE = InputSpec("x", np.dtype("float32"), (None, None))
IMAGE = InputSpec("image", np.dtype("float32"), (None, 3, 4, 6))
ANY_IMAGE = InputSpec("image", np.dtype("float32"), (None, 3, None, None))
MIB = 1 << 20


@contextmanager
def error(code: str, *culprits: str) -> Iterator[None]:
    with pytest.raises(LostbitsError) as caught:
        yield
    message = str(caught.value)
    assert caught.value.code == code, message
    assert message.isprintable()
    assert len(message) < 2000
    assert [c for c in culprits if c not in message] == [], message


def read_all(data: object, *specs: InputSpec, preprocess: Preprocess | None = None) -> Array:
    """The first input of all samples, after everything that a run asks of a source."""
    source = open_source(data, specs, preprocess=preprocess)
    source.fingerprint()
    return np.concatenate([b.feeds[specs[0].name] for b in source.batches(4)])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that may take 32 MiB, and takes at most half of it in the test."""
    monkeypatch.setattr(memory, "limited", lambda: 32 * MIB)
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MIB


def npy(x: Array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, x)
    return stream.getvalue()


def header(shape: str, dtype: str = "'<f4'", by_columns: str = "False", rest: bytes = b"") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': {by_columns}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + rest


def archive_of(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there already
        for name, content in members:
            archive.writestr(name, content)
    return path


def unpacking_to(path: Path, start: bytes) -> Path:
    """An archive of one array of 80 MB, all zeros behind this start."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w") as member,
    ):
        member.write(start)
        for _ in range(80):
            member.write(bytes(1_000_000))
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# ---- arrays: what a header claims ----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "culprit"),
    [
        (npy(np.zeros((2, 3), "f4"))[:80], ""),
        (header("(2, 3), ").replace(b"}", b""), ""),
        (header("(-2, 3)"), "its shape is (-2, 3)"),
        (header("(True, 3)", rest=bytes(12)), "its shape is (True, 3)"),
        (header("(9223372036854775808, 3)"), "its shape is"),
        (header("(4294967296, 4294967296)"), "ends within row 0"),
        (header("(1000000000, 3)", rest=bytes(50)), "ends within row 4"),
        (header(f"({'9' * 400}, 3)"), "its shape is"),
        (header("(2, 3)", "('<f4', (3,))", rest=bytes(99)), "the type"),
        (header("(2, 3)", "'|S0'"), "the type"),
        (header("(2, 3)", "'|O'", rest=bytes(99)), "pickled"),
        (header("(2, 3)", "'nonsense'"), ""),
        (b"\x93NUMPY\x09\x00" + bytes(99), "version (9, 0)"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9001) + b"-" * 9000 + b"1", "no dictionary"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 9001) + b"1+" * 4500 + b"1", "RecursionError"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{" * 99, ""),
    ],
)
def test_false_headers_are_named(tmp_path: Path, content: bytes, culprit: str) -> None:
    for path in (
        written(tmp_path / "d.npy", content),
        archive_of(tmp_path / "d.npz", ("x.npy", content)),
    ):
        with error("D002", path.name, culprit):
            open_source(path, [X])
        with error("D002", path.name, culprit):
            read_labels(path, 2)


@pytest.mark.parametrize("kind", ["U3", "M8[s]", "complex64", [("a", "f4")]])
def test_types_that_are_no_numbers_are_refused(tmp_path: Path, kind: Any) -> None:
    path = written(tmp_path / "d.npy", npy(np.zeros((2, 3), kind)))
    with error("D008", "takes float32"):
        open_source(path, [X])


@pytest.mark.parametrize("kind", [">f4", ">i2", "float16", "bool"])
def test_any_order_of_bytes_and_axes_is_read(tmp_path: Path, kind: str) -> None:
    x = np.arange(15).reshape(5, 3).astype(kind)
    for path in (
        written(tmp_path / "c.npy", npy(x)),
        written(tmp_path / "f.npy", npy(np.asfortranarray(x))),
        archive_of(tmp_path / "f.npz", ("x.npy", npy(np.asfortranarray(x)))),
    ):
        np.testing.assert_array_equal(read_all(path, X), x.astype(np.float32))


@pytest.mark.parametrize("by_columns", ["True", "False"])
def test_a_row_that_memory_does_not_hold_is_refused_unread(
    tmp_path: Path, small: None, by_columns: str
) -> None:
    start = header("(2, 10000000)", by_columns=by_columns)
    path = written(tmp_path / "d.npy", start)
    os.truncate(path, len(start) + 80_000_000)  # a hole, no bytes on the disk
    with error("D021", "32.0 MiB may be taken"):
        open_source(path, [FREE])


def test_an_archive_that_unpacks_to_more_than_memory_is_refused(
    tmp_path: Path, small: None
) -> None:
    path = unpacking_to(tmp_path / "d.npz", header("(2, 10000000)"))
    with error("D021", "76.3 MiB are needed, 32.0 MiB may be taken"):
        open_source(path, [FREE])
    with error("D020"):
        read_labels(path, 2)


def test_a_header_that_unpacks_to_more_than_memory_is_not_read(tmp_path: Path, small: None) -> None:
    start = b"\x93NUMPY\x02\x00" + struct.pack("<I", 100_000_000)
    path = unpacking_to(tmp_path / "d.npz", start)
    with error("D002", "x.npy"):
        open_source(path, [X])


def test_sizes_that_deflate_cannot_reach_are_refused(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "d.npz", ("x.npy", header("(1000000000, 3)")))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)  # the size when unpacked
    written(path, bytes(content))
    with error("D002", "ends within row"):
        open_source(path, [X])


def encrypted(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def test_archives_that_numpy_does_not_write_are_named(tmp_path: Path) -> None:
    good = npy(np.zeros((2, 3), "f4"))
    path = tmp_path / "d.npz"
    archive_of(path, ("x.npy", good), ("x.npy", good))
    with error("D002", "2 arrays have the name 'x'"):
        open_source(path, [X])
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        archive_of(path, ("x.npy", good), method=method)
        with error("D002", "savez_compressed"):
            open_source(path, [X])
    written(path, encrypted(archive_of(path, ("x.npy", good)).read_bytes()))
    with error("D002", "encrypted"):
        open_source(path, [X])
    archive_of(path, ("readme.txt", b"hello"))
    with error("D002", "readme.txt", "magic"):
        open_source(path, [X])
    archive_of(path)
    with error("D005", "no arrays"):
        open_source(path, [X])


def test_a_name_may_have_folders_in_it(tmp_path: Path) -> None:
    nested = InputSpec("net/x", np.dtype("float32"), (None, 3))
    path = archive_of(tmp_path / "d.npz", ("net/x.npy", npy(np.ones((2, 3), np.float32))))
    assert read_all(path, nested).shape == (2, 3)


def test_a_model_that_takes_more_than_memory_is_refused_at_once(small: None) -> None:
    huge = InputSpec("x", np.dtype("float32"), (1 << 62, 3))
    with error("D021", "input 'x'", "may be taken"):
        open_source(np.zeros((2, 3), np.float32), [huge])
    filled = InputSpec("x", np.dtype("float32"), (1 << 20, None))
    with error("D021", "1048576 samples"):
        read_all(np.zeros((2, 30), np.float32), filled)


def test_samples_without_a_byte_cannot_be_claimed_by_the_trillion(tmp_path: Path) -> None:
    path = written(tmp_path / "d.npy", header("(1000000000000, 0)"))
    with error("D004", "1000000000000 samples without any"):
        open_source(path, [FREE])


# ---- paths ---------------------------------------------------------------------------------


def _calibrated(path: Path) -> object:
    return open_source(path, [X])


def _listed(path: Path) -> object:
    folder = Path(tempfile.mkdtemp(dir="."))
    (folder / "list.txt").write_bytes(str(path).encode(errors="surrogatepass"))
    return open_source(folder / "list.txt", [X])


_READERS: list[Callable[[Path], object]] = [
    _calibrated,
    _listed,
    lambda path: read_labels(path, 2),
    Preprocess.from_toml,
    lambda path: target(f"{path}.toml"),
]


@pytest.mark.parametrize("reader", _READERS)
def test_paths_that_cannot_be_looked_at_are_coded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("n" * 300, "a/" * 3000, "nul\x00l", "link", "lone\udcff", "\ud800"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to("link")
        with pytest.raises((DataError, TargetError)) as caught:
            reader(Path(name))
        assert caught.value.code in ("D001", "D002", "T003"), str(caught.value)
        assert str(caught.value).isprintable()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A folder that this user may not enter; root may enter any, so it becomes nobody."""
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        folder.chmod(0o700)


def test_a_folder_without_permission_is_coded(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros((2, 3), np.float32))
    with locked(tmp_path):
        for reader in (_calibrated, _READERS[2], _READERS[3]):
            with error("D002", "PermissionError"):
                reader(tmp_path / "d.npy")
        with error("D002", "PermissionError"):
            open_source(tmp_path, [X])
        with error("T003", "PermissionError"):
            target(str(tmp_path / "d.toml"))


def test_pipes_and_devices_are_refused_and_do_not_hang(tmp_path: Path) -> None:
    for suffix in (".npy", ".npz", ".txt", ".toml", ".png"):
        os.mkfifo(tmp_path / f"x{suffix}")
        (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("x", "zero"):
        for suffix in (".npy", ".npz", ".txt"):
            with error("D002", "no regular file"):
                open_source(tmp_path / f"{name}{suffix}", [X])
            with error("D002", "no regular file"):
                read_labels(tmp_path / f"{name}{suffix}", 2)
        with error("D002", "no regular file"):
            Preprocess.from_toml(tmp_path / f"{name}.toml")
        with error("T003", "no regular file"):
            target(str(tmp_path / f"{name}.toml"))
    with error("D003", "''"):
        open_source("/dev/zero", [X])
    with error("D002", "no regular file"):
        open_source(tmp_path, [X])


def test_a_sample_of_a_folder_that_is_a_link_to_nowhere_is_missed(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.float32))
    (tmp_path / "b.npy").symlink_to("gone.npy")
    with error("D001", "b.npy"):
        open_source(tmp_path, [X])
    (tmp_path / "b.npy").unlink()
    (tmp_path / "b.npy").symlink_to("b.npy")
    with error("D002", "b.npy"):
        open_source(tmp_path, [X])
    (tmp_path / "b.npy").unlink()
    (tmp_path / "b.npy").mkdir()
    with error("D002", "b.npy", "folder"):
        open_source(tmp_path, [X])


def test_texts_have_a_bound(tmp_path: Path) -> None:
    for name, most in (("l.txt", 1 << 26), ("p.toml", 1 << 14)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, most + 1)
    with error("D002", "67,108,865 bytes"):
        read_labels(tmp_path / "l.txt", 2)
    with error("D002", "67,108,865 bytes"):
        open_source(tmp_path / "l.txt", [X])
    with error("D002", "16,385 bytes"):
        Preprocess.from_toml(tmp_path / "p.toml")
    with error("T003", "16,385 bytes"):
        target(str(tmp_path / "p.toml"))


# ---- images --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["EPS", "GIF", "TIFF", "PPM", "PCX"])
def test_only_the_four_formats_are_decoded_and_no_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mark, programs, photos = (tmp_path / name for name in ("mark", "programs", "photos"))
    programs.mkdir()
    photos.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (programs / "gs").chmod(0o700)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # what was found before is forgotten
    Image.new("RGB", (6, 4)).save(photos / "a.png", kind)
    with error("D002", "a.png", "cannot identify"):
        read_all(photos, IMAGE, preprocess=Preprocess())
    assert not mark.exists()


def png(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file that has a header of this kind, and no more pixels than fit into a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    start = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def folder_of(path: Path, content: bytes) -> Path:
    path.mkdir(exist_ok=True)
    (path / "a.png").write_bytes(content)
    return path


def test_images_larger_than_memory_are_refused_unread(tmp_path: Path, small: None) -> None:
    with error("D021", "a.png", "38.1 MiB are needed, 32.0 MiB may be taken"):
        open_source(folder_of(tmp_path, png(2000, 2500)), [IMAGE], preprocess=Preprocess())
    with error("D002", "a.png"):  # Pillow's own bound
        open_source(folder_of(tmp_path, png(40_000, 40_000)), [IMAGE], preprocess=Preprocess())
    crop = Preprocess(resize="crop")
    with error("D021", "a.png", "resized"):
        open_source(folder_of(tmp_path, png(1, 400_000)), [IMAGE], preprocess=crop)
    shorter = Preprocess(resize="crop", shorter=100_000)
    with error("D021", "a.png", "resized"):
        open_source(folder_of(tmp_path, png(6, 4)), [IMAGE], preprocess=shorter)
    with error("D021", "preprocess 'size'", "100000 x 100000"):
        size = (100_000, 100_000)
        open_source(tmp_path, [ANY_IMAGE], preprocess=Preprocess(size=size))


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_sixteen_bits_a_channel_are_refused_and_not_cut(tmp_path: Path, colour: int) -> None:
    with error("D013", "8 bits a channel"):
        open_source(folder_of(tmp_path, png(6, 4, 16, colour)), [IMAGE], preprocess=Preprocess())


def test_animations_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), (n, n, n)) for n in (0, 255)]
    for kind in ("PNG", "WEBP"):
        frames[0].save(tmp_path / "a.png", kind, save_all=True, append_images=frames[1:])
        with error("D013", "animation"):
            open_source(tmp_path, [IMAGE], preprocess=Preprocess())


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGB"])
def test_images_of_eight_bits_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode)
    image.save(tmp_path / "a.png", "JPEG" if mode == "CMYK" else "PNG")
    x = read_all(tmp_path, IMAGE, preprocess=Preprocess())
    np.testing.assert_array_equal(x, np.ones((1, 3, 4, 6), np.float32))


# ---- settings ------------------------------------------------------------------------------

_LONG = "9" * 400
_NESTED = f"{'[' * 3000}{']' * 3000}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"mean = {_NESTED}", "D002"),
        (".".join("a" * 2000) + " = 1", "D012"),
        (f"mean = {_LONG}", "D012"),
        (f"mean = 0x{'f' * 9000}", "D012"),
        (f"scale = {_LONG}", "D012"),
        ("scale = 1e400", "D012"),
        ("scale = nan", "D012"),
        ("scale = 1e39", "D012"),
        ("std = 1e-60", "D012"),
        (f"size = {_LONG}", "D012"),
        ("size = 1000000000000", "D012"),
        ("size = 1e12", "D012"),
        ("size = true", "D012"),
        (f"resize = 'crop'\nshorter = {_LONG}", "D012"),
        ("shorter = 8", "D012"),
        ("mean = {a = 1}", "D012"),
        ("mean = '\\u0000'", "D012"),
        ("mean = 1\x00", "D002"),
    ],
)
def test_settings_out_of_reason_are_refused(tmp_path: Path, text: str, code: str) -> None:
    with error(code):
        Preprocess.from_toml(written(tmp_path / "p.toml", text.encode()))


@pytest.mark.parametrize(
    "line",
    [
        f"minimum_range = {_LONG}",
        f"minimum_range = 0x{'f' * 9000}",
        "minimum_range = 1e400",
        "minimum_range = nan",
        f"minimum_range = {_NESTED}",
        f"grid = 0x{'f' * 9000}",
        ".".join("a" * 2000) + " = 1",
    ],
)
def test_a_target_out_of_reason_is_refused(tmp_path: Path, line: str) -> None:
    text = f'base = "snpe"\nname = "ours"\n[activations]\n{line}\n'
    with error("T003"):
        target(str(written(tmp_path / "t.toml", text.encode())))


@pytest.mark.parametrize("base", [_LONG, "0x" + "f" * 9000, "[1]", "{a = 1}", "''"])
def test_a_base_that_is_no_name_is_refused(tmp_path: Path, base: str) -> None:
    with error("T003", "base"):
        target(str(written(tmp_path / "t.toml", f"base = {base}".encode())))


# ---- labels --------------------------------------------------------------------------------


def test_labels_of_other_forms_are_refused(tmp_path: Path, small: None) -> None:
    wrong: list[tuple[Array, str]] = [
        (np.zeros((3, 1), int), "D020"),
        (np.array([0.0, 1.5, 2.0]), "D020"),
        (np.array(["a", "b", "c"]), "D020"),
        (np.array(3), "D020"),
        (np.full(3, 2**63, np.uint64), "D020"),
        (np.zeros(0, int), "D019"),
    ]
    for labels, code in wrong:
        with error(code):
            read_labels(written(tmp_path / "l.npy", npy(labels)), 3)
    labels = np.array([1, 2, 0], np.uint64)
    assert read_labels(written(tmp_path / "l.npy", npy(labels)), 3).tolist() == [1, 2, 0]
    for start in (header("(1000000000000,)", "'<i8'"), header("(12500000000,)", "'<i8'")):
        with error("D002", "ends within row"):
            read_labels(written(tmp_path / "l.npy", start), 3)


def test_many_labels_for_few_samples_are_not_unpacked(tmp_path: Path, small: None) -> None:
    path = unpacking_to(tmp_path / "l.npz", header("(10000000,)", "'<i8'"))
    with error("D019", "there are 10000000"):
        read_labels(path, 3)
    with error("D021", "may be taken"):
        read_labels(path, 10_000_000)


@pytest.mark.parametrize(
    "text", ["1\n9" + "9" * 30, "1\n1.5", "1\nnan", "1\n\x00", "1\n" + "9" * 9000]
)
def test_junk_among_labels_is_named(tmp_path: Path, text: str) -> None:
    with error("D020", "line 2"):
        read_labels(written(tmp_path / "l.txt", text.encode()), 2)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1, 2, 5, 5], "2 of 4 are none of them, as 5 of sample 2"),
        ([-1, 0, 1, 2], "1 of 4 are none of them, as -1 of sample 0"),
        ([0, 2**62, 0, 0], f"as {2**62} of sample 1"),
    ],
)
def test_labels_that_are_no_class_are_refused(labels: list[int], found: str) -> None:
    with error("D022", "0 to 4", found):
        check_classes(np.array(labels, np.int64), 5)
    check_classes(np.array([0, 4, 2], np.int64), 5)


# ---- objects -------------------------------------------------------------------------------


def test_a_buffer_that_is_used_again_spoils_no_batch() -> None:
    def batches() -> Iterator[Array]:
        buffer = np.empty((3, 3), np.float32)
        for n in range(4):
            buffer[:] = n
            yield buffer

    expected = np.repeat(np.arange(4, dtype=np.float32), 3)[:, None] * np.ones(3, np.float32)
    np.testing.assert_array_equal(read_all(batches, X), expected)


def test_names_may_come_in_another_order_each_pass() -> None:
    passes = iter(range(100))
    y = InputSpec("y", np.dtype("float32"), (None, 3))

    def batches() -> Iterator[dict[str, Array]]:
        pair = [("x", np.zeros((2, 3), np.float32)), ("y", np.ones((2, 3), np.float32))]
        yield dict(pair if next(passes) % 2 else pair[::-1])

    assert read_all(batches, X, y).shape == (2, 3)


@pytest.mark.parametrize(
    "later", [np.zeros((3, 2), "f4"), np.zeros((2, 3), "i4"), np.zeros((2, 3), "M8[s]")]
)
def test_a_later_pass_of_other_shape_or_type_is_noticed(later: Array) -> None:
    passes = iter(range(100))

    def batches() -> Iterator[Array]:
        yield later if next(passes) else np.zeros((2, 3), np.float32)

    source = open_source(batches, [FREE])
    with error("D018"):
        list(source.batches(2))


def test_an_iterable_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lostbits.data.objects._MOST_ITEMS", 50)

    def batches() -> Iterator[Array]:
        while True:
            yield np.zeros((1, 3), np.float32)

    with error("D016", "batches", "must come to an end"):
        open_source(batches, [X])


@pytest.mark.parametrize(
    ("batch", "code"),
    [
        (None, "D017"),
        ([[[1.0, 2.0, 3.0], [1.0]]], "D017"),
        ({"x": [[1.0, 2.0], [1.0]]}, "D017"),
        ({"y": np.zeros((1, 3))}, "D005"),
        ({1: np.zeros((1, 3))}, "D005"),
        (np.array([[None, 1, 2]]), "D008"),
        (np.float32(3), "D007"),
        ("text", "D017"),
    ],
)
def test_what_is_yielded_is_checked(batch: object, code: str) -> None:
    with error(code):
        open_source([batch], [X])


class Leaving:
    """Code of a user's that ends the program."""

    def __iter__(self) -> Iterator[Array]:
        raise SystemExit(3)


def test_code_of_the_users_cannot_end_the_program() -> None:
    with error("D016", "SystemExit: 3"):
        open_source(Leaving(), [X])
    with error("D016", "SystemExit"):
        open_source("sys:exit", [X])
    with error("D016", "ZeroDivisionError"):
        open_source(lambda: 1 / 0, [X])


# ---- anything ------------------------------------------------------------------------------


def damaged(content: bytes, random_: random.Random) -> bytes:
    """The content with some bytes flipped, cut out, repeated or put in, or its end cut off."""
    changed = bytearray(content)
    for _ in range(random_.choice([1, 1, 2, 4, 8])):
        at = random_.randrange(len(changed) + 1)
        match random_.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([random_.randrange(256)])
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + random_.randint(1, 9)]
            case 3:
                changed[at:at] = random_.randbytes(random_.randint(1, 9))
            case 4:
                changed[at : at + 4] = struct.pack(
                    "<I", random_.choice([0, 1, 1 << 31, ~(~0 << 32)])
                )
            case 5:
                changed[at:at] = changed[: random_.randint(1, 99)]
    return bytes(changed)


def encoded(kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), (1, 2, 3)).save(stream, kind, **options)
    return stream.getvalue()


def zipped(method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("x.npy", npy(np.ones((4, 3), np.float32)))
    return stream.getvalue()


_TOML = b'size = [4, 6]\nmean = [0.5, 0.5, 0.5]\nscale = 0.1\ncolour = "RGB"\nresize = "crop"\n'
_TARGET = b'base = "snpe"\nname = "ours"\n[activations]\ngrid = "uint16"\nminimum_range = 0.01\n'
_GOOD: dict[str, bytes] = {
    "a.npy": npy(np.ones((4, 3), np.float32)),
    "b.npy": npy(np.asfortranarray(np.ones((4, 3), np.float32))),
    "c.npy": npy(np.arange(4)),
    "a.npz": zipped(zipfile.ZIP_STORED),
    "b.npz": zipped(zipfile.ZIP_DEFLATED),
    "a.txt": b"1\n2\n3\n0\n",
    "b.txt": b"# y\nx:=raw\nraw\n",
    "a.png": encoded("PNG"),
    "b.png": encoded("JPEG"),
    "c.png": encoded("BMP"),
    "d.png": encoded("WEBP", lossless=True),
    "a.toml": _TOML,
    "b.toml": _TARGET,
}


def taken(path: Path) -> None:
    """Read by all that would read a file of this kind."""
    match path.suffix:
        case ".png":
            read_all(path.parent, IMAGE, preprocess=Preprocess())
        case ".toml":
            with suppress(TargetError):
                target(str(path))
            Preprocess.from_toml(path)
        case _:
            with suppress(DataError):
                read_labels(path, 4)
            read_all(path, FREE)


@pytest.mark.slow
@pytest.mark.parametrize("name", _GOOD)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_damaged_file_is_read_or_refused_with_a_code(name: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's and numpy's, of what they mended
        path = Path(folder) / name
        (path.parent / "raw").write_bytes(bytes(12))
        path.write_bytes(damaged(_GOOD[name], random.Random(seed)))
        try:
            taken(path)
        except LostbitsError as refused:
            assert str(refused).isprintable()
            assert len(str(refused)) < 2000


def test_the_files_before_they_are_damaged_are_good(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(12))
    assert read_labels(written(tmp_path / "a.txt", _GOOD["a.txt"]), 4).tolist() == [1, 2, 3, 0]
    for name in ("a.npy", "b.npy", "a.npz", "b.npz", "b.txt"):
        assert read_all(written(tmp_path / name, _GOOD[name]), X).shape[1] == 3
    for name in ("a.png", "b.png", "c.png", "d.png"):
        folder = folder_of(tmp_path / name[0], _GOOD[name])
        assert read_all(folder, IMAGE, preprocess=Preprocess()).shape == (1, 3, 4, 6)
    assert Preprocess.from_toml(written(tmp_path / "a.toml", _TOML)).size == (4, 6)
    assert target(str(written(tmp_path / "b.toml", _TARGET))).name == "ours"
