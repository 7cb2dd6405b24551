"""lostbits on one network: a diagnosis, the plan as it comes, and what a recovery makes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import lostbits as lb
from benchmarks.zoo.networks import Network, load
from lostbits.results.diagnosis import Diagnosis
from lostbits.runtime.session import Session

_DIAGNOSED = 16


@dataclass(frozen=True)
class Diagnosed:
    """A diagnosis, and its price.

    Attributes:
        report: The result.
        seconds: Of loading, calibrating and diagnosing.
        floats: Seconds of the float network on the same samples.
    """

    report: Diagnosis
    seconds: float
    floats: float

    @property
    def coverage(self) -> str:
        """Sites with figures, of all; their share of rows with a gradient; what is left open."""
        known, network = self.report.coverage, self.report.network
        gradients = 100 if network.method == "aumann-shapley" else 0
        return f"{known.sites_matched}/{known.sites_total}, {gradients} %, {network.residual:+.1%}"


def diagnosed(network: Network, folder: Path, target: str) -> Diagnosed:
    """Diagnose as users do, and time the float network beside it."""
    start = time.perf_counter()
    path, data = network.path(folder), network.samples(folder)
    found = lb.diagnose(lb.load(path, data=data, target=target, samples=_DIAGNOSED))
    seconds = time.perf_counter() - start
    return Diagnosed(found, seconds, float_seconds(network, folder, _DIAGNOSED))


def float_seconds(network: Network, folder: Path, most: int) -> float:
    """Of the float network over the samples to work on, the second time."""
    session = Session(lb.load(network.path(folder), data=network.samples(folder)).model)
    feeds = network.feeds(load(network.samples(folder)))[:most]
    for _ in range(2):
        start = time.perf_counter()
        for feed in feeds:
            session.run(feed)
    return time.perf_counter() - start


@dataclass(frozen=True)
class Recovered:
    """A recovery.

    Attributes:
        planned: The file before.
        file: The file after.
        methods: That were kept.
        seconds: With loading.
        stopped: Why it ended.
    """

    planned: Path
    file: Path
    methods: str
    seconds: float
    stopped: str


def recovered(network: Network, folder: Path, target: str, budget: str, out: Path) -> Recovered:
    """Recover as users do; the plan as it came lies beside the result."""
    start = time.perf_counter()
    path, data = network.path(folder), network.samples(folder)
    case = lb.load(path, data=data, target=target, hold_out=True)
    planned = lb.export(case, [f"qdq-{target}"], out / "planned")[0].files[0].path
    found = lb.recover(case, budget=budget, out=out).report
    assert found.recovered is not None
    kept = ", ".join(dict.fromkeys(a.method for a in found.ledger if a.kept)) or "nothing"
    seconds = time.perf_counter() - start
    return Recovered(planned, out / "quantized.onnx", kept, seconds, str(found.recovered.stopped))
