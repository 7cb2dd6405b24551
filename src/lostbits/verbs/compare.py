"""The verb ``compare``: two plans, files or results -> what differs, and whose the change is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lostbits.data import Preprocess
from lostbits.errors import TargetError
from lostbits.results.checks import Check
from lostbits.results.comparison import Comparison
from lostbits.results.gate import Gate, checks_of
from lostbits.runtime.metrics import check_metric
from lostbits.target import Target
from lostbits.verbs.arguments import checked
from lostbits.verbs.compared_figures import measured, told_alone
from lostbits.verbs.compared_parameters import parameters_compared
from lostbits.verbs.compared_sides import Given, Opener, Side, given, parameters
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress, silent
from lostbits.workers.work_folder import Work, nobody


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
    found = parameters_compared(*sides)
    options: dict[str, Any] = {
        "samples": samples,
        "preprocess": Preprocess.of(preprocess),
        "batch": batch,
    }
    options |= {"threads": threads, "memory": memory, "ray": ray, "cache": cache}
    options |= {"announce": announce, "progress": progress, "workers": workers}
    if data is None:
        found = told_alone(found, sides)
    else:
        found = measured(found, sides, Opener(data, model, target, options), labels, metric)
    return replace(found, checks=_checked(wanted, found, sides))


def _checked(gates: Sequence[Gate], found: Comparison, sides: Sequence[Given]) -> list[Check]:
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
