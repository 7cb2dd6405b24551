"""Pools: who works makes no difference; who dies, neither."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lostbits.data import InputSpec, Source, open_source
from lostbits.errors import DataError, LostbitsError, ReadError, WorkerError
from lostbits.runtime.float_reference import open_reference
from lostbits.verbs.demo import demo_files
from lostbits.workers import worker
from lostbits.workers.handover import by_threads, packed
from lostbits.workers.pool import Pool, Resources
from lostbits.workers.pools import InProcess, Processes, pool
from lostbits.workers.serialize import Serialized, loaded, stored
from pool_jobs import Fails, Memory, Remembers, StubbornError, Sums, Threads
from pool_shows import Shows

pytestmark = pytest.mark.slow

SPEC = InputSpec("x", np.dtype("float32"), (None, 2))
SAMPLES = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)


def source(data: Any = SAMPLES) -> Source:
    return open_source(data, [SPEC])


def marks(folder: Path, kind: str) -> list[str]:
    return sorted(path.name for path in folder.glob(f"{kind}-*"))


def processes_of(parent: int) -> set[int]:
    """Children of a process, zombies apart, as /proc knows them."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.add(int(entry.parent.name))
    return found


@pytest.fixture(scope="module")
def two() -> Iterator[Processes]:
    with Processes(2, 1) as workers:
        yield workers


def test_outcomes_come_in_the_order_of_the_items(two: Pool, tmp_path: Path) -> None:
    items = source().chunks(4, 4)
    alone = list(InProcess().map(Sums(source(), tmp_path), items))
    assert list(two.map(Sums(source(), tmp_path), items)) == alone
    assert len(alone) == 16


@pytest.fixture
def lanes() -> Pool:
    """Three threads of this process."""
    return InProcess(3)


def test_threads_take_items_in_turn_and_outcomes_keep_their_order(
    lanes: Pool, tmp_path: Path
) -> None:
    items = source().chunks(4, 4)
    alone = list(InProcess().map(Sums(source(), tmp_path), items))
    (folder := tmp_path / "lanes").mkdir()
    assert list(lanes.map(Sums(source(), folder, seconds=0.02), items)) == alone
    assert len(marks(folder, "opened")) == 3


def test_a_thread_with_an_item_has_no_other_thread(lanes: Pool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = list(lanes.map(Threads(source()), [range(1)] * 6))
        assert len({thread for thread, *_ in found}) == 3
        assert {tuple(counts) for _, *counts in found} == {(1, 1, 1)}
        assert threading.get_ident() not in {thread for thread, *_ in found}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("why", ["one thread", "the job", "the samples"])
def test_a_job_that_cannot_be_opened_twice_is_done_here(tmp_path: Path, why: str) -> None:
    class Loader:
        def __iter__(self) -> Iterator[Any]:
            return iter([SAMPLES])

    several = InProcess(1 if why == "one thread" else 3)
    job = Threads(source(), by_threads=why != "the job")
    if why == "the samples":
        model = open_reference(demo_files()["model"]).model
        assert by_threads(source(), model) and not by_threads(source(Loader()), model)
        job = Threads(source(), by_threads=by_threads(source(Loader()), model))
    found = list(several.map(job, [range(1)] * 4))
    assert {thread for thread, *_ in found} == {threading.get_ident()}


def test_an_item_alone_opens_the_job_once(lanes: Pool, tmp_path: Path) -> None:
    assert len(list(lanes.map(Sums(source(), tmp_path), [range(4)]))) == 1
    assert len(marks(tmp_path, "opened")) == 1


def test_threads_have_their_homes(lanes: Pool) -> None:
    affinities = [2, 0, 0, 1, 0, 3]  # the last one is the first lane's as well
    with lanes.open(Threads(source())) as opened:
        first, second = ([o[0] for o in opened.map([range(1)] * 6, affinities)] for _ in "ab")
    assert first == second
    assert first[1] == first[2] == first[4] == first[5] and len(set(first)) == 3


def test_a_job_is_opened_once_a_worker_and_workers_stay(two: Processes, tmp_path: Path) -> None:
    job = Sums(source(), tmp_path)
    list(two.map(job, job.source.chunks(4, 4)))
    assert 1 <= len(marks(tmp_path, "opened")) <= 2
    assert two.deaths == 0


def test_models_and_arrays_arrive_whole_and_large_ones_in_shared_memory(two: Pool) -> None:
    model = open_reference(demo_files()["model"]).model
    large = np.random.default_rng(1).normal(size=100_000)
    job = Shows(source(), model, large)
    (mine,) = InProcess().map(job, [range(1)])
    (theirs,) = two.map(job, [range(1)])
    assert theirs[:2] == mine[:2]
    assert theirs[2] == "mmap"
    assert theirs[3] != mine[3] == os.getpid()


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_what_a_worker_computes_ahead_is_bounded(two: Pool, tmp_path: Path, kind: str) -> None:
    job = Sums(source(), tmp_path)
    several = two if kind == "processes" else InProcess(2)
    outcomes = several.map(job, job.source.chunks(1, 1))
    next(outcomes)
    time.sleep(0.5)
    assert 1 <= len(marks(tmp_path, "done")) <= 7
    outcomes.close()


def test_a_task_whose_worker_is_killed_goes_to_another(two: Processes, tmp_path: Path) -> None:
    items = source().chunks(4, 4)
    expected = list(InProcess().map(Sums(source(), tmp_path / ".."), items))
    before = two.deaths
    job = Sums(source(), tmp_path, deadly=20)
    assert list(two.map(job, items)) == expected
    assert two.deaths == before + 1
    done = [name.split("-")[1] for name in marks(tmp_path, "done")]
    assert sorted(done) == sorted({str(i.start) for i in items}), "one was computed twice"


def kill_some(workers: Processes, count: int, random: np.random.Generator) -> None:
    """Kill a random busy worker at each of so many random moments."""
    killed = 0
    while killed < count:
        time.sleep(random.uniform(0.1, 0.3))
        if busy := [w.process.pid for w in workers._workers if w.number is not None]:
            os.kill(busy[int(random.integers(len(busy)))] or 0, signal.SIGKILL)
            killed += 1


@pytest.mark.parametrize("seed", [1])
def test_workers_killed_at_random_moments_change_nothing(tmp_path: Path, seed: int) -> None:
    samples = source(np.random.default_rng(seed).normal(size=(400, 2)).astype(np.float32))
    items = samples.chunks(4, 4)
    expected = list(InProcess().map(Sums(samples, tmp_path / ".."), items))
    with Processes(2, 1) as workers:
        arguments = (workers, 3, np.random.default_rng(seed))
        killer = threading.Thread(target=kill_some, args=arguments, daemon=True)
        killer.start()
        assert list(workers.map(Sums(samples, tmp_path, seconds=0.05), items)) == expected
        assert not killer.is_alive(), "the work ended before the last of them was killed"
        assert workers.deaths == 3
    done = Counter(name.split("-")[1] for name in marks(tmp_path, "done"))
    # A worker may be killed between the end of its work and its word of it, but not often.
    assert len(done) == len(items) and done.total() <= len(items) + 1


def test_a_worker_that_cannot_start_ends_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lostbits.workers.pools.processes.serve", os._exit)
    with Processes(1, 1) as workers, pytest.raises(WorkerError, match=r"W002.*at their start"):
        list(workers.map(Sums(source(), tmp_path), [range(4)]))


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGKILL, "W001: worker.*status -9"), (signal.SIGABRT, "W002")]
)
def test_a_task_that_kills_every_worker_ends_the_job(
    two: Processes, tmp_path: Path, how: int, code: str
) -> None:
    before = two.deaths
    job = Sums(source(), tmp_path, deadly=4, times=99, how=how)
    with pytest.raises(WorkerError, match=code):
        list(two.map(job, job.source.chunks(4, 4)))
    assert two.deaths == before + 4
    assert len(list(two.map(Sums(source(), tmp_path), [range(4)]))) == 1, "the pool goes on"


def test_a_home_stays_with_its_worker_and_moves_only_when_that_one_dies(tmp_path: Path) -> None:
    affinities = [0, 1, 2, 3]
    with Processes(2, 1) as workers, workers.open(Remembers(source(), tmp_path, 103)) as opened:
        first, second = ([o[0] for o in opened.map([i] * 4, affinities)] for i in (1, 2))
        assert first == second
        assert first[0] == first[2] != first[1] == first[3]
        after = [o[0] for o in opened.map([100, 101, 102, 103], affinities)]
        assert workers.deaths == 1
        assert after[0] == after[2] == first[0]
        assert after[3] not in first, "somebody new has the place of the one that died"


@pytest.mark.parametrize("count", [0, 2, -2])
def test_everybody_hears_what_is_posted_in_order_and_a_newcomer_only_what_still_counts(
    tmp_path: Path, count: int
) -> None:
    large = np.arange(200_000.0)
    several: Pool = Processes(count, 1) if count > 0 else InProcess(1 - count)
    job = Remembers(source(), tmp_path, 7 if count > 0 else -1)
    with several, several.open(job) as opened:
        opened.broadcast("a", large)
        assert all((o[1]["a"] == large).all() for o in opened.map([1] * 4, range(4)))
        opened.broadcast("b", "old")
        opened.broadcast("b", "new")
        opened.broadcast("a", large + 1)
        found = list(opened.map([6, 7], [0, 1]))
        for _, received, _ in found:
            assert (received["a"] == large + 1).all() and received["b"] == "new"
        if count > 0:
            assert found[0][2] == ["a", "b", "a"], "what was replaced before it was received is not"
            assert found[1][2] == ["b", "a"], "somebody died, and the newcomer hears it all"
        _, received, _ = next(opened.map([9]))
        assert received["b"] == "new"


class Opening(Remembers):
    """Takes its time to open, but for the first who does."""

    def open(self) -> Memory:
        if (mark := self.marks / "opened").exists():
            time.sleep(0.5)
        mark.touch()
        return super().open()


def test_what_was_posted_is_heard_though_the_item_that_it_came_with_was_dropped(
    tmp_path: Path,
) -> None:
    with InProcess(2).open(Opening(source(), tmp_path)) as opened:
        list(opened.map([1], [0]))
        opened.broadcast("a", 1)
        outcomes = opened.map([2, 3], [0, 1])
        next(outcomes)
        outcomes.close()  # the second one waits for its job to be open
        for _, received, order in opened.map([4, 5], [0, 1]):
            assert received == {"a": 1} and order == ["a"]


def test_large_outcomes_come_through_files_that_are_gone_afterwards(
    two: Processes, tmp_path: Path
) -> None:
    large = np.random.default_rng(0).normal(size=300_000)
    with two.open(Remembers(source(), tmp_path)) as opened:
        opened.broadcast("large", large)
        ((_, received, _),) = opened.map([1])
        assert (received["large"] == large).all()
        assert type(received["large"].base) is not type(None), "it lies in a file"
    assert not list(two._spool.iterdir())


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_errors_come_in_their_place_and_keep_their_kind(two: Pool, kind: str) -> None:
    known = partial(DataError, "D004.none", "somewhere", "nothing")
    errors: list[Callable[[], Exception]] = [
        known,
        partial(ValueError, "odd"),
        partial(StubbornError, "a", "b"),
    ]
    several: Pool = two if kind == "processes" else InProcess(2)
    kept: tuple[type[Exception], str] = (StubbornError, "ab")
    copied = (RuntimeError, "StubbornError: ab") if kind == "processes" else kept
    kinds = [(DataError, "D004"), (ValueError, "odd"), copied]
    for make, (error, text) in zip(errors, kinds, strict=True):
        outcomes = several.map(Fails(source(), make), source().chunks(4, 4))
        assert next(outcomes) == "first"
        with pytest.raises(error, match=text):
            next(outcomes)


@pytest.mark.parametrize("text", ["", "DefaultCPUAllocator: can't allocate memory"])
def test_running_out_of_memory_has_a_code(two: Pool, text: str) -> None:
    make = partial(RuntimeError, text) if text else MemoryError
    with pytest.raises(WorkerError, match=r"W001: worker.*--workers"):
        list(two.map(Fails(source(), make), source().chunks(4, 4)))


def test_samples_that_no_other_process_can_have_are_refused(two: Pool, tmp_path: Path) -> None:
    class Loader:
        def __iter__(self) -> Iterator[Any]:
            return iter([SAMPLES])

    job = Sums(source(Loader()), tmp_path)
    assert len(list(InProcess().map(job, [range(4)]))) == 1
    with pytest.raises(DataError, match=r"D034: Loader, 64 samples.*in one process"):
        list(two.map(job, [range(4)]))


def test_samples_that_a_worker_does_not_find_are_reported(two: Pool, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", SAMPLES)
    job = Sums(source(tmp_path / "x.npy"), tmp_path)
    (tmp_path / "x.npy").unlink()
    with pytest.raises(DataError, match=r"D035: worker.*x\.npy"):
        list(two.map(job, [range(4)]))


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serialized = packed(Sums(source(), tmp_path))
    monkeypatch.setattr(worker, "versions", lambda: "python 3.11, lostbits 0.0.1")
    with pytest.raises(WorkerError, match=r"W003: worker.*lostbits 0\.0\.1"):
        worker.opened(serialized)


def test_a_full_disk_has_a_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with Processes(2, 1) as workers:
        monkeypatch.setattr("lostbits.workers.serialize._write", full)
        with pytest.raises(LostbitsError, match=r"O005.*No space left on device: .*TMPDIR"):
            list(workers.map(Sums(source(), tmp_path), [range(4)]))


@pytest.mark.parametrize("sizes", [[], [0], [5, 0, 4096, 10_000]])
def test_a_stored_parcel_is_read_as_it_was(tmp_path: Path, sizes: list[int]) -> None:
    arrays = [np.arange(size).astype(np.uint8) for size in sizes]
    stored(Serialized("v", b"content", arrays), tmp_path / "job")
    again = loaded(tmp_path / "job")
    assert (again.versions, again.content) == ("v", b"content")
    assert [bytes(a) for a in again.arrays] == [bytes(a) for a in arrays]


@pytest.mark.parametrize("how", ["mode", "owner", "link"])
def test_a_parcel_of_others_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    job = tmp_path / "job"
    stored(Serialized("v", b"content", []), job)
    assert loaded(job).content == b"content"
    if how == "mode":
        job.chmod(0o770)
    elif how == "owner":
        monkeypatch.setattr("os.geteuid", lambda: job.stat().st_uid + 1)
    else:
        job.rename(tmp_path / "elsewhere")
        job.symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr("pickle.loads", lambda *_, **__: pytest.fail("it was unpickled"))
    with pytest.raises(WorkerError, match=r"W011.*this user alone"):
        loaded(job)


def test_a_place_that_is_taken_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    with pytest.raises(LostbitsError, match=r"O005.*exists"):
        stored(Serialized("v", b"content", []), tmp_path / "job")


def test_our_errors_survive_being_sent() -> None:
    error = ReadError("I003", "f", "x", tensors=("a", "b"), versions="1, 2")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.tensors, vars(again)) == (str(error), ("a", "b"), vars(error))


def test_resources_choose_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lostbits.workers.pools.pool_threads", lambda: 5)
    monkeypatch.setattr("lostbits.workers.pools.installed", lambda: 8 << 30)
    for memory, threads in ((None, 2), (8 << 30, 1)):
        with pool(Resources(memory=memory)) as here:
            assert isinstance(here, InProcess) and here.threads == threads
    with pool(Resources(workers=3)) as several:
        assert isinstance(several, Processes)


DRIVER = """
import sys
from pathlib import Path
import numpy as np
from pool_jobs import Sums
from lostbits.data import InputSpec, open_source
from lostbits.workers.pools import Processes

if __name__ == "__main__":
    spec = InputSpec("x", np.dtype("float32"), (None, 2))
    data = open_source(np.zeros((64, 2), np.float32), [spec])
    job = Sums(data, Path(sys.argv[1]), seconds=0.3)
    with Processes(2, 1) as workers:
        for outcome in workers.map(job, data.chunks(4, 4)):
            print(outcome, flush=True)
"""


@contextmanager
def driver(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that has got its first outcome and works on."""
    (folder / "driver.py").write_text(DRIVER)
    paths = os.pathsep.join(
        [*(str(Path(__file__).parents[1] / n) for n in ("nets", "shared")), *sys.path]
    )
    shell = {**os.environ, "PYTHONPATH": paths, "TMPDIR": str(folder)}
    command = [sys.executable, str(folder / "driver.py"), str(folder)]
    run = subprocess.Popen(
        command, env=shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == "0.0\n"
        yield run
    finally:
        run.kill()
        run.communicate()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_leaves_neither_processes_nor_files(tmp_path: Path, how: int) -> None:
    with driver(tmp_path) as run:
        children = processes_of(run.pid)
        assert len(children) >= 2
        run.send_signal(how)
        run.wait(timeout=20)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            left = {pid for pid in children if Path(f"/proc/{pid}").exists()}
            if not left and not list(tmp_path.glob("lostbits-*")):
                return
            time.sleep(0.05)
        raise AssertionError(f"left behind: {left}, {list(tmp_path.glob('lostbits-*'))}")
