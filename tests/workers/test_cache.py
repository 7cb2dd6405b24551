"""What is kept of unfinished runs: nothing in it runs, and damage is remarked and made anew."""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lostbits.errors import LostbitsError, OutputError
from lostbits.results.diagnosis import Diagnosis
from lostbits.verbs.output import resumable
from lostbits.workers.cache import Cache
from lostbits.workers.record import flattened, rebuilt
from lostbits.workers.work_folder import MARKER, NAME, Work
from runs import diagnosed
from runs import figures as bare
from text_models import proto, random, saved

Arrays = dict[str, np.ndarray[Any, Any]]
SOURCES = Path(__file__).parents[2] / "src" / "lostbits"


class Caller:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("net")
    model = proto(
        """net (float[n, 4] x) => (float[n, 3] y)
        { a = Gemm <transB = 1> (x, w, b)  c = Relu (a)  y = Gemm (c, v) }""",
        w=random(6, 4),
        b=random(6),
        v=random(6, 3),
    )
    np.save(folder / "data.npy", random(24, 4))
    return saved(model, folder)


def figures(net: Path, root: Path, remarks: list[str] | None = None) -> Diagnosis:
    told = [] if remarks is None else remarks
    cache = Work(root, told.append)
    return bare(diagnosed(net, net.parent / "data.npy", "snpe", threads=1, cache=cache))


@pytest.fixture(scope="module")
def finished(net: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Diagnosis]:
    """A folder with all sums of a run, and its figures."""
    root = tmp_path_factory.mktemp("finished") / NAME
    return root, figures(net, root)


def signed(body: bytes) -> bytes:
    """With the checksum behind it: somebody knows the format."""
    return body + hashlib.sha256(body).digest()


def forged(change: Callable[[Arrays], object]) -> Callable[[Path, Path], None]:
    def damage(file: Path, _: Path) -> None:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
            arrays = dict(stored)
        change(arrays)
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        file.write_bytes(signed(stream.getvalue()))

    return damage


def retold(change: Callable[[Any], Any]) -> Callable[[Path, Path], None]:
    """Another tree of JSON."""

    def told(arrays: Arrays) -> None:
        tree = change(json.loads(arrays["tree"].tobytes()))
        arrays["tree"] = np.frombuffer(json.dumps(tree).encode(), np.uint8)

    return forged(told)


def wrote(content: Callable[[bytes], bytes]) -> Callable[[Path, Path], object]:
    return lambda file, _: file.write_bytes(content(file.read_bytes()))


def flipped(where: float) -> Callable[[Path, Path], object]:
    def flip(content: bytes) -> bytes:
        at = int(where * (len(content) - 1))
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return wrote(flip)


def of_objects(file: Path, made: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, tree=np.array([Caller(made)], object))
    file.write_bytes(signed(stream.getvalue()))


def compressed(file: Path, _: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, tree=np.zeros(1 << 20, np.uint8))
    file.write_bytes(signed(stream.getvalue()))


def boastful(file: Path, _: Path) -> None:
    """A header that says 10^15 values."""
    array, stream = io.BytesIO(), io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (10**15,)}
    np.lib.format.write_array_header_1_0(array, about)
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("tree.npy", array.getvalue() + b"[]")
    file.write_bytes(signed(stream.getvalue()))


def in_its_place(make: Callable[[Path], object]) -> Callable[[Path, Path], None]:
    def replaced(file: Path, _: Path) -> None:
        file.unlink()
        make(file)

    return replaced


def all_other_shapes(arrays: Arrays) -> None:
    for name in arrays.keys() - {"tree"}:
        arrays[name] = np.zeros((7, 5), arrays[name].dtype)


def all_longer(arrays: Arrays) -> None:
    for name in arrays.keys() - {"tree"}:
        arrays[name] = np.concatenate([arrays[name], arrays[name]])


def all_of_another_type(arrays: Arrays) -> None:
    for name in arrays.keys() - {"tree"}:
        arrays[name] = arrays[name].astype(np.complex64)


def all_texts(arrays: Arrays) -> None:
    for name in arrays.keys() - {"tree"}:
        arrays[name] = np.array(["lostbits.grid:np.f2py.subprocess.Popen"])


POISON: dict[str, Callable[[Path, Path], object]] = {
    "pickle": lambda file, made: file.write_bytes(pickle.dumps((1, Caller(made)), 5)),
    "signed pickle": lambda file, made: file.write_bytes(signed(pickle.dumps(Caller(made), 5))),
    "pickled arrays": of_objects,
    "compressed": compressed,
    "header of 10^15 values": boastful,
    "first byte": flipped(0.0),
    "a byte of the middle": flipped(0.5),
    "last byte": flipped(1.0),
    "half": wrote(lambda content: content[: len(content) // 2]),
    "empty": wrote(lambda _: b""),
    "one byte more": wrote(lambda content: content + b"\0"),
    "older file": wrote(lambda content: content[:-32]),
    "no tree": forged(lambda arrays: arrays.pop("tree")),
    "no arrays": forged(lambda arrays: [arrays.pop(k) for k in {*arrays} - {"tree"}]),
    "no JSON": forged(lambda arrays: arrays.update(tree=np.zeros(9, np.uint8))),
    "deep JSON": forged(lambda arrays: arrays.update(tree=np.frombuffer(b"[" * 100_000, np.uint8))),
    "other shapes": forged(all_other_shapes),
    "longer arrays": forged(all_longer),
    "other types": forged(all_of_another_type),
    "texts": forged(all_texts),
    "too many chunks": retold(lambda tree: [10**9, tree[1]]),
    "no chunk": retold(lambda tree: [0, tree[1]]),
    "a chunk that is text": retold(lambda tree: ["1", tree[1]]),
    "other fields": retold(lambda tree: [tree[0], tree[1][:-1]]),
    "other keys": retold(lambda tree: json.loads(json.dumps(tree).replace(':activation"', ':x"'))),
    "null": retold(lambda _: None),
    "a number": retold(lambda tree: [tree[0], 7]),
    "a folder": in_its_place(Path.mkdir),
    "a full folder": in_its_place(lambda file: (file / "x").mkdir(parents=True)),
    "a link to a device": in_its_place(lambda file: file.symlink_to("/dev/zero")),
    "a link to nothing": in_its_place(lambda file: file.symlink_to("nowhere")),
    "a pipe": in_its_place(os.mkfifo),
}


@pytest.mark.parametrize("stage", ["statistics", "diagnosis"])
@pytest.mark.parametrize("kind", POISON)
def test_what_is_poisoned_or_damaged_is_remarked_and_made_anew(
    net: Path, finished: tuple[Path, Diagnosis], tmp_path: Path, kind: str, stage: str
) -> None:
    root, made, remarks = tmp_path / NAME, tmp_path / "made", list[str]()
    shutil.copytree(finished[0], root)
    (file,) = root.glob(f"*/{stage}.npz")
    good = file.read_bytes()
    POISON[kind](file, made)
    assert figures(net, root, remarks) == finished[1]
    assert not made.exists(), "it has run"
    assert [text[:4] for text in remarks] == ["O008"], remarks
    assert "\n" not in remarks[0] and str(file) in remarks[0]
    assert not file.is_symlink() and file.read_bytes() == good


def test_an_untouched_folder_is_used_without_a_remark(
    net: Path, finished: tuple[Path, Diagnosis]
) -> None:
    remarks: list[str] = []
    assert figures(net, finished[0], remarks) == finished[1]
    assert not remarks


@pytest.mark.slow
@given(st.data())
def test_any_flipped_byte_and_any_cut_is_found(
    finished: tuple[Path, Diagnosis], tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    (file,) = finished[0].glob("*/diagnosis.npz")
    content, remarks = file.read_bytes(), list[str]()
    at = data.draw(st.integers(0, len(content) - 1))
    bits = data.draw(st.integers(0, 255))
    other = content[:at] + (bytes([content[at] ^ bits]) + content[at + 1 :] if bits else b"")
    root = tmp_path_factory.mktemp("work") / NAME
    Work(root).put("sums", "diagnosis.npz", other)
    assert Cache(Work(root, remarks.append), "sums").load("diagnosis", lambda arrays: 1) is None
    assert len(remarks) == 1


# ---- records ----------------------------------------------------------------------------------


class Record(NamedTuple):
    """One of everything."""

    scalar: NDArray[np.float32]
    floats: list[float]
    none: dict[str, str | None]
    pairs: dict[tuple[str, int], bool]
    several: tuple[int, ...]


def test_a_record_comes_back_as_it_was() -> None:
    numbers = [float("nan"), -0.0, 1e-300]
    plain = Record(np.float32(0.1), numbers, {"a": None, "b": "c"}, {("d", 2): True}, (1, 2, 3))  # type: ignore[arg-type]
    found = rebuilt(Record, flattened(plain))
    assert found.scalar == np.float32(0.1) and found.scalar.dtype == np.float32
    assert np.array_equal(found.floats, numbers, equal_nan=True) and np.signbit(found.floats[1])
    assert found[2:] == plain[2:]


@pytest.mark.parametrize("kind", [dict[str, int], int, list[int], Record])
def test_a_record_of_another_kind_is_refused(kind: type) -> None:
    with pytest.raises((TypeError, ValueError, KeyError)):
        rebuilt(kind, flattened(["a", 0.5]))


# ---- whose folder it is -----------------------------------------------------------------------


def test_nothing_is_deleted_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "precious").write_text("mine")
    with resumable(tmp_path) as work:
        work.take("a")
        work.put("a", "1.npz", b"x")
        Work(work.root).put("b", "1.npz", b"of another run")
    assert (tmp_path / "cache" / "precious").read_text() == "mine"
    assert {p.name for p in (tmp_path / NAME).iterdir()} == {MARKER, "b"}


@pytest.mark.parametrize("refused", [False, True])
def test_the_last_run_leaves_no_folder(tmp_path: Path, refused: bool) -> None:
    try:
        with resumable(tmp_path) as work:
            work.take("a")
            work.put("a", "1.npz", b"x")
            assert work.ours
            if refused:
                raise LostbitsError("M005", "x", "z")
    except LostbitsError:
        assert refused
    assert not list(tmp_path.iterdir())


def test_an_interrupt_leaves_what_is_finished(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path) as work:
        work.take("a")
        work.put("a", "1.npz", b"x")
        raise KeyboardInterrupt
    assert (tmp_path / NAME / "a" / "1.npz").read_bytes() == b"x"


def a_link(root: Path) -> None:
    (root.parent / "elsewhere").mkdir()
    root.symlink_to(root.parent / "elsewhere")


def of_somebody(root: Path) -> None:
    root.mkdir()
    (root / "precious").touch()


@pytest.mark.parametrize("make", [a_link, of_somebody, Path.touch])
def test_a_root_that_is_not_ours_is_neither_used_nor_deleted(
    net: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    root = tmp_path / NAME
    make(root)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="O006"), resumable(tmp_path) as work:
        figures(net, work.root)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_became_a_link_is_not_followed(
    net: Path, finished: tuple[Path, Diagnosis], tmp_path: Path
) -> None:
    root, other, remarks = tmp_path / NAME, tmp_path / "elsewhere", list[str]()
    shutil.copytree(finished[0], root)
    for number, folder in enumerate(p for p in root.iterdir() if p.is_dir()):
        folder.rename(tmp_path / f"elsewhere{number}")
        folder.symlink_to(tmp_path / f"elsewhere{number}")
    before = {p: p.read_bytes() for p in tmp_path.glob("elsewhere*/*")}
    assert figures(net, root, remarks) == finished[1]
    assert {p: p.read_bytes() for p in tmp_path.glob("elsewhere*/*")} == before
    assert remarks and not other.exists()


# ---- where pickle may be ----------------------------------------------------------------------


def test_pickle_stays_between_our_own_processes() -> None:
    """Jobs and outcomes travel through private folders and pipes; nothing else is unpickled."""
    using = re.compile(r"\b(?:c?[pP]ickle|dill|cloudpickle|joblib|shelve|marshal)\b")
    found = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(?:import|from)\s", line) and using.search(line)
    }
    assert found == {"workers/handover.py", "workers/serialize.py", "workers/worker.py"}
    allowing = [
        str(path)
        for path in SOURCES.rglob("*.py")
        if re.search(r"allow_pickle\s*=\s*True|torch\.load\(", path.read_text(encoding="utf-8"))
    ]
    assert not allowing
