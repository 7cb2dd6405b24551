"""Calibration: two streamed passes over the data, whatever its size.

The first measures the extremes of every activation inside the graph. They fix the range of the
histograms that the second counts. Both statistics are exact under any split of the data, and
nothing else is kept, so memory does not depend on the number of samples. Stretches of the data go
to whoever works; the energies of the outputs, float sums, are added up batch by batch in order.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Seen
from lostbits.data import Batch, Source
from lostbits.errors import DataError, SimulationError
from lostbits.graph.instrument import with_extremes, with_outputs
from lostbits.graph.queries import is_float, name_of
from lostbits.graph.site import Site
from lostbits.runtime.pool import Pool
from lostbits.runtime.pools import InProcess
from lostbits.runtime.progress import Progress, gathered, silent
from lostbits.runtime.session import Session
from lostbits.runtime.threads import pool_threads
from lostbits.statistics import Extrema

_SMALLEST = 3e-36  # its scale at 8 bits is the least normal float32
_LARGEST = 1e18  # its square nears the largest float32

# Samples that are counted between two hand-overs. The counts of a network are some 20 MB: to send
# and add them after every batch would take a good part of the time that counting takes.
_STRETCH = 32

Arrays = Mapping[str, NDArray[Any]]
Ranges = Mapping[str, tuple[Extrema, Extrema]]  # of a site by itself, and of its group


def calibrate(
    model: ir.Model,
    sites: Sequence[Site],
    source: Source,
    batch: int,
    progress: Progress = silent,
    pool: Pool | None = None,
) -> tuple[dict[str, Seen], dict[str, float]]:
    """Statistics of every activation site, and the energy of every float output.

    Args:
        model: The float reference.
        sites: Those of role weight or bias are passed over.
        source: Read twice.
        batch: Samples a run; changes nothing in the result beyond the runtime's own rounding.
        progress: Told after each stretch of the data.
        pool: Who works; None is this process.

    Raises:
        SimulationError: S003 when an activation is not finite, with tensor and samples; S007 when
            its range is denormal or its squares overflow.
    """
    streamed, pool = tuple(s for s in sites if s.streams), pool or InProcess()
    stretches = source.stretches(batch, _STRETCH)
    own = {s.key: Extrema(s.axis) for s in streamed}
    found = pool.map(_Extremes(model, streamed, source, batch), stretches)
    for extremes in gathered(found, stretches, "extremes", progress):
        _merge(own, extremes)
    for site in streamed:
        _check_magnitude(site, own[site.key])
    ranges = {s.key: (own[s.key], _of_group(s, streamed, own)) for s in streamed}
    seen = _empty(ranges)
    energies: list[NDArray[np.float64]] = []
    counts = pool.map(_Counts(model, streamed, source, batch, ranges), stretches)
    for counted in gathered(counts, stretches, "histograms", progress):
        _merge(seen, counted.seen)
        energies += counted.energies
    return seen, _total(energies, model, source)


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


def _empty(ranges: Ranges) -> dict[str, Seen]:
    return {key: Seen.empty(own, group) for key, (own, group) in ranges.items()}


def _merge(known: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    for key, statistic in more.items():
        known[key].merge(statistic)


@final
@dataclass(frozen=True)
class _Extremes:
    """The first pass: minimum and maximum per channel, found inside the graph."""

    model: ir.Model
    sites: Sequence[Site]
    source: Source
    batch: int

    def open(self) -> Callable[[range], dict[str, Extrema]]:
        session, cursor = Session(with_extremes(self.model, self.sites)), self.source.cursor()

        def work(stretch: range) -> dict[str, Extrema]:
            own = {s.key: Extrema(s.axis) for s in self.sites}
            for part in cursor.batches(stretch, self.batch):
                values = session.run(part.feeds)
                for site in self.sites:
                    lo, hi = values[f"{site.tensor}__min"], values[f"{site.tensor}__max"]
                    _check_finite(site, lo, part)
                    _check_finite(site, hi, part)
                    own[site.key].include(lo, hi)
            return own

        return work


def _check_finite(site: Site, values: NDArray[Any], part: Batch) -> None:
    if not np.isfinite(values).all():
        raise SimulationError(
            "S003",
            f"tensor {site.tensor!r}",
            "activations of the float network must be finite",
            f"NaN or infinity within samples {part.first} to {part.first + part.size - 1}",
            "check the preprocessing; run the float model on these samples",
        )


class _Counted(NamedTuple):
    """Counts of a stretch, and for each of its batches the energy and size of every output."""

    seen: dict[str, Seen]
    energies: list[NDArray[np.float64]]


@final
@dataclass(frozen=True)
class _Counts:
    """The second pass; one task per tensor, so that counting uses every thread."""

    model: ir.Model
    sites: Sequence[Site]
    source: Source
    batch: int
    ranges: Ranges

    def open(self) -> Callable[[range], _Counted]:
        outputs = _float_outputs(self.model)
        tensors = [*(s.tensor for s in self.sites), *outputs]
        session, cursor = Session(with_outputs(self.model, tensors)), self.source.cursor()

        def work(stretch: range) -> _Counted:
            seen, energies = _empty(self.ranges), []
            with ThreadPoolExecutor(pool_threads()) as threads:
                for part in cursor.batches(stretch, self.batch):
                    values = trimmed({**part.feeds, **session.run(part.feeds)}, part)
                    self._count(threads, seen, values, part)
                    energies.append(np.array([_energy(values[name]) for name in outputs]))
            return _Counted(seen, energies)

        return work

    def _count(
        self, threads: Executor, seen: Mapping[str, Seen], values: Arrays, part: Batch
    ) -> None:
        # The largest first, so that no core is left with one of them at the end.
        ordered = sorted(self.sites, key=lambda s: -values[s.tensor].size)
        tasks = [threads.submit(_counting(s, seen[s.key], values, part)) for s in ordered]
        for task in tasks:
            task.result()


def _float_outputs(model: ir.Model) -> list[str]:
    return [name_of(v) for v in model.graph.outputs if is_float(v)]


def _total(
    energies: Sequence[NDArray[np.float64]], model: ir.Model, source: Source
) -> dict[str, float]:
    """Energy of each output over all batches, added one after the other."""
    names = _float_outputs(model)
    totals = reduce(np.add, energies, np.zeros((len(names), 2)))
    if not names or (totals[:, 1] == 0).any():
        raise DataError(
            "D031",
            source.description,
            "the network must produce values",
            "empty outputs",
            "give samples of a size that the network answers",
        )
    return {name: float(energy) for name, energy in zip(names, totals[:, 0], strict=True)}


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
