"""Two workers against one on EfficientNet-Lite0, and whether they find the same."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from benchmarks.cases import planned
from benchmarks.prepared import EFFICIENTNET, MANY
from benchmarks.results import recorded
from benchmarks.table import Column
from lostbits.case import Case
from lostbits.data import Source, open_source
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.settings import Settings
from lostbits.graph.place import place
from lostbits.language import verbatim
from lostbits.recoveries.second_order import SecondOrder
from lostbits.recovery import Context, Diagnosed, Effort
from lostbits.results.diagnosis import NetworkReport
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.float_reference import input_specs, open_reference
from lostbits.system.threads import limited
from lostbits.targets import target
from lostbits.workers.checkpoint import Folding
from lostbits.workers.pool import Pool
from lostbits.workers.pools import Processes
from lostbits.workers.progress import silent

TARGET = "snpe"
REPEATS = 3
_WARMING = 32  # samples of the run that starts the workers and lets them import
_COLUMNS = (
    Column("stage"),
    Column("photographs"),
    Column("1 worker", "s", ".2f"),
    Column("2 workers", "s", ".2f"),
    Column("ratio", "", ".2f"),
    Column("the same to the last bit"),
)


def workers(samples: int, chosen: Sequence[str], repeats: int, save: bool) -> None:
    """Every worker has one thread, so that two of them are two cores."""
    source = open_source(MANY, input_specs(open_reference(EFFICIENTNET).model)).slice(0, samples)
    stages: dict[str, Callable[[Source, Pool], Any]] = {
        "calibration": _calibrated,
        "diagnosis": _diagnosed,
        "reconstruction": _reconstructed,
    }
    n = f"the fastest of {repeats} runs"
    with recorded("workers", _COLUMNS, n=n, save=save) as rows:
        for name in (name for name in stages if name in chosen):
            found = [_fastest(stages[name], source, count, repeats) for count in (1, 2)]
            (one, first), (two, second) = found
            same = "yes" if first == second else "no"
            rows.add(name, samples, one, two, one / two, same)


def _fastest(
    stage: Callable[[Source, Pool], Any], source: Source, count: int, repeats: int
) -> tuple[float, str]:
    """Seconds of the fastest run with so many workers, which were there before, and its result."""
    with limited(1), Processes(count, 1) as several:
        stage(source.slice(0, _WARMING), several)
        best = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            found = stage(source, several)
            best = min(best, time.perf_counter() - start)
    return best, found


def _calibrated(source: Source, several: Pool) -> str:
    model = open_reference(EFFICIENTNET).model
    seen, energy = calibrate(
        model, place(model, target(TARGET)).sites, source, 8, Folding(several, silent)
    )
    sums = {key: [int(s.whole.counts.sum()), s.whole.lo.tolist()] for key, s in seen.items()}
    edges = {key: np.flatnonzero(s.whole.counts).tolist() for key, s in seen.items()}
    return json.dumps([sums, edges, energy])


def _diagnosed(source: Source, several: Pool) -> str:
    used, case = planned(EFFICIENTNET, MANY, TARGET, samples=len(source), workers=several)
    run = Run(case, used, Settings(), None)
    run.diagnose(silent, several)
    return repr((run.network(), run.sites(), run.layers()))


@cache
def _case() -> Case:
    """The network planned from a few photographs: the same for everyone who rounds it."""
    return planned(EFFICIENTNET, MANY, TARGET, samples=_WARMING)[1]


def _reconstructed(source: Source, several: Pool) -> str:
    network = NetworkReport("aumann-shapley", "nsr", 1.0, 0.0, 0.0, [], {}, verbatim(""))
    context = Context(source, Diagnosed(network, ()), Effort(pool=several))
    change = SecondOrder().change(_case(), context)
    digest = hashlib.sha256()
    for name, values in sorted(change.written.items()):
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest() + repr(sorted(change.plan.items())) + str(change.summary)
