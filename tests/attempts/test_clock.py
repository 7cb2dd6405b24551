"""What ends in time keeps what it has done: sweeps, attributions, and a recovery as a whole."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import lostbits as lb
from lostbits.attempts.bench import Bench, Wishes
from lostbits.attempts.ending import Ending
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.result import _cut_short
from lostbits.diagnoses.settings import Settings
from lostbits.errors import SimulationError
from lostbits.recoveries.adaround import AdaRound
from lostbits.recoveries.precision import fewest
from lostbits.recoveries.reconstruction import BlockReconstruction
from lostbits.recoveries.second_order import SecondOrder
from lostbits.recovery import Sweeping
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.simulation import not_finite
from lostbits.system import deadline as module
from lostbits.system.deadline import Deadline
from lostbits.workers.progress import silent
from small_nets import change_by, cnn, coarse_weights, mlp, samples
from text_models import saved

LATE = "skipped.late"


class _Clock:
    """Moves on by a second every time that somebody looks at it."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=_Clock().monotonic))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "seconds"), [(SecondOrder(), 14.0), (AdaRound(iterations=2), 14.0)]
)
@pytest.mark.usefixtures("ticking")
def test_a_sweep_that_is_cut_short_keeps_the_layers_that_are_done(
    small: tuple[Source, Case], method: Sweeping, seconds: float
) -> None:
    source, case = small[0], coarse_weights(small[1])
    short = change_by(method, case, source, deadline=Deadline(seconds))
    whole = change_by(method, case, source)
    late = [tensor for tensor, why in short.skipped.items() if why.code == LATE]
    done = [s.tensor for s in case.sites if s.role == "weight" and s.tensor in short.written]
    weights = [s.tensor for s in case.sites if s.role == "weight"]
    assert late and done and done + late == weights
    for tensor in done:
        assert np.array_equal(short.written[tensor], whole.written[tensor])


@pytest.mark.usefixtures("ticking")
def test_blocks_that_are_not_done_in_time_are_named(small: tuple[Source, Case]) -> None:
    source, case = small[0], coarse_weights(small[1])
    method = BlockReconstruction(iterations=2)
    short = change_by(method, case, source, deadline=Deadline(1.0))
    weights = {s.tensor for s in case.sites if s.role == "weight"}
    late = {tensor for tensor, why in short.skipped.items() if why.code == LATE}
    assert late and late <= weights and not late & short.written.keys()


@pytest.mark.usefixtures("ticking")
def test_a_search_that_is_cut_short_has_steps_that_are_enough() -> None:
    def enough(steps: Any) -> bool:
        return {"b", "e"} <= set(steps)

    for seconds in range(12):
        order: Any = "abcdef"
        assert enough(fewest(order, enough, until=Deadline(float(seconds))))


def test_an_attribution_looks_at_one_batch_at_least(small: tuple[Source, Case]) -> None:
    source, case = small
    over = Deadline(time.monotonic() - 1)
    run = Run(case.over(40), source, Settings(), None, deadline=over, largest=4, wanted=40)
    run.diagnose(silent)
    assert run.done == 4 and run.late
    assert [note.code for note in _cut_short(run)] == ["note.late"]
    assert run.network().attributions


def test_a_recovery_without_time_judges_what_it_was_given(tmp_path: Path) -> None:
    model = saved(cnn(1), tmp_path)
    case = lb.load(model, samples(2, 40, 3, 16, 16), "snpe", hold_out=True)
    better = lb.recover(case, budget=0.01)
    found = better.report.recovered
    assert found is not None and found.before == found.after and not better.report.ledger
    assert found.stopped.code == "recovered.time"
    assert found.written is None and not found.wider and not found.sites
    assert set(found.floors_db.values()) == {None}


def test_a_bound_that_is_no_number_is_unknown(small: tuple[Source, Case]) -> None:
    """What was recovered is not lost, where weights in float leave a logarithm of nothing."""
    source, case = small
    run = Run(case.over(40), source, Settings(), None, largest=4, wanted=4)
    bench: Any = SimpleNamespace()
    judge, wishes = Mock(side_effect=not_finite("output 'y'", "NaN")), Wishes(())
    planner: Any = SimpleNamespace(case=case, judging=0.0)
    assert set(Ending(bench, judge, wishes, run, silent).floors(planner).values()) == {None}
    judge.side_effect = SimulationError("S006", "outputs", "zero")
    with pytest.raises(SimulationError, match="S006"):
        Ending(bench, judge, wishes, run, silent).floors(planner)


def test_an_attribution_is_taken_to_be_no_faster_than_the_first(small: tuple[Source, Case]) -> None:
    source, case = small
    bench = Bench(source, source, None, Settings())
    assert bench.look_seconds(case) < 1
    assert bench.look_seconds(case, took=5.0) == 8 * 5.0  # it looks at eight samples


@pytest.mark.parametrize(("took", "ranked"), [(0.0, True), (10.0, False)])
def test_more_bits_are_ranked_only_where_there_is_time(
    small: tuple[Source, Case], took: float, ranked: bool
) -> None:
    source, case = small
    run = Run(case.over(40), source, Settings(), None, largest=4, wanted=4)
    run.sums.samples = 4  # a batch took 10 s: sixteen samples will take 40
    wishes = Wishes((), deadline=Deadline.after(30), took={"diagnose": took})
    judge, bench = Judge(case.model, source), Bench(source, source, None, Settings())
    planner: Any = SimpleNamespace(case=case, judging=0.0)
    assert bool(Ending(bench, judge, wishes, run, silent).wider(planner)) == ranked


@pytest.mark.slow
def test_a_small_network_is_tried_by_everything(tmp_path: Path) -> None:
    """What it takes is said in advance, and too much for small networks."""
    case = lb.load(saved(mlp(1), tmp_path), samples(2, 40, 6), "snpe", hold_out=True)
    methods = ["named_ranges", "ranges", "bias_correction", "second_order"]
    better = lb.recover(case, budget="60s", methods=methods)
    stopped = better.report.recovered
    assert stopped is not None and stopped.stopped.code == "recovered.nothing"
