"""The verb ``recover``: diagnosis, attempts, and the best case on disk at any time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from lostbits.attempts.bench import Bench, Save, Wishes
from lostbits.attempts.ledger import Entry
from lostbits.attempts.recover import recover as recovered
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.judgement import judged
from lostbits.diagnoses.result import Circumstances, Evaluation, samples_used
from lostbits.diagnoses.sample_check import sample_check
from lostbits.diagnoses.settings import Settings
from lostbits.errors import TargetError, close_match
from lostbits.metric import Metric
from lostbits.metrics import metric as chosen_metric
from lostbits.recovery import Effort, Inputs
from lostbits.recovery import Recovery as Method
from lostbits.results.diagnosis import Diagnosis, Recovery
from lostbits.results.recovery import Outcome
from lostbits.runtime.goal import Goal
from lostbits.runtime.goal import seconds as parsed
from lostbits.system.deadline import Deadline
from lostbits.system.peak import Peak
from lostbits.verbs.added_ops import added_ops
from lostbits.verbs.arguments import checked
from lostbits.verbs.case_files import files_of
from lostbits.verbs.choice import choose
from lostbits.verbs.diagnose import command_of, explained, with_loss
from lostbits.verbs.holdout import held_out
from lostbits.verbs.origin import Provenance, Samples, adjusted, check_static, origin_of, working
from lostbits.verbs.output import replace_file
from lostbits.verbs.suggested import after_recovery
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress, silent
from lostbits.workers.work_folder import NAME as WORK
from lostbits.workers.work_folder import Work

_LOOK = 0.3  # part of the time that the first attribution may take


@checked
def recover(  # noqa: PLR0913 - options are keywords
    case: Case,
    *,
    goal: str | Goal | None = None,
    budget: str | float = 600.0,
    methods: Sequence[str | Method] = (),
    labels: object = None,
    metric: str | Metric | Callable[..., Any] | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    inputs: str = Inputs.RECOVERED,
    iterations: int | None = None,
    workers: int | Pool | None = None,
    threads: int | None = None,
    command: str = "",
    progress: Progress = silent,
) -> Recovery:
    """Win back what can be won, judged on samples that no attempt has seen.

    Args:
        case: Of ``load``. Its data judge, and its calibration samples teach; where it has data
            alone, the last quarter of them judges (of few, up to a half), and the plan is made anew
            from the others; what is written is made on all of them.
        goal: Where to stop, such as ``sqnr_db>=20``; default, try all that there is time for.
        budget: Seconds for all of it, diagnoses included, or text such as ``10m``. What has begun
            ends at the border of a layer, and keeps what is done.
        methods: Recoveries, by name or made with settings: only these; or names with a minus sign
            before each, for all others.
        labels: Class numbers of the data, or what the metric takes: a path or an array.
        metric: What counts, in place of right answers (with labels) or of the worst part of an
            output: a name, ``package.module:function``, a metric, or a function
            ``(outputs, samples, labels) -> float``, higher is better. See lostbits.metric.
        out: Folder that keeps the best case so far; see lostbits.verbs.case_files.
        seed: Of everything random.
        inputs: What enters a layer that is learned: ``recovered`` or ``float`` values.
        iterations: Steps of recoveries that are named and learn; default, each its own.
        workers: Processes, or a pool that is open; default, as for ``load``.
        threads: Of each worker; default, as for ``load``.
        command: The command line that stands in findings; default, one that diagnoses the same.
        progress: Told after every batch or layer.

    Raises:
        LostbitsError: With code, place, rule, what was found and what to do.
    """
    origin = origin_of(case)
    check_static(case)
    effort = Effort(iterations=iterations, seed=seed, inputs=_inputs(inputs))
    settings, effort = _kept(_told(origin, workers, threads, command), effort, out)
    wishes = _wishes(goal, budget, choose(methods, iterations), effort)
    counts = None if metric is None else chosen_metric(metric)
    settings = with_loss(settings, counts)
    with working(settings, settings.resources.workers if workers is None else workers) as (
        pool,
        peak,
    ):
        room = _Room(origin, settings, wishes, counts, pool, peak, saver(out), progress)
        best, report = _recovered(case, labels, room)
    return _completed(report, best, case, out)


@final
@dataclass(frozen=True)
class _Room:
    """What one recovery works with: where the case comes from, wishes, and who does the work."""

    origin: Provenance
    settings: Settings
    wishes: Wishes
    metric: Metric | None
    pool: Pool
    peak: Peak
    save: Save
    progress: Progress


def _recovered(case: Case, labels: object, room: _Room) -> tuple[Case, Diagnosis]:
    """The best case, and the report of how it came about."""
    origin, wishes, pool = room.origin, room.wishes, room.pool
    judges, teaching = _parts(origin)
    clock, seconds = time.perf_counter, {"calibrate": origin.seconds}
    start = clock()
    bare = _taught(case, origin, teaching.source, room.progress, pool)
    bench = Bench(
        teaching.source,
        judges.source,
        judges.labels(labels, room.metric),
        room.settings,
        wishes.budget,
        pool,
        room.metric,
    )
    bench = _of_all(bench, judges, teaching, origin, labels, room.progress)
    seconds["calibrate"] += clock() - start
    start = clock()
    run = bench.run(bare, room.progress, deadline=wishes.deadline.part(_LOOK))
    if run.interrupted:
        raise KeyboardInterrupt
    seconds["diagnose"] = clock() - start
    start, wishes = clock(), replace(wishes, took=dict(seconds))
    best, ledger, outcome = recovered(bare, run, bench, wishes, room.save, room.progress)
    seconds["recover"] = clock() - start
    check = None
    if wishes.deadline.left > seconds["calibrate"]:  # it takes less than a calibration
        check = sample_check(bare, origin.reference.plain, judges.source, teaching.source, pool)
    around = Circumstances(
        adopted=origin.adopted is not None,
        goals=[] if wishes.goal is None else [wishes.goal],
        check=check,
        judges=_evaluation(bench, outcome),
    )
    peaks = (room.peak.bytes, pool.peak)
    found = explained(run, origin, room.settings, seconds, peaks, around)
    matched = found.coverage.sites_total
    after = judged(outcome.after, len(judges.source), matched=matched, goals=around.goals)
    found = replace(found, notes=[*found.notes, *judges.notes])
    return best, replace(found, ledger=ledger, recovered=outcome, judgement_after=after)


def _wishes(
    goal: str | Goal | None, budget: str | float, methods: tuple[Method, ...], effort: Effort
) -> Wishes:
    """What was asked for; from now on its time runs."""
    given = parsed(budget) if isinstance(budget, str) else budget
    aim = Goal.parse(goal) if isinstance(goal, str) else goal
    return Wishes(methods, aim, given, effort, Deadline.after(given))


def _evaluation(bench: Bench, outcome: Outcome) -> Evaluation:
    """The network as it came, on the samples that judge; labels only where they are classes."""
    facts = samples_used(bench.judges, "evaluation", len(bench.judges))
    classes = bench.metric is None or bench.metric.labels != "any"
    return Evaluation(outcome.before, facts, bench.labels if classes else None)


def _completed(report: Diagnosis, best: Case, case: Case, out: str | Path | None) -> Recovery:
    """With what the best case has more than the model, and what to run next."""
    assert report.recovered is not None
    report = replace(
        report,
        recovered=replace(report.recovered, added=added_ops(case.model, best)),
        next_commands=[] if out is None else after_recovery(best, report.command, Path(out)),
    )
    return Recovery(replace(best, origin=_origin(origin_of(case), best, out)), report)


def _told(
    origin: Provenance, workers: int | Pool | None, threads: int | None, command: str
) -> Settings:
    """The settings of the case, with what this verb was told."""
    settings = adjusted(origin.settings, workers, threads)
    return replace(settings, command=command or command_of(origin))


def _kept(settings: Settings, effort: Effort, out: str | Path | None) -> tuple[Settings, Effort]:
    """With a folder to keep unfinished work in."""
    if out is None:
        return settings, effort
    work = Work(Path(out) / WORK, settings.announce)
    return replace(settings, cache=work), replace(effort, cache=work)


def _origin(origin: Provenance, best: Case, out: str | Path | None) -> Provenance:
    """Where the best case comes from; what was said of somebody else's file is void."""
    return replace(
        origin,
        reference=replace(origin.reference, model=best.model),
        placed=best.placed,
        foreign=None,
        adopted=None,
        kept=best,
        folder=None if out is None else Path(out),
    )


def _parts(origin: Provenance) -> tuple[Samples, Samples]:
    """Samples that judge, and samples to work on."""
    if origin.calibration is not None:
        return origin.judged, origin.calibration
    return held_out(origin.judged)


def _of_all(
    bench: Bench,
    judges: Samples,
    teaching: Samples,
    origin: Provenance,
    labels: object,
    progress: Progress,
) -> Bench:
    """With what is known besides where both kinds of samples come from the same data."""
    whole = judges.parted
    if whole is None or teaching.parted is not whole:
        return bench

    def planned() -> Case:
        return replace(origin.calibrate(whole.source, progress, bench.pool), origin=None)

    taught = None if labels is None else teaching.labels(labels, bench.metric)
    return replace(bench, taught=taught, whole=whole.source, planned=planned)


def _taught(case: Case, origin: Provenance, source: Source, progress: Progress, pool: Pool) -> Case:
    """The case that only the samples to work on have made."""
    if origin.calibration is None:
        case = origin.calibrate(source, progress, pool)
    return replace(case.over(len(source)), origin=None)


def _inputs(name: str) -> Inputs:
    if name not in {*Inputs}:
        raise TargetError(
            "T010", f"--inputs {name}", "no such inputs", advice=close_match(name, Inputs)
        )
    return Inputs(name)


def saver(out: str | Path | None) -> Save:
    """Keeps the best case in a folder; see lostbits.verbs.case_files."""

    def save(case: Case, ledger: Sequence[Entry]) -> None:
        if out is None or (ledger and not ledger[-1].kept):
            return
        for name, content in files_of(case).items():
            replace_file(Path(out) / name, content)

    return save
