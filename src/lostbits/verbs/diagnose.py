"""The verb ``diagnose``: a case -> where, why and how much accuracy it loses."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lostbits import quoting
from lostbits.case import Case
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.result import assemble
from lostbits.diagnoses.settings import Settings
from lostbits.metric import Custom, Metric
from lostbits.metrics import metric as chosen_metric
from lostbits.results.diagnosis import Diagnosis
from lostbits.runtime.held_out_figures import Judges
from lostbits.runtime.metrics import METRICS
from lostbits.runtime.metrics import Metric as Attributed
from lostbits.verbs.arguments import checked
from lostbits.verbs.origin import Provenance, adjusted, origin_of, working
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress, silent


@checked
def diagnose(  # noqa: PLR0913 - options are keywords
    case: Case,
    *,
    labels: object = None,
    metric: str | Metric | Callable[..., Any] = "nsr",
    method: str = "auto",
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
        metric: ``nsr`` or ``kl``: what is attributed. Or what decides, beside the SQNR that is
            attributed then: a name, ``package.module:function``, a metric, or a function
            ``(outputs, samples, labels) -> float``, higher is better. Where a function has an
            attribute ``loss``, that is attributed. See lostbits.metric.
        method: Of the network attribution: ``auto``, ``aumann-shapley`` or ``permutation``.
        permutations: Orders that the permutation method walks; an even number.
        seed: Of permutations beyond the first two.
        workers: Processes, or a pool that is open; default, as for ``load``.
        threads: Of each worker; default, as for ``load``.
        command: The command line that stands in findings; default, one that gives the same.
        progress: Told after every batch.

    Raises:
        LostbitsError: With code, place, rule, what was found and what to do.
    """
    origin = origin_of(case)
    data, settings = origin.judged, adjusted(origin.settings, workers, threads)
    counts = None if metric in METRICS else chosen_metric(metric)
    settings = replace(
        with_loss(settings, counts, attributed="kl" if metric == "kl" else "nsr"),
        method=method,
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
            run.metric = Judges(data.source, truth, counts, pool).judge(bare.model)(bare).metric
        seconds["diagnose"] = time.perf_counter() - start
        return explained(run, origin, settings, seconds, (peak.bytes, pool.peak))


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
) -> Diagnosis:
    """What a run has found, with what is to be said of its file and its memory."""
    start = time.perf_counter()
    found = assemble(run, origin.reference, seconds, adopted=origin.adopted is not None)
    seconds["explain"] = time.perf_counter() - start
    return origin.completed(replace(found, seconds=seconds), peaks)


def command_of(origin: Provenance, labels: object = None, metric: object = None) -> str:
    """The command line that gives the same, as far as paths were named."""
    words = ["lostbits", "diagnose", quoting.operand(str(origin.folder or origin.reference.path))]
    words += ["--target", origin.target.name]
    named: dict[str, Any] = {
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
    return quoting.command(words)
