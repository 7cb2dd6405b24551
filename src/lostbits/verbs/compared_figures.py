"""Figures of two sides on the same samples, and whose the change between them is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lostbits.case import Case
from lostbits.diagnoses.cancelling import corrected
from lostbits.diagnoses.change_report import (
    OPEN,
    Causes,
    Known,
    along_path,
    by_difference,
    output_change,
    residual,
)
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.network import CLOSURE
from lostbits.diagnoses.plan_change import attributed_change, connected
from lostbits.diagnoses.settings import Settings
from lostbits.diagnoses.side_figures import side_of_run
from lostbits.language import Message, say
from lostbits.results.comparison import Comparison, OutputChange, SideFigures, Way
from lostbits.verbs.compared_sides import Given, Opener, name_of, told
from lostbits.verbs.origin import origin_of, working
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress

_FINE = CLOSURE / 10  # of attributions from float, whose difference may be far less than either
_ALIKE = 0.01  # relative difference of the power of float outputs that are of one function


def told_alone(found: Comparison, sides: Sequence[Given]) -> Comparison:
    """With the figures that results and baselines hold."""
    old, new = map(told, sides)
    found = replace(found, old=old, new=new)
    if old is None or new is None:
        return replace(found, unsaid=[*found.unsaid, say("compared.no_data")])
    return _by_figures(found, old, new)


def _by_figures(found: Comparison, old: SideFigures, new: SideFigures) -> Comparison:
    """The change from two sides that were measured each for itself, if it was the same."""
    reason = _unlike(old, new)
    if reason is not None:
        return replace(found, unsaid=[*found.unsaid, reason])
    change = output_change(old, new, by_difference(old, new), "difference", _known(found))
    return replace(found, output=change)


def _unlike(old: SideFigures, new: SideFigures) -> Message | None:
    """Why figures of two sides have no difference; None where they have one."""
    if old.data_sha256 != new.data_sha256:
        return say("compared.other_data")
    if old.metric != new.metric:
        return say("compared.other_metric", old=old.metric, new=new.metric)
    return None


def measured(
    found: Comparison, sides: Sequence[Given], opener: Opener, labels: object, metric: Any
) -> Comparison:
    """With both sides measured on the data; of a baseline the figures stand as they are."""
    old, new = sides
    kept = [side if isinstance(side, SideFigures) else None for side in sides]
    turns = zip(kept, sides, (new, old), strict=True)
    cases = [None if keeps else opener.case(side, other) for keeps, side, other in turns]
    live = [case for case in cases if case is not None]
    if not live:
        return told_alone(found, sides)
    path = len(live) == 2 and connected(*live)
    settings = replace(origin_of(live[0]).settings, metric=metric)
    with working(settings, opener.options["workers"]) as (pool, _):
        tolerance = CLOSURE if path else _FINE
        shared = (settings, labels, tolerance, pool, opener.options["progress"])
        runs = [None if case is None else _run(case, *shared) for case in cases]
        figures = [
            kept[i] or side_of_run(run, name_of(side))  # type: ignore[arg-type]
            for i, (run, side) in enumerate(zip(runs, sides, strict=True))
        ]
        found = replace(found, old=figures[0], new=figures[1])
        if not path:
            return _by_figures(_doubted(found, live), *figures)
        change = _along(live, runs, found, pool, opener.options["progress"])
    return replace(found, output=change)


def _run(
    case: Case, settings: Settings, labels: object, tolerance: float, pool: Pool, told: Progress
) -> Run:
    data = origin_of(case).judged
    bare = replace(case.over(len(data.source)), origin=None)
    run = Run(bare, data.source, settings, data.labels(labels), tolerance)
    run.diagnose(told, pool)
    if run.interrupted:
        raise KeyboardInterrupt
    return run


def _along(
    cases: Sequence[Case], runs: Sequence[Any], found: Comparison, pool: Pool, told: Progress
) -> OutputChange:
    """The change along the path, or by difference where that closes better."""
    old, new = found.old, found.new
    assert old is not None and new is not None
    known = _known(found, cases)
    ways: list[tuple[Way, Causes]] = [("difference", by_difference(old, new))]
    if not any(run.sums.opaque for run in runs):
        bare = [run.case for run in runs]
        source, batch = runs[0].source, runs[0].batch
        sums = attributed_change(bare, source, new.metric, batch, pool, told)
        pairs = {bias: weight for case in cases for bias, weight in corrected(case).items()}
        ways.insert(0, ("path", along_path(sums, pairs)))
    best = ways[0]
    if abs(residual(best[1], old, new)) > OPEN:
        best = min(ways, key=lambda way: abs(residual(way[1], old, new)))
    return output_change(old, new, best[1], best[0], known)


def _known(found: Comparison, cases: Sequence[Case] = ()) -> Known:
    moved = frozenset(change.tensor for change in found.changed)
    return Known(moved, _rewritten(*cases) if len(cases) == 2 else frozenset())


def _rewritten(old: Case, new: Case) -> frozenset[str]:
    """Tensors whose quantized constants were chosen, and otherwise in the two."""
    names: Mapping[str, Any] = {**old.written, **new.written}
    return frozenset(
        n
        for n in names
        if n not in old.written
        or n not in new.written
        or not np.array_equal(old.written[n], new.written[n])
    )


def _doubted(found: Comparison, cases: Sequence[Case]) -> Comparison:
    """With a word where the two float networks do not compute the same."""
    if len(cases) < 2:
        return found
    first, last = (list(case.output_energy.values()) for case in cases)
    if len(first) == len(last) and np.allclose(first, last, rtol=_ALIKE):
        return found
    return replace(found, unsaid=[*found.unsaid, say("compared.other_network")])
