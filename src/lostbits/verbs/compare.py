"""The verb ``compare``: two plans, files or results -> what differs, and whose the change is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lostbits.case import Case
from lostbits.data import Preprocess
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
from lostbits.errors import TargetError
from lostbits.grid import Affine
from lostbits.language import Message, say
from lostbits.results.comparison import (
    Comparison,
    OutputChange,
    ParameterChange,
    SideFigures,
    Way,
)
from lostbits.results.gate import Gate, checks_of
from lostbits.runtime.metrics import check_metric
from lostbits.target import Target
from lostbits.verbs.arguments import checked
from lostbits.verbs.compared_sides import Given, Opener, Side, given, name_of, parameters, told
from lostbits.verbs.origin import origin_of, working
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress, silent
from lostbits.workers.work_folder import Work, nobody

_FINE = CLOSURE / 10  # of attributions from float, whose difference may be far less than either
_ALIKE = 0.01  # relative difference of the power of float outputs that are of one function


@checked
def compare(  # noqa: PLR0913 - options are keywords
    old: Side,
    new: Side,
    *,
    data: object = None,
    samples: int | None = None,
    model: Any = None,
    target: str | Path | Target | None = None,
    labels: object = None,
    metric: str = "nsr",
    gates: str | Sequence[str] = (),
    preprocess: str | Path | Preprocess | None = None,
    batch: int = 8,
    workers: int | Pool = 1,
    threads: int = 0,
    memory: int | str | None = None,
    ray: str | None = None,
    cache: Work | None = None,
    announce: Callable[[str], None] = nobody,
    progress: Progress = silent,
) -> Comparison:
    """What differs between two sides, and with data how much each tensor changes the output error.

    Args:
        old: A case, what a verb returned, the folder of a result or a recovery, a quantized model,
            a file of parameters of any known format, or a baseline.
        new: The same.
        data: Samples that both sides are measured on; without any, figures are those that results
            and baselines hold.
        samples: Use only the first of the data.
        model: The float network, for files that hold parameters alone; default, that of the other
            side.
        target: Whose rules; default, those of either side, or what fits a file best.
        labels: Class numbers of the data, for accuracy: a path or an array.
        metric: ``nsr`` or ``kl``: what is attributed.
        gates: What must be kept: ``sqnr_db>=-0.5`` bounds the new figure less the old one,
            ``new.agreement>=0.99`` the new figure, ``codes<=0.5`` how far ranges moved.
        preprocess: How images become values; for folders of images.
        batch: Samples a run while calibrating.
        workers: Processes on this machine, or a pool that is open.
        threads: Of each worker; 0 divides the cores among them.
        memory: Bytes that each process may take, or text such as ``4GiB``.
        ray: Address of a Ray cluster.
        cache: Where sums over the data are kept as they grow.
        announce: Told in a sentence what a bounded run will take.
        progress: Told after every batch.

    Raises:
        LostbitsError: With code, place, rule, what was found and what to do.
    """
    wanted = [Gate.parse(text) for text in ([gates] if isinstance(gates, str) else gates)]
    metric = check_metric(metric)
    sides = given(old), given(new)
    found = _parameters_compared(*sides)
    options = {"samples": samples, "preprocess": Preprocess.of(preprocess), "batch": batch}
    options |= {"threads": threads, "memory": memory, "ray": ray, "cache": cache}
    options |= {"announce": announce, "progress": progress, "workers": workers}
    if data is None:
        found = _told(found, sides)
    else:
        found = _measured(found, sides, Opener(data, model, target, options), labels, metric)
    return replace(found, checks=_checked(wanted, found, sides))


def _checked(gates: Sequence[Gate], found: Comparison, sides: Sequence[Given]) -> Any:
    """The gates; figures of other samples are no baseline."""
    old, new = found.old, found.new
    if old is not None and new is not None and old.data_sha256 != new.data_sha256:
        for gate in gates:
            if gate.measured and not gate.absolute:
                where = f"{old.samples} samples of the old side, {new.samples} of the new one"
                raise TargetError("T033", f"--gate {gate}", where)
    if any(not gate.measured for gate in gates) and None in map(parameters, sides):
        raise TargetError("T031.side", "--gate codes", "a baseline, which keeps no parameters")
    figures = [None if side is None else side.figures for side in (old, new)]
    return checks_of(gates, figures[0], figures[1], found.codes)


def _parameters_compared(*sides: Given) -> Comparison:
    """Which parameters differ."""
    before, after = map(parameters, sides)
    if before is None or after is None:
        none = say("compared.no_parameters")
        return Comparison(0, [], [], [], none, unsaid=[none])
    both = [name for name in before if name in after]
    changes = [_change(name, before[name], after[name]) for name in both]
    changed = sorted((c for c in changes if c is not None), key=lambda c: -c.codes)
    lost = [name for name in before if name not in after]
    added = [name for name in after if name not in before]
    counts = {"same": len(both) - len(changed), "changed": len(changed)}
    counts |= {"lost": len(lost), "added": len(added)}
    text = say("compared.text", **{name: str(count) for name, count in counts.items()})
    return Comparison(counts["same"], changed, lost, added, text)


def _change(tensor: str, old: Affine, new: Affine) -> ParameterChange | None:
    if old == new:
        return None
    grids = old.grid.name, new.grid.name
    lo, hi = (tuple(_ends(a, end) for a in (old, new)) for end in ("lo", "hi"))
    return ParameterChange(tensor, _codes(old, new), grids, (lo[0], lo[1]), (hi[0], hi[1]))


def _ends(affine: Affine, end: str) -> float:
    return float(affine.lo.min() if end == "lo" else affine.hi.max())


def _codes(old: Affine, new: Affine) -> float:
    """The farthest end, in steps of the finer grid."""
    sizes = {old.scale.size, new.scale.size} - {1}
    if len(sizes) > 1 or (sizes and old.axis != new.axis and None not in (old.axis, new.axis)):
        return float("inf")
    step = np.minimum(old.scale, new.scale).astype(np.float64)
    moved = np.maximum(np.abs(old.lo - new.lo), np.abs(old.hi - new.hi))
    return float((moved / step).max())


def _told(found: Comparison, sides: Sequence[Given]) -> Comparison:
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


def _measured(
    found: Comparison, sides: Sequence[Given], opener: Opener, labels: object, metric: Any
) -> Comparison:
    """With both sides measured on the data; of a baseline the figures stand as they are."""
    old, new = sides
    kept = [side if isinstance(side, SideFigures) else None for side in sides]
    cases = [None if k else opener.case(s, o) for k, s, o in zip(kept, sides, (new, old), strict=True)]
    live = [case for case in cases if case is not None]
    if not live:
        return _told(found, sides)
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
            return _by_figures(_doubted(found, live), *figures)  # type: ignore[arg-type]
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
