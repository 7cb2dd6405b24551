"""The verb ``diagnose``: a case -> where, why and how much accuracy it loses."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lostbits import quoting
from lostbits.case import Case
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.result import Circumstances, assemble
from lostbits.diagnoses.sample_check import sample_check
from lostbits.diagnoses.settings import Settings
from lostbits.diagnoses.steps import taken_apart
from lostbits.metric import Custom, Metric
from lostbits.metrics import metric as chosen_metric
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.gate import checked_goal
from lostbits.runtime.goal import Goal
from lostbits.runtime.held_out_figures import Judges
from lostbits.runtime.metrics import METRICS
from lostbits.runtime.metrics import Metric as Attributed
from lostbits.verbs.arguments import checked
from lostbits.verbs.origin import Provenance, adjusted, origin_of, working
from lostbits.verbs.suggested import with_commands
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress, silent


@checked
def diagnose(  # noqa: PLR0913 - options are keywords
    case: Case,
    *,
    labels: object = None,
    goal: str | Goal | Sequence[str] = (),
    metric: str | Metric | Callable[..., Any] = "nsr",
    method: str = "auto",
    of: str | None = None,
    permutations: int = 2,
    seed: int = 0,
    workers: int | Pool | None = None,
    threads: int | None = None,
    command: str = "",
    progress: Progress = silent,
) -> Diagnosis:
    """Where, why and how much accuracy the quantized network loses on the case's data.

    Args:
        case: Of ``load``, with data; or what a recovery made of one.
        labels: Class numbers of the data, or what the metric takes: a path or an array.
        goal: What the figures should keep, such as ``agreement>=0.99``; one or several.
        metric: ``nsr`` or ``kl``: what is attributed. Or what decides, beside the SQNR that is
            attributed then: a name, ``package.module:function``, a metric, or a function
            ``(outputs, samples, labels) -> float``, higher is better. Where a function has an
            attribute ``loss``, that is attributed. See lostbits.metric.
        method: Of the network attribution: ``auto``, ``aumann-shapley`` or ``permutation``.
        of: Output, or part of one such as ``output0[4:]``, whose error is attributed, or ``all``;
            default, the worst part where that is more than 10 dB below the whole.
        permutations: Orders that the permutation method walks; an even number.
        seed: Of permutations beyond the first two.
        workers: Processes, or a pool that is open; default, as for ``load``.
        threads: Of each worker; default, as for ``load``.
        command: The command line that stands in findings; default, one that gives the same.
        progress: Told after every batch.

    Raises:
        LostbitsError: With code, place, rule, what was found and what to do.
    """
    origin, goals = origin_of(case), _goals(goal)
    data, settings = origin.judged, adjusted(origin.settings, workers, threads)
    counts = None if metric in METRICS else chosen_metric(metric)
    settings = replace(
        with_loss(settings, counts, attributed="kl" if metric == "kl" else "nsr"),
        method=method,
        of=of,
        permutations=permutations,
        seed=seed,
        command=command or command_of(origin, labels, None if metric == "nsr" else metric),
    )
    truth, seconds = data.labels(labels, counts), {"calibrate": origin.seconds}
    classes = None if counts is not None and counts.labels == "any" else truth
    with working(settings, settings.resources.workers if workers is None else workers) as (
        pool,
        peak,
    ):
        start = time.perf_counter()
        bare = replace(case.over(len(data.source)), origin=None)  # workers need nothing of it
        run = Run(bare, data.source, settings, classes)
        run.diagnose(progress, pool)
        if counts is not None:
            run.metric = Judges(data.source, truth, counts, pool).judge(bare)(bare).metric
        seconds["diagnose"] = time.perf_counter() - start
        around = Circumstances(
            adopted=origin.adopted is not None, unseen=origin.calibration is not None, goals=goals
        )
        if not run.interrupted:
            around = _looked_into(around, run, origin, seconds, (pool, progress))
        found = explained(run, origin, settings, seconds, (peak.bytes, pool.peak), around)
    return replace(found, checks=[checked_goal(each, found.baseline) for each in goals])


def _goals(given: str | Goal | Sequence[str]) -> list[Goal]:
    """One goal or several, read."""
    each = [given] if isinstance(given, str | Goal) else given
    return [goal if isinstance(goal, Goal) else Goal.parse(goal) for goal in each]


def _looked_into(
    around: Circumstances,
    run: Run,
    origin: Provenance,
    seconds: dict[str, float],
    with_: tuple[Pool, Progress],
) -> Circumstances:
    """With what the samples say of themselves, and a broken network taken apart by steps."""
    start, apart = time.perf_counter(), origin.calibration
    others = None if apart is None else apart.source
    check = sample_check(run.case, origin.reference.plain, run.source, others, with_[0])
    seconds["samples"] = time.perf_counter() - start
    start = time.perf_counter()
    steps = taken_apart(run, *with_)
    seconds["repair"] = time.perf_counter() - start
    return replace(around, check=check, steps=steps)


def with_loss(
    settings: Settings, metric: Metric | None, attributed: Attributed = "nsr"
) -> Settings:
    """Settings that attribute the loss of a metric, where it has one; else something else."""
    loss = metric.loss if isinstance(metric, Custom) else None
    return replace(settings, metric=attributed if loss is None else "loss", loss=loss)


def explained(
    run: Run,
    origin: Provenance,
    settings: Settings,
    seconds: dict[str, float],
    peaks: tuple[int, int],
    around: Circumstances,
) -> Diagnosis:
    """What a run has found, with what is to be said of its file and its memory."""
    start = time.perf_counter()
    found = assemble(run, origin.reference, seconds, around)
    seconds["explain"] = time.perf_counter() - start
    return with_commands(origin.completed(replace(found, seconds=seconds), peaks), origin)


def command_of(origin: Provenance, labels: object = None, metric: object = None) -> str:
    """The command line that gives the same, as far as paths were named."""
    words = ["lostbits", "diagnose", quoting.operand(str(origin.folder or origin.reference.path))]
    words += ["--target", origin.target.name]
    named: dict[str, Any] = {
        "--arithmetic": origin.arithmetic,
        "--data": origin.data and origin.data.path,
        "--calibration": origin.calibration and origin.calibration.path,
        "--plan": origin.foreign and origin.foreign.path,
        "--labels": labels if isinstance(labels, str | Path) else None,
        "--metric": metric if isinstance(metric, str) else None,
    }
    words += [word for option, path in named.items() if path for word in (option, str(path))]
    if origin.data is not None and len(origin.data.source) < origin.data.whole:
        words += ["--samples", str(len(origin.data.source))]
    words += [word for wish in origin.settings.overrides for word in ("--set", str(wish))]
    words += _told(origin)
    return quoting.command(words)


def _told(origin: Provenance) -> list[str]:
    """Options that say of outputs what was said of them."""
    pairs = (("--outputs", origin.told.kinds), ("--mask-output", origin.told.masks))
    return [
        word
        for option, given in pairs
        for name, value in given.items()
        for word in (option, f"{name}={value}")
    ]
