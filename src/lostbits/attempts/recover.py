"""The verb ``recover``: diagnosis, attempts, and the best case on disk at any time."""

from dataclasses import replace

from lostbits.attempts.bench import Bench, Save, Wishes, diagnosed, site_changes
from lostbits.attempts.ending import Ending
from lostbits.attempts.finish import Finish
from lostbits.attempts.in_words import in_words
from lostbits.attempts.ledger import Entry
from lostbits.attempts.planner import Planner
from lostbits.attempts.tools import Tools
from lostbits.case import Case
from lostbits.diagnoses.driver import Run
from lostbits.graph.named_parts import ALL
from lostbits.language import say
from lostbits.recovery import Diagnosed
from lostbits.results.recovery import Attempt, Outcome
from lostbits.runtime.metrics import Baseline
from lostbits.workers.progress import FINISH, Progress, silent

_LOOK = 0.25  # part of the time that is left, for an attribution between attempts


def recover(
    case: Case, run: Run, bench: Bench, wishes: Wishes, save: Save, progress: Progress = silent
) -> tuple[Case, list[Attempt], Outcome]:
    """Win back what can be won of a case, which ``run`` has diagnosed: the best, and how."""
    judge = bench.panel.judge(case)
    judges, distance = bench.trials(wishes.goal), bench.distance(case.model, case.compared)
    ending = Ending(bench, judge, wishes, run, progress)

    def look(case: Case) -> Diagnosed:
        return bench.diagnose(case, wishes.deadline.part(_LOOK))

    tools = Tools(judge.judged, look, bench.recalibrate, distance, save, judges)
    effort = replace(wishes.effort, goal=wishes.goal, pool=bench.pool)
    took = wishes.took.get("diagnose", 0.0) / max(run.done, 1)
    first = diagnosed(run)
    seconds = bench.pass_seconds(case.model), bench.look_seconds(case, took)
    until = wishes.deadline.at
    planner = Planner(case, first, bench.source, wishes.methods, until, effort, tools, *seconds)
    planner.closing, planner.calibrating = ending.seconds, ending.calibrating
    finish = Finish(planner, progress)
    planner.attempted = finish.again
    try:
        planner.run(progress)
        finish.leave_out()
        progress(FINISH, 0, 1)
    except KeyboardInterrupt:
        if not planner.begun:
            raise
        return _so_far(planner)
    made, written = ending.written(planner)
    best, entries = ending.in_runtime.tried(made, planner.judging, planner.now)
    if best is not planner.case:
        save(best, [])
    planner.ledger += entries
    attempts = [_attempt(entry) for entry in planner.ledger]
    written = None if made is planner.case else written
    return best, attempts, _outcome(planner, ending, best, written)


def _outcome(planner: Planner, ending: Ending, best: Case, written: Baseline | None) -> Outcome:
    """What came of all attempts, and what bounds it."""
    goal, run, whole = planner.effort.goal, ending.run, ending.bench.whole
    last = ending.last(best, ALL if run.focus is None else run.focus.name, planner.judging)
    bounds, predicted = ending.floors(planner), ending.predicted_floor(planner)
    wider = [] if goal is not None or last is None else ending.wider(planner)
    met = None if goal is None else goal.met(planner.now)
    figures = (planner.before, planner.now, planner.reason_to_stop(), met, bounds)
    whole = None if written is None else whole
    text = in_words(*figures[:-1], {**bounds, "predicted": predicted}, wider, whole)
    sites = [] if last is None else site_changes(run, last)
    return Outcome(*figures, sites, text, wider, written, floor_predicted_db=predicted)


def _so_far(planner: Planner) -> tuple[Case, list[Attempt], Outcome]:
    """What an interrupted recovery has come to, without anything that takes another run."""
    goal = planner.effort.goal
    met = None if goal is None else goal.met(planner.now)
    bounds: dict[str, float | None] = {"weights_in_float": None, "activations_in_float": None}
    figures = (planner.before, planner.now, say("recovered.interrupted"), met, bounds)
    outcome = Outcome(*figures, [], in_words(*figures, [], None), interrupted=True)
    return planner.case, [_attempt(entry) for entry in planner.ledger], outcome


def _attempt(entry: Entry) -> Attempt:
    return Attempt(**vars(entry), gain_db=entry.gain_db)
