"""A run over the data that was cut off goes on where it stood, to the same last bit."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostbits.data import InputSpec, Source, open_source
from lostbits.errors import OutputError
from lostbits.results.diagnosis import Diagnosis
from lostbits.runtime.float_reference import input_specs, open_reference
from lostbits.statistic import RecordSum
from lostbits.verbs.demo import demo_files
from lostbits.workers.cache import Cache
from lostbits.workers.checkpoint import Checkpoint, Folding
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import Progress, silent
from lostbits.workers.work_folder import Work
from runs import diagnosed
from runs import figures as bare

FILES = demo_files()


@dataclass(frozen=True)
class Third:
    """Each chunk gives a float whose sum depends on the order; the one at ``cut`` fails."""

    source: Source
    cut: int
    begun: list[int] = field(default_factory=list)
    by_threads: bool = True

    def open(self) -> Callable[[range], "Total"]:
        def work(chunk: range) -> Total:
            if chunk.start == self.cut:
                raise KeyboardInterrupt
            self.begun.append(chunk.start)
            return Total(10.0 ** (chunk.start % 7) / 3)

        return work


@dataclass
class Total(RecordSum):
    """A float sum."""

    value: float = 0.0

    def merge(self, other: Self) -> Self:
        self.value += other.value
        return self


@dataclass
class Switch:
    """Time that is up when somebody says so."""

    passed: bool = False


@dataclass(frozen=True)
class Pairs:
    """Two chunks that only end together, and time with them."""

    source: Source
    time: Switch
    both: Barrier = field(default_factory=lambda: Barrier(2))
    begun: list[int] = field(default_factory=list)
    by_threads: bool = True

    def open(self) -> Callable[[range], Total]:
        def work(chunk: range) -> Total:
            self.begun.append(chunk.start)
            self.both.wait()
            self.time.passed = True
            return Total(1.0)

        return work


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are kept after every chunk."""
    monkeypatch.setattr("lostbits.workers.checkpoint._EVERY", -1.0)


@pytest.mark.slow
@given(st.integers(2, 20), st.data())
def test_a_sum_goes_on_where_it_was_cut_off(
    tmp_path_factory: pytest.TempPathFactory, count: int, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, count - 1))
    samples = np.zeros((count, 1), np.float32)
    source = open_source(samples, [InputSpec("x", np.dtype("float32"), (None, 1))])
    chunks, folder = source.chunks(1, 1), tmp_path_factory.mktemp("cache")
    kept = Folding(InProcess(), silent, Checkpoint(Cache(Work(folder), "sums")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lostbits.workers.checkpoint._EVERY", -1.0)
        with pytest.raises(KeyboardInterrupt):
            kept.run("sum", Third(source, cut), chunks, Total())
        job, resumed = Third(source, -1), Total()
        kept.run("sum", job, chunks, resumed)
    whole = Total()
    Folding(InProcess(), silent).run("sum", Third(source, -1), chunks, whole)
    assert resumed == whole
    assert job.begun == list(range(cut, count))


def test_what_is_begun_when_time_is_up_is_added_and_nothing_else_begins() -> None:
    samples = np.zeros((8, 1), np.float32)
    source = open_source(samples, [InputSpec("x", np.dtype("float32"), (None, 1))])
    job = Pairs(source, time := Switch())
    Folding(InProcess(2), silent, deadline=time).run(  # type: ignore[arg-type]
        "sum", job, source.chunks(1, 1), total := Total()
    )
    assert (total.value, sorted(job.begun)) == (2.0, [0, 1])


def figures(cache: Path, told: Progress = silent, samples: int = 72) -> Diagnosis:
    work: dict[str, Any] = {"threads": 1, "cache": Work(cache), "progress": told}
    options: dict[str, Any] = {"labels": FILES["labels"], "samples": samples, **work}
    return bare(diagnosed(FILES["model"], FILES["data"], "snpe", **options))


class KilledError(Exception):
    """What happens to a process that is killed, as far as a test can stand it."""


STAGES = [("statistics", 32), ("diagnosis", 32), ("refinement 1", 16)]


@pytest.mark.slow
@pytest.mark.parametrize(("deadly", "least"), STAGES)
def test_a_diagnosis_that_was_cut_off_goes_on_in_the_same_stage(
    tmp_path: Path, always: None, deadly: str, least: int
) -> None:
    def die(stage: str, done: int, total: int) -> None:
        if stage == deadly and done >= least:
            raise KilledError

    with pytest.raises(KilledError):
        figures(tmp_path / "cache", die)
    begun: dict[str, int] = {}

    def note(stage: str, done: int, total: int) -> None:
        begun.setdefault(stage, done)

    assert figures(tmp_path / "cache", note) == figures(tmp_path / "other")
    names = [name for name, _ in STAGES]
    assert all(name not in begun for name in names[: names.index(deadly)]), "done once already"
    assert begun[deadly] > 0


@pytest.mark.slow
def test_what_was_kept_for_other_data_is_left_alone(tmp_path: Path) -> None:
    begun: list[str] = []
    figures(tmp_path)
    figures(tmp_path, lambda now, *_: begun.append(now), samples=64)
    assert "statistics" in begun


def test_a_full_disk_has_a_code(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"O006: .*free some space"):
        Work(tmp_path / "file" / "work").put("sums", "statistics.npz", b"")


def test_the_key_depends_on_the_model_alone_and_on_what_is_asked(tmp_path: Path) -> None:
    """Not on where its objects lie in memory: the folder must be found again by a new process."""
    models, work = [open_reference(FILES["model"]).model for _ in range(2)], Work(tmp_path)
    source = open_source(FILES["data"], input_specs(models[0]))
    first, second = (Cache.of(work, source, "x", m).folder for m in models)
    assert first == second != Cache.of(work, source, "y", models[0]).folder
