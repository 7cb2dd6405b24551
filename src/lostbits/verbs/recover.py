"""The verb ``recover``: diagnosis, attempts, and the best case on disk at any time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lostbits.attempts.bench import Bench, Save, Wishes
from lostbits.attempts.ledger import Entry
from lostbits.attempts.recover import recover as recovered
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.judgement import judged
from lostbits.diagnoses.result import Circumstances, Judged, samples_used
from lostbits.diagnoses.sample_check import sample_check
from lostbits.diagnoses.settings import Settings
from lostbits.errors import TargetError, close_match
from lostbits.metric import Metric
from lostbits.metrics import metric as chosen_metric
from lostbits.recovery import Effort, Inputs
from lostbits.recovery import Recovery as Method
from lostbits.results.diagnosis import Diagnosis, Recovery
from lostbits.results.recovery import Outcome
from lostbits.results.samples import SampleCheck
from lostbits.runtime.goal import Goal
from lostbits.runtime.goal import seconds as parsed
from lostbits.runtime.metrics import Baseline
from lostbits.system.deadline import Deadline
from lostbits.verbs.arguments import checked
from lostbits.verbs.case_files import files_of
from lostbits.verbs.choice import choose
from lostbits.verbs.diagnose import command_of, explained, with_loss
from lostbits.verbs.holdout import held_out
from lostbits.verbs.origin import Provenance, Samples, adjusted, check_static, origin_of, working
from lostbits.verbs.output import replace_file
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
    judges, teaching = _parts(origin)
    counts = None if metric is None else chosen_metric(metric)
    settings = with_loss(settings, counts)
    seconds = {"calibrate": origin.seconds}
    workers = settings.resources.workers if workers is None else workers
    with working(settings, workers) as (pool, peak):
        start = time.perf_counter()
        bare = _taught(case, origin, teaching.source, progress, pool)
        truth = judges.labels(labels, counts)
        bench = Bench(
            teaching.source,
            judges.source,
            truth,
            settings,
            wishes.budget,
            pool,
            counts,
            **_shared(judges, teaching, origin, labels, counts, progress, pool),
        )
        seconds["calibrate"] += time.perf_counter() - start
        start = time.perf_counter()
        run = bench.run(bare, progress, deadline=wishes.deadline.part(_LOOK))
        seconds["diagnose"] = time.perf_counter() - start
        start, wishes = time.perf_counter(), replace(wishes, took=dict(seconds))
        best, ledger, outcome = recovered(bare, run, bench, wishes, saver(out), progress)
        seconds["recover"] = time.perf_counter() - start
        check = None
        if wishes.deadline.left > seconds["calibrate"]:  # it takes less than a calibration
            check = sample_check(bare, origin.reference.plain, judges.source, teaching.source, pool)
        labelled = None if counts is not None and counts.labels == "any" else truth
        around = _around(origin, wishes, check, _judged(judges, outcome.before, labelled))
        found = explained(run, origin, settings, seconds, (peak.bytes, pool.peak), around)
    report = _report(replace(found, ledger=ledger), outcome, len(judges.source), around.goals)
    return Recovery(replace(best, origin=_origin(origin, best, out)), report)


def _told(
    origin: Provenance, workers: int | Pool | None, threads: int | None, command: str
) -> Settings:
    """The settings of the case, with what this verb was told."""
    settings = adjusted(origin.settings, workers, threads)
    return replace(settings, command=command or command_of(origin))


def _wishes(
    goal: str | Goal | None, budget: str | float, methods: tuple[Method, ...], effort: Effort
) -> Wishes:
    """What was asked for; from now on its time runs."""
    given = parsed(budget) if isinstance(budget, str) else budget
    aim = Goal.parse(goal) if isinstance(goal, str) else goal
    return Wishes(methods, aim, given, effort, Deadline.after(given))


def _judged(judges: Samples, before: Baseline, labels: NDArray[Any] | None) -> Judged:
    """Figures of the case as it came, on the samples that judge."""
    used = samples_used(judges.source, "evaluation", len(judges.source))
    return Judged(before, used, labels)


def _check(
    case: Case, origin: Provenance, judges: Samples, teaching: Samples, pool: Pool
) -> SampleCheck:
    """What both kinds of samples say of themselves."""
    return sample_check(case, origin.reference.plain, judges.source, teaching.source, pool)


def _report(found: Diagnosis, outcome: Outcome, count: int, goals: Sequence[Goal]) -> Diagnosis:
    """The diagnosis of the case as it came, with what has become of it, on so many samples."""
    matched = found.coverage.sites_total
    after = judged(outcome.after, count, matched=matched, goals=goals)
    return replace(found, recovered=outcome, judgement_after=after)


def _around(
    origin: Provenance, wishes: Wishes, check: SampleCheck | None, judges: Judged
) -> Circumstances:
    """What is to be told besides the first diagnosis."""
    return Circumstances(
        adopted=origin.adopted is not None,
        goals=[] if wishes.goal is None else [wishes.goal],
        check=check,
        judges=judges,
    )


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


def _shared(
    judges: Samples,
    teaching: Samples,
    origin: Provenance,
    labels: object,
    metric: Metric | None,
    progress: Progress,
    pool: Pool,
) -> dict[str, Any]:
    """What is known where both kinds of samples come from the same data."""
    whole = judges.parted
    if whole is None or teaching.parted is not whole:
        return {}

    def planned() -> Case:
        return replace(origin.calibrate(whole.source, progress, pool), origin=None)

    taught = None if labels is None else teaching.labels(labels, metric)
    return {"taught": taught, "whole": whole.source, "planned": planned}


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
