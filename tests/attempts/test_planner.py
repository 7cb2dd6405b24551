"""The planner: which attempts it makes, in which order, and which it keeps."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from lostbits.attempts.bench import Bench
from lostbits.attempts.pace import Pace
from lostbits.attempts.planner import Planner
from lostbits.attempts.tools import Tools
from lostbits.case import Case, constant_of
from lostbits.data import Source
from lostbits.diagnoses.settings import Settings
from lostbits.errors import RecoveryError, SimulationError, WorkerError
from lostbits.graph.queries import constant
from lostbits.language import say, verbatim
from lostbits.recoveries.second_order import SecondOrder
from lostbits.recovery import (
    Change,
    Context,
    Diagnosed,
    Effort,
    Recovery,
    Rewriting,
    Stage,
    Sweeping,
)
from lostbits.runtime.goal import Goal
from lostbits.runtime.held_out_figures import Judge
from lostbits.verbs.choice import choose
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import silent
from runs import divided
from small_nets import (
    NOTHING,
    change_by,
    cnn,
    coarse_weights,
    coarsened,
    linear,
    make,
    mlp,
    samples,
)


def test_half_a_layer_is_refused_where_the_platform_takes_both_or_neither(tmp_path: Path) -> None:
    source, case = make(tmp_path, mlp(1), samples(2, 40, 6), "cnrt")
    weight = next(s for s in case.sites if s.role == "weight")
    half = Fixed(
        "half", Change("half", verbatim("one weight in float"), plan={weight.key: None}), 5
    )
    planner, _ = _planner(source, case, [half])
    planner.run(silent)
    (entry,) = planner.ledger
    assert not entry.kept and entry.note.code == "ledger.refused"
    assert entry.note.figures["layers"] == weight.node
    assert planner.case.plan == case.plan
    loose = replace(case, target=replace(case.target, together=False))
    planner, _ = _planner(source, loose, [half])
    planner.run(silent)
    assert planner.ledger[0].note.code != "ledger.refused"


LEARNED = ("adaround", "reconstruction")
_SECOND = 1e9  # operations, where a test lets the planner take a billion a second


class Fixed(Sweeping):
    """A recovery that proposes what it was told."""

    source = title = ""
    stage: Stage = "weights"  # type: ignore[misc]

    def __init__(self, name: str, told: Change, worth: float, seconds: float = 1.0) -> None:
        self.name, self.told, self.worth, self.seconds = name, told, worth, seconds  # type: ignore[misc]

    def cost(self, case: Case) -> float:
        return self.seconds * _SECOND

    def gain(self, diagnosed: Diagnosed) -> float:
        return self.worth

    def change(self, case: Case, context: Context) -> Change:
        return self.told


def _planner(
    source: Source, case: Case, recoveries: list[Any], **wishes: Any
) -> tuple[Planner, list[Case]]:
    work, judges = source.slice(0, 30), source.slice(30, 40)
    bench = Bench(work, judges, None, Settings())
    saved: list[Case] = []
    tools = Tools(
        Judge(case.model, judges).judged,
        lambda case: NOTHING,
        bench.recalibrate,
        bench.distance(case.model),
        lambda case, ledger: saved.append(case),
    )
    deadline = time.monotonic() + wishes.pop("seconds", 600)
    pace = wishes.pop("pace", 0.0)
    effort = Effort(**wishes)
    planner = Planner(case, NOTHING, work, recoveries, deadline, effort, tools)
    planner.pace = Pace(1.0, pace / _SECOND, pace / _SECOND)
    return planner, saved


def test_what_makes_held_out_samples_worse_is_dropped(small: tuple[Source, Case]) -> None:
    source, case = small
    bias = next(s for s in case.sites if s.role == "bias")
    bad = Change("bad", verbatim(""), {bias.tensor: constant_of(case.model, bias) + 5})
    planner, saved = _planner(source, case, [Fixed("bad", bad, 9.0)])
    planner.run(silent)
    (entry,) = planner.ledger
    assert not entry.kept and entry.gain_db < -3
    assert planner.case is case and saved == [case, case]


def test_attempts_run_in_the_order_of_decibels_a_second(small: tuple[Source, Case]) -> None:
    source, case = small
    none = Change("none", verbatim(""))
    order = [Fixed("low", none, 1.0), Fixed("high", none, 3.0), Fixed("middle", none, 2.0)]
    planner, _ = _planner(source, case, order)
    planner.run(silent)
    assert [e.method for e in planner.ledger] == ["high", "middle", "low"]
    assert planner.stopped == say("recovered.nothing", names="")


class Timed(Fixed):
    """Remembers how long it might have taken."""

    left = 0.0

    def change(self, case: Case, context: Context) -> Change:
        self.left = context.effort.deadline.left
        return self.told


@pytest.mark.parametrize(("worth", "left"), [(1.0, 550), (0.1, 600)])
def test_an_attempt_leaves_time_for_later_ones_that_promise_more(
    small: tuple[Source, Case], worth: float, left: float
) -> None:
    source, case = small
    none = Change("none", verbatim(""))
    first, later = Timed("first", none, 0.2), Fixed("later", none, worth, 50)
    first.stage = "ranges"
    planner, _ = _planner(source, case, [later, first], pace=1.0)
    planner.run(silent)
    assert [e.method for e in planner.ledger] == ["first", "later"]
    assert left - 20 < first.left < left


@pytest.mark.parametrize(
    ("seconds", "order"),
    [
        (1000, ["early", "quick", "slow"]),  # the earliest stage first, then decibels a second
        # "quick" would go for the error that "slow" is to take. What does not end in time is begun
        # where nothing else does, the cheapest first.
        (90, ["early", "slow", "quick"]),
        (65, ["slow", "quick"]),  # the others promise less together
        (45, ["early", "quick", "slow"]),
        (25, ["quick", "early"]),  # "early" fits as well, and would leave no time for it
    ],
)
def test_the_attempts_that_promise_most_together_share_the_time(
    small: tuple[Source, Case], seconds: float, order: list[str]
) -> None:
    """Each attempt here ends at once, and takes its time off the deadline."""
    source, case = small
    attempts = [_Timed("slow", 60, 4.0), _Timed("quick", 20, 3.0), _Timed("early", 20, 0.5)]
    attempts[2].stage = "ranges"
    planner, _ = _planner(source, case, attempts, seconds=seconds, pace=1.0)
    assert _attempted(planner, attempts) == order


@pytest.mark.parametrize(
    ("seconds", "order"), [(90.0, ["much", "little"]), (200.0, ["little", "much"])]
)
def test_a_small_gain_waits_where_there_may_be_no_time_for_all(
    small: tuple[Source, Case], seconds: float, order: list[str]
) -> None:
    """Though its stage comes first: what was said of times may be off by a factor of two."""
    source, case = small
    attempts = [_Timed("little", 20, 0.1), _Timed("much", 40, 4.0)]
    attempts[0].stage = "ranges"
    planner, _ = _planner(source, case, attempts, seconds=seconds, pace=1.0)
    assert _attempted(planner, attempts) == order


def _attempted(planner: Planner, attempts: Sequence["_Timed"]) -> list[str]:
    """Names of what a planner has attempted, in that order."""
    for attempt in attempts:
        attempt.planner = planner
    planner.run(silent)
    return [entry.method for entry in planner.ledger]


def _judging(planner: Planner, seconds: float) -> Callable[[float], float]:
    """Lets a planner believe that judging takes so many seconds, and keeps none for the end."""

    def closing(measured: float) -> float:
        planner.judging = seconds
        return 0.0

    return closing


class _Timed(Fixed):
    """Changes nothing, and takes the seconds that it has announced."""

    planner: Planner

    def __init__(self, name: str, seconds: float, worth: float) -> None:
        super().__init__(name, Change(name, verbatim("")), worth, seconds)

    def change(self, case: Case, context: Context) -> Change:
        self.planner.deadline -= self.seconds
        return self.told


class _Alone(Fixed):
    """Keeps one process busy; remembers for which cases it was asked."""

    alone = True

    def __init__(self, name: str, told: Change, worth: float) -> None:
        super().__init__(name, told, worth)
        self.cases: list[Case] = []

    def change(self, case: Case, context: Context) -> Change:
        self.cases.append(case)
        return self.told


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("helps", [False, True])
def test_attempts_asked_side_by_side_count_for_the_case_that_they_were_asked_for(
    small: tuple[Source, Case], workers: int, helps: bool
) -> None:
    """What the second proposed is used if the first is dropped, else it is asked again."""
    source, case = small[0], coarse_weights(small[1])
    good = change_by(SecondOrder(), case, source)
    first = _Alone("first", good if helps else Change("first", verbatim("")), 9.0)
    second = _Alone("second", Change("second", verbatim("")), 8.0)
    third = _Alone("third", good, 7.0)
    (pool := InProcess()).workers = workers
    attempts = [first, second, third, Fixed("shared", Change("shared", verbatim("")), 6.0)]
    planner, _ = _planner(source, case, attempts, pool=pool)
    planner.run(silent)
    assert [e.method for e in planner.ledger] == ["first", "second", "third", "shared"]
    assert [e.kept for e in planner.ledger] == [helps, False, not helps, False]
    assert len(first.cases) == len(third.cases) == 1
    assert second.cases[-1] is (planner.case if helps else case)
    assert len(second.cases) == (2 if helps and workers == 2 else 1)


def test_what_was_asked_side_by_side_takes_no_more_time(small: tuple[Source, Case]) -> None:
    """There is time for either of two attempts, but not for one after the other."""
    source, case = small
    for workers in (1, 2):
        attempts = [_Alone(name, Change(name, verbatim("")), 9.0) for name in ("first", "second")]
        (pool := InProcess()).workers = workers
        planner, _ = _planner(source, case, attempts, pool=pool, seconds=150, pace=100.0)
        save = planner.tools.save

        def later(case: Case, ledger: Any, planner: Planner = planner, save: Any = save) -> None:
            planner.deadline -= 100.0 if len(ledger) == 1 else 0.0
            save(case, ledger)

        planner.tools = replace(planner.tools, save=later)
        planner.closing = _judging(planner, 100.0)
        planner.run(silent)
        assert len(planner.ledger) == workers


@pytest.mark.slow
def test_the_form_of_the_network_does_not_change_after_ranges(
    small: tuple[Source, Case],
) -> None:
    """Another form would undo them: its plan is made by the target's own rules."""
    source, case = small[0], coarse_weights(small[1])
    change = change_by(SecondOrder(), case, source)
    late = Fixed("late", Change("late", verbatim(""), model=case.model), 5.0)
    late.stage, late.seconds = "network", 1e6
    good = Fixed("good", change, 9.0)
    planner, _ = _planner(source, case, [good, late], seconds=100, pace=1e-3)  # no room for both
    planner.run(silent)
    assert [(e.method, e.kept) for e in planner.ledger] == [("good", True)]
    stopped = say("recovered.nothing", names=say("recovered.names", names="late"))
    assert planner.stopped == stopped


# Time for both; for the attempt, but not for a look before it; for neither.
@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "looks"), [(1.0, 1), (590.0, 0), (1e6, 0)])
def test_the_error_is_attributed_anew_where_something_can_come_of_it(
    small: tuple[Source, Case], seconds: float, looks: int
) -> None:
    source, case = small[0], coarse_weights(small[1])
    change = change_by(SecondOrder(), case, source)
    later = Fixed("later", Change("later", verbatim("")), 1.0, seconds)
    planner, _ = _planner(source, case, [Fixed("good", change, 9.0), later], pace=1.0)
    seen: list[Case] = []

    def diagnose(case: Case) -> Diagnosed:
        seen.append(case)
        return NOTHING

    planner.look_seconds = 15.0
    planner.tools = replace(planner.tools, diagnose=diagnose)
    planner.run(silent)
    assert planner.ledger[0].gain_db >= 3
    assert [case is planner.case for case in seen] == [True] * looks


def test_what_is_predicted_to_win_nothing_is_not_tried(small: tuple[Source, Case]) -> None:
    source, case = small
    planner, _ = _planner(source, case, [Fixed("idle", Change("idle", verbatim("")), 0.01)])
    planner.run(silent)
    assert not planner.ledger
    names = say("recovered.names", names="idle")
    assert planner.stopped == say("recovered.nothing", names=names)


def test_what_does_not_fit_into_the_time_is_begun_where_nothing_does(
    small: tuple[Source, Case],
) -> None:
    """The cheapest of them; what it has done by the deadline counts."""
    source, case = small
    none = Change("none", verbatim(""))
    slow, slower = Fixed("slow", none, 1.0), Fixed("slower", none, 9.0, seconds=2.0)
    planner, _ = _planner(source, case, [slower, slow], seconds=60, pace=100.0)
    planner.run(silent)
    assert [entry.method for entry in planner.ledger] == ["slow", "slower"]


def test_nothing_is_begun_that_there_is_no_time_to_judge(small: tuple[Source, Case]) -> None:
    source, case = small
    slow = Fixed("slow", Change("slow", verbatim("")), 9.0)
    planner, _ = _planner(source, case, [slow], seconds=60, pace=100.0)
    planner.closing = _judging(planner, 100.0)
    planner.run(silent)
    assert not planner.ledger
    assert planner.stopped == say("recovered.no_fit", needs="slow about 100 s")


def test_time_that_runs_out_while_the_next_attempt_is_chosen_ends_it(
    small: tuple[Source, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, case = small
    planner, _ = _planner(source, case, [Fixed("late", Change("late", verbatim("")), 9.0)])
    hopeful = planner._hopeful

    def late(*arguments: Any) -> list[Recovery]:
        found = hopeful(*arguments)
        planner.deadline = time.monotonic()
        return found

    monkeypatch.setattr(planner, "_hopeful", late)
    planner.run(silent)
    assert not planner.ledger and planner.stopped == say("recovered.time")


def test_a_met_goal_and_a_spent_budget_end_it(small: tuple[Source, Case]) -> None:
    source, case = small
    none = Fixed("none", Change("none", verbatim("")), 1.0)
    planner, _ = _planner(source, case, [none], goal=Goal("sqnr_db", ">=", 1.0))
    planner.run(silent)
    assert not planner.ledger and planner.stopped == say("recovered.goal_met", goal="sqnr_db>=1")
    planner, _ = _planner(source, case, [none], seconds=0)
    planner.run(silent)
    assert not planner.ledger and planner.stopped == say("recovered.time")


class _Fails(Fixed):
    """A recovery that ends in an exception."""

    def __init__(self, name: str, worth: float, error: Exception) -> None:
        super().__init__(name, Change(name, verbatim("")), worth)
        self.error = error

    def change(self, case: Case, context: Context) -> Change:
        raise self.error


def test_an_attempt_that_fails_is_named_and_costs_nothing_else(
    small: tuple[Source, Case],
) -> None:
    source, case = small
    lost = RecoveryError("R001", "layer", "it is not")
    attempts = [
        _Fails("bug", 3.0, KeyError("no such thing")),
        _Fails("number", 2.0, lost),
        _Fails("infinite", 1.5, SimulationError("S005", "output", "")),
        Fixed("none", Change("none", verbatim("nothing to do")), 1.0),
    ]
    planner, _ = _planner(source, case, attempts)
    planner.run(silent)
    bug, number, infinite, none = planner.ledger
    assert not (bug.kept or number.kept) and planner.case is case
    why = [str(entry.note.figures["why"]) for entry in (bug, number, infinite)]
    assert {entry.note.code for entry in (bug, number, infinite)} == {"ledger.failed"}
    assert why[0].startswith("R006: recovery 'bug'") and "KeyError" in why[0]
    assert "test_planner.py:" in why[0]
    assert why[1] == str(lost) and none.note == verbatim("nothing to do")
    assert why[2].startswith("S005: output")


@pytest.mark.parametrize("error", [MemoryError(), WorkerError("W001", "worker", "")])
def test_what_is_about_more_than_an_attempt_ends_the_run(
    small: tuple[Source, Case], error: Exception
) -> None:
    planner, _ = _planner(*small, [_Fails("unlucky", 3.0, error)])
    with pytest.raises(type(error)):
        planner.run(silent)


def test_answers_that_are_no_numbers_are_not_judged(small: tuple[Source, Case]) -> None:
    source, case = small
    broken = case.model.clone()
    for name, value in broken.graph.initializers.items():
        array = constant(value)
        assert array is not None
        broken.graph.initializers[name].const_value = ir.tensor(
            np.asarray(array, np.float32) * np.float32(np.nan)
        )
    judge = Judge(case.model, source)
    with pytest.raises(SimulationError, match=r"S005: output .*judging samples 0 to 7"):
        judge.of(broken)


def test_a_broken_promise_is_an_error(small: tuple[Source, Case]) -> None:
    source, case = small
    other = case.model.clone()
    name = next(n for n in other.graph.initializers)
    array = other.graph.initializers[name].const_value
    assert array is not None
    other.graph.initializers[name].const_value = ir.tensor(1.1 * array.numpy(), name=name)

    class Promises(Fixed):
        @property
        def keeps_function(self) -> bool:
            return True

    broken = Promises("broken", Change("broken", verbatim(""), model=other), 1.0)
    planner, _ = _planner(source, case, [broken])
    with pytest.raises(RecoveryError, match="R003: recovery 'broken'"):
        planner.run(silent)


@pytest.mark.slow
def test_no_kept_attempt_makes_held_out_error_worse(tmp_path: Path) -> None:
    for seed, model in enumerate((mlp(5), linear(6), cnn(7))):
        shape = (3, 16, 16) if seed == 2 else (6,)
        path = tmp_path / str(seed)
        path.mkdir()
        source, case = make(path, model, samples(seed, 48, *shape))
        case = coarsened(case, 4)
        work, judges = divided(source)
        bench = Bench(work, judges, None, Settings())
        tools = Tools(
            Judge(case.model, judges).judged,
            bench.diagnose,
            bench.recalibrate,
            bench.distance(case.model),
            lambda case, ledger: None,
        )
        recoveries, effort = choose(["-precision"]), Effort()
        short = choose([*(r for r in recoveries if r.name not in LEARNED), *LEARNED], 50)
        diagnosed = bench.diagnose(replace(case, samples=len(work)))
        planner = Planner(case, diagnosed, work, short, time.monotonic() + 600, effort, tools)
        planner.run(silent)
        assert planner.ledger
        for entry in planner.ledger:
            assert entry.gain_db > 0 or not entry.kept
        figures = [e.after.sqnr_db for e in planner.ledger if e.kept]
        assert figures == sorted(figures)  # type: ignore[type-var]


class _Solved(Rewriting):
    """Counts how often its problem is solved."""

    name, title, source, stage = "solved", "", "", "network"
    solutions = 0

    def __init__(self, told: Change, worth: float) -> None:
        self.told, self.worth = told, worth

    def consider(self, case: Case) -> "_Solved":
        type(self).solutions += 1
        return self

    def gain(self, diagnosed: Diagnosed) -> float:
        return self.worth

    def change(self) -> Change:
        return self.told


def test_a_problem_is_solved_once_for_gain_and_change(small: tuple[Source, Case]) -> None:
    source, case = small
    for worth, kept in ((1.0, 1), (0.01, 0)):
        _Solved.solutions = 0
        solved = _Solved(Change("solved", verbatim("")), worth)
        planner, _ = _planner(
            source, case, [solved, Fixed("none", Change("none", verbatim("")), 0.5)]
        )
        assert len(planner._predicted([solved])) == 1 and len(planner.considered) == kept
        _Solved.solutions = 0
        planner.run(silent)
        assert _Solved.solutions == 1
        assert [e.method for e in planner.ledger] == ["solved", "none"][1 - kept :]


def test_time_that_attempts_take_is_learned(small: tuple[Source, Case]) -> None:
    """What took longer than stated lets less begin; the first measurement is the least."""
    pace = Pace(10.0, 1.0, 0.1)
    pace.learn(10.0, 5.0)
    assert pace.needed(10.0) == pytest.approx(3.0)
    pace.learn(1e6, 0.0)
    assert pace.needed(10.0) == pytest.approx(1.0)
    source, case = small
    bias = next(s for s in case.sites if s.role == "bias")
    bad = Change("bad", verbatim(""), {bias.tensor: constant_of(case.model, bias) + 5})
    planner, _ = _planner(source, case, [Fixed("bad", bad, 9.0)])
    planner.run(silent)
    assert planner.pace.operations > _SECOND and planner.pace.seconds > 0


def test_small_attempts_say_little_of_large_ones() -> None:
    """Making networks takes as long for few operations; a second per 1e8 computed stays one."""
    small = Pace(1e5, 1e-3, 1e-8)
    small.learn(1e7, 5.0)
    assert small.needed(1e7) == pytest.approx(5.0, rel=0.02)
    assert small.needed(6e8) == pytest.approx(5.0 + 5.9e8 * 3e-8, rel=0.02)
    large = Pace(1e5, 1e-3, 1e-8)
    large.learn(1e9, 20.0)
    assert large.needed(4e9) == pytest.approx(80.0, rel=0.02)


@pytest.mark.parametrize("seconds", [1e-4, 1.0, 1e4])
def test_the_order_does_not_depend_on_the_machine(
    small: tuple[Source, Case], seconds: float
) -> None:
    source, case = small
    none = Change("none", verbatim(""))
    order = [Fixed("low", none, 1.0, 1), Fixed("dear", none, 3.0, 9), Fixed("high", none, 2.0, 1)]
    planner, _ = _planner(source, case, order, seconds=float("inf"))
    planner.pace = Pace.of_pass(case, seconds)
    planner.run(silent)
    assert [e.method for e in planner.ledger] == ["high", "low", "dear"]
