"""Statistics of activations, and the ranges that come of them."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

import lostbits
from benchmarks.diagnosis.closure import SAMPLES, TARGETS, inference
from benchmarks.prepared import CALIBRATION, EFFICIENTNET, MANY
from benchmarks.results import recorded
from benchmarks.table import Column
from lostbits.case import Seen
from lostbits.data import Source
from lostbits.diagnoses.settings import Settings
from lostbits.estimators import ALL as ESTIMATORS
from lostbits.graph.instrument import with_outputs
from lostbits.graph.place import place
from lostbits.graph.site import Site
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.float_reference import input_specs, open_reference
from lostbits.runtime.session import Session
from lostbits.statistics import Histogram
from lostbits.targets import target
from lostbits.workers.checkpoint import Folding
from lostbits.workers.pool import Resources
from lostbits.workers.pools import pool
from lostbits.workers.progress import silent

_STATISTICS = (
    Column("target"),
    Column("sites"),
    Column("ONNX Runtime float", "s", ".2f"),
    Column("statistics", "s", ".1f"),
    Column("ratio", "", ".1f"),
)


def statistics(save: bool) -> None:
    """Extremes and histograms, which every range method reads, against plain inference."""
    model, source = _opened(MANY)
    n = f"{len(source)} photographs, one pass, the better of two"
    with pool(Resources()) as here, recorded("statistics", _STATISTICS, n=n, save=save) as rows:
        for name in TARGETS:
            sites = _streamed(model, name)
            unit = inference(MANY, len(source))
            wall = float("inf")
            for _ in range(2):  # the unit is the best of six
                start = time.perf_counter()
                calibrate(model, sites, source, Settings().batch, Folding(here, silent))
                wall = min(wall, time.perf_counter() - start)
            unit = min(unit, inference(MANY, len(source)))
            rows.add(name, len(sites), unit, wall, wall / unit)


def ranges(save: bool) -> None:
    """Ranges from counts in bins that adapt, against those from bins that were fixed beforehand."""
    found = {name: _changes(name) for name in TARGETS}
    columns = [Column("method")]
    for name in TARGETS:
        columns += [Column(f"`{name}`: the same", "", ".0%"), Column("largest change", "", ".2g")]
    with recorded("ranges", columns, n=f"{SAMPLES} photographs, 8 bits", save=save) as rows:
        for method in ESTIMATORS:
            changes = [found[name][method.name] for name in TARGETS]
            cells = [(float(np.mean([c < 1e-5 for c in each])), max(each)) for each in changes]
            rows.add(method.name, *(cell for pair in cells for cell in pair))


def _changes(name: str) -> dict[str, list[float]]:
    """By method, how far the range of each site moves, as a part of it."""
    model, source = _opened(CALIBRATION)
    source = source.slice(0, SAMPLES)
    rule, sites = target(name).activations, _streamed(model, name)
    seen, _ = calibrate(model, sites, source, Settings().batch)
    fixed, found = _fixed(model, sites, source, seen), dict[str, list[float]]()
    for method in ESTIMATORS:
        pairs = [
            [method(h, rule.grid, symmetric=rule.symmetric) for h in (seen[s.key].whole, f)]
            for s, f in zip(sites, fixed, strict=True)
        ]
        moved = [np.abs(np.subtract(a, b)).max() / (b.hi - b.lo) for a, b in pairs]
        found[method.name] = [float(part) for part in moved]
    return found


def _opened(data: Path) -> tuple[ir.Model, Source]:
    model = open_reference(EFFICIENTNET).model
    return model, lostbits.data.open_source(str(data), input_specs(model))


def _streamed(model: ir.Model, name: str) -> list[Site]:
    return [s for s in place(model, target(name)).sites if s.streams]


def _fixed(
    model: ir.Model, sites: Sequence[Site], source: Source, seen: dict[str, Seen]
) -> list[Histogram]:
    known = [seen[s.key].whole for s in sites]
    counted = [Histogram(h.lo, h.hi, h.bins) for h in known]
    session = Session(with_outputs(model, [s.tensor for s in sites]))
    for part in source.batches(Settings().batch):
        values = {**part.feeds, **session.run(part.feeds)}
        for site, histogram in zip(sites, counted, strict=True):
            histogram.update(values[site.tensor])
    return counted
