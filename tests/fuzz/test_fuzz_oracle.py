"""The oracle sees what it is there for: programs that do it on purpose are all found out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzzing.bounds import Bounds
from benchmarks.fuzzing.oracle import cause
from benchmarks.fuzzing.tree import Folder, Hole, Link, Pipe, Tree, changes, lay_out, state, taken
from benchmarks.fuzzing.tries import Try
from benchmarks.fuzzing.workplace import Report, Workplace, save, saved_try

pytestmark = pytest.mark.slow

PLANTED = {
    "traceback": "traceback",
    "status_three": "status",
    "status_seventy": "status 70",
    "crash": "crash",
    "busy": "hang",
    "idle": "hang",
    "memory": "memory",
    "escape": "control character",
    "no_code": "no code",
    "several_lines": "several lines",
    "box": "usage box",
    "noise": "noise",
    "not_a_number": "no strict JSON",
    "no_result": "result not of its schema",
    "script": "script in page",
    "deletes": "user's file gone",
    "overwrites": "user's file changed",
    "outside": "made outside --out",
    "half_written": "half written",
    "part": "part left",
    "temporary": "left in TMPDIR",
    "peeks": "read outside",
    "tells": "secret shown",
    "starts": "started",
    "stays": "process left",
}
QUICK = Bounds(busy=5.0, idle=2.0, memory=1 << 30)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    place = Workplace(tmp_path_factory.mktemp("fuzz"), 1, bounds=QUICK, warmed=False)
    yield place
    place.close()


def tried(workplace: Workplace, program: str) -> Report:
    one = Try("planted", ("diagnose",), {"in/net.onnx": b""})
    (report,) = workplace.reports([("models", one, f"planted:{program}")])
    return report


@pytest.mark.parametrize(("program", "kind"), PLANTED.items())
def test_what_must_not_be_is_found(workplace: Workplace, program: str, kind: str) -> None:
    found = {fault.kind for fault in tried(workplace, program).faults}
    assert kind in found
    assert "the fuzzer broke" not in found


@pytest.mark.parametrize(("program", "status"), [("fine", 0), ("refuses", 2)])
def test_what_may_be_is_no_fault(workplace: Workplace, program: str, status: int) -> None:
    report = tried(workplace, program)
    assert report.faults == ()
    assert report.status == status


def test_a_cause_is_told_by_class_and_place(workplace: Workplace) -> None:
    (fault,) = tried(workplace, "status_seventy").faults
    assert fault.where == "ValueError lostbits/a.py:7 f"
    assert cause("no trace at all") == "unknown"


def test_every_kind_of_file_comes_back_as_it_was(tmp_path: Path) -> None:
    tree: Tree = {
        "a/b.npy": b"content",
        "a/link": Link("../nowhere"),
        "a/pipe": Pipe(),
        "empty": Folder(),
        "large": Hole(1 << 40),
        "line\nbreak\x1b": b"",
    }
    lay_out(tree, tmp_path / "one")
    assert taken(tmp_path / "one") == {**tree, "a": Folder()}
    before = state(tmp_path / "one")
    (tmp_path / "one" / "a" / "b.npy").write_bytes(b"other")
    (tmp_path / "one" / "a" / "link").unlink()
    (tmp_path / "one" / "new").write_bytes(b"")
    after = state(tmp_path / "one")
    assert changes(before, after) == {"a/b.npy": "changed", "a/link": "gone", "new": "made"}


def test_what_broke_can_be_tried_again(tmp_path: Path, workplace: Workplace) -> None:
    one = Try("edited", ("inspect", "../in/p"), {"in/p": b"\xff", "in/q": Pipe()})
    (report,) = workplace.reports([("models", one, "planted:escape")])
    from benchmarks.fuzzing.bounds import Usage
    from benchmarks.fuzzing.server import Run

    save(report, one.tree, Run(0, None, b"out", b"", Usage(1, 1, 1)), tmp_path / "kept")
    again = saved_try(tmp_path / "kept")
    assert (again.what, again.argv) == (one.what, one.argv)
    assert again.tree == {**one.tree, "in": Folder()}
