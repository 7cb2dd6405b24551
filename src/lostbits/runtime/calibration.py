"""Calibration: two streamed passes over the data, whatever its size.

The first measures the extremes of every activation inside the graph. They fix the range of the
histograms that the second counts. Both statistics are exact under any split of the data, and
nothing else is kept, so memory does not depend on the number of samples.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Seen
from lostbits.data import Batch, Source
from lostbits.errors import DataError, SimulationError
from lostbits.graph.instrument import with_extremes, with_outputs
from lostbits.graph.queries import is_float, name_of
from lostbits.graph.site import Site
from lostbits.runtime.progress import Progress, silent, tracked
from lostbits.runtime.session import Session
from lostbits.statistics import Extrema

_SMALLEST = 3e-36  # its scale at 8 bits is the least normal float32
_LARGEST = 1e18  # its square nears the largest float32

Arrays = Mapping[str, NDArray[Any]]


def calibrate(
    model: ir.Model,
    sites: Sequence[Site],
    source: Source,
    batch: int,
    progress: Progress = silent,
) -> tuple[dict[str, Seen], dict[str, float]]:
    """Statistics of every activation site, and the energy of every float output.

    Args:
        model: The float reference.
        sites: Those of role weight or bias are passed over.
        source: Read twice.
        batch: Samples a run; changes nothing in the result beyond the runtime's own rounding.
        progress: Told after each batch.

    Raises:
        SimulationError: S003 when an activation is not finite, with tensor and samples; S007 when
            its range is denormal or its squares overflow.
    """
    streamed = [s for s in sites if s.streams]
    own = _extremes(model, streamed, source, batch, progress)
    for site in streamed:
        _check_magnitude(site, own[site.key])
    seen = {s.key: Seen.empty(own[s.key], _of_group(s, streamed, own)) for s in streamed}
    energy = _count(model, streamed, seen, source, batch, progress)
    return seen, energy


def _check_magnitude(site: Site, own: Extrema) -> None:
    """A constant zero is fine; a scale that float32 cannot hold, or squares that overflow, not."""
    largest = float(max(own.hi.max(), -own.lo.min()))
    if largest > 0 and not _SMALLEST < largest < _LARGEST:
        raise SimulationError(
            "S007",
            f"tensor {site.tensor!r}",
            f"the range must lie between {_SMALLEST:.0e} and {_LARGEST:.0e}, or be zero",
            f"largest magnitude {largest:.1e}",
            "scale the input, or look for a layer that runs away; float32 ends there",
        )


def _of_group(site: Site, sites: Sequence[Site], own: Mapping[str, Extrema]) -> Extrema:
    mates = [own[s.key] for s in sites if s.group == site.group]
    ends = [Extrema().include(e.lo.min(), e.hi.max()) for e in mates]
    return reduce(lambda a, b: a.merge(b), ends)


def _extremes(
    model: ir.Model, sites: Sequence[Site], source: Source, batch: int, progress: Progress
) -> dict[str, Extrema]:
    session = Session(with_extremes(model, sites))
    own = {s.key: Extrema(s.axis) for s in sites}
    for part in tracked(source.batches(batch), "extremes", len(source), progress):
        values = session.run(part.feeds)
        for site in sites:
            lo, hi = values[f"{site.tensor}__min"], values[f"{site.tensor}__max"]
            _check_finite(site, lo, part)
            _check_finite(site, hi, part)
            own[site.key].include(lo, hi)
    return own


def _check_finite(site: Site, values: NDArray[Any], part: Batch) -> None:
    if not np.isfinite(values).all():
        raise SimulationError(
            "S003",
            f"tensor {site.tensor!r}",
            "activations of the float network must be finite",
            f"NaN or infinity within samples {part.first} to {part.first + part.size - 1}",
            "check the preprocessing; run the float model on these samples",
        )


def _count(
    model: ir.Model,
    sites: Sequence[Site],
    seen: Mapping[str, Seen],
    source: Source,
    batch: int,
    progress: Progress,
) -> dict[str, float]:
    """Second pass; one task per tensor, so that counting uses every core."""
    outputs = [name_of(v) for v in model.graph.outputs if is_float(v)]
    session = Session(with_outputs(model, [*(s.tensor for s in sites), *outputs]))
    totals = {name: np.zeros(2) for name in outputs}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in tracked(source.batches(batch), "histograms", len(source), progress):
            values = trimmed({**part.feeds, **session.run(part.feeds)}, part)
            # The largest first, so that no core is left with one of them at the end.
            ordered = sorted(sites, key=lambda s: -values[s.tensor].size)
            tasks: list[Callable[[], None]] = [
                _counting(s, seen[s.key], values, part) for s in ordered
            ]
            for done in [pool.submit(task) for task in tasks]:
                done.result()
            for name in outputs:
                totals[name] += _energy(values[name])
    if not totals or any(total[1] == 0 for total in totals.values()):
        raise DataError(
            "D031",
            source.description,
            "the network must produce values",
            "empty outputs",
            "give samples of a size that the network answers",
        )
    return {name: float(energy) for name, (energy, _) in totals.items()}


def _counting(site: Site, seen: Seen, values: Arrays, part: Batch) -> Callable[[], None]:
    def count() -> None:
        x = values[site.tensor]
        if not np.isfinite(x.sum()):  # which may also overflow
            _check_finite(site, x, part)
        seen.update(x)

    return count


def _energy(output: NDArray[Any]) -> NDArray[np.float64]:
    flat = output.astype(np.float64).ravel()
    return np.array([flat @ flat, flat.size])


def trimmed(values: Arrays, part: Batch) -> dict[str, NDArray[Any]]:
    """Values without the repeated samples that filled up a static batch."""
    return {name: part.real(v) for name, v in values.items()}
