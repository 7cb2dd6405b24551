"""Calibration: two streamed passes over the data, whatever its size.

The first measures the extremes of every activation inside the graph. They fix the range of the
histograms that the second counts. Both statistics are exact under any split of the data, and
nothing else is kept, so memory does not depend on the number of samples. Stretches of the data go
to whoever works; the energies of the outputs, float sums, are added up batch by batch in order.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import Any, Self, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Seen
from lostbits.data import Batch, Source
from lostbits.errors import DataError, SimulationError
from lostbits.graph.instrument import with_extremes, with_outputs
from lostbits.graph.queries import is_float, name_of
from lostbits.graph.site import Site
from lostbits.runtime.checkpoint import Folding
from lostbits.runtime.pools import InProcess
from lostbits.runtime.progress import silent
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
    folding: Folding | None = None,
) -> tuple[dict[str, Seen], dict[str, float]]:
    """Statistics of every activation site, and the energy of every float output.

    Args:
        model: The float reference.
        sites: Those of role weight or bias are passed over.
        source: Read twice.
        batch: Samples a run; changes nothing in the result beyond the runtime's own rounding.
        folding: Who works, who is told, and where unfinished sums are kept; None is this process,
            nobody and nowhere.

    Raises:
        SimulationError: S003 when an activation is not finite, with tensor and samples; S007 when
            its range is denormal or its squares overflow.
    """
    streamed = tuple(s for s in sites if s.streams)
    folding = folding or Folding(InProcess(), silent)
    stretches = source.stretches(batch, _STRETCH)
    extremes = _Extremes(model, streamed, source, batch)
    found = _Found({s.key: Extrema(s.axis) for s in streamed})
    folding.run("extremes", extremes, stretches, found)
    own = found.own
    for site in streamed:
        _check_magnitude(site, own[site.key])
    ranges = {s.key: (own[s.key], _of_group(s, streamed, own)) for s in streamed}
    counted = _Counted(_empty(ranges), [])
    counts = _Counts(model, streamed, source, batch, ranges)
    folding.run("histograms", counts, stretches, counted)
    return counted.seen, _total(counted.energies, model, source)


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


@dataclass(frozen=True)
class _Sums(ABC):
    """Of the same form as what is added to them."""

    @abstractmethod
    def merge(self, more: Self) -> None:
        """Add what was summed elsewhere."""

    def whole(self) -> Self:
        return self

    def restore(self, whole: Self) -> None:
        self.merge(whole)  # they are empty when a pass begins


@final
@dataclass(frozen=True)
class _Found(_Sums):
    """Extremes of a stretch, by site."""

    own: dict[str, Extrema]

    def merge(self, more: "_Found") -> None:
        _merge(self.own, more.own)


@final
@dataclass(frozen=True)
class _Extremes:
    """The first pass: minimum and maximum per channel, found inside the graph."""

    model: ir.Model
    sites: Sequence[Site]
    source: Source
    batch: int

    def open(self) -> Callable[[range], _Found]:
        session, cursor = Session(with_extremes(self.model, self.sites)), self.source.cursor()

        def work(stretch: range) -> _Found:
            own = {s.key: Extrema(s.axis) for s in self.sites}
            for part in cursor.batches(stretch, self.batch):
                values = session.run(part.feeds)
                for site in self.sites:
                    lo, hi = values[f"{site.tensor}__min"], values[f"{site.tensor}__max"]
                    _check_finite(site, lo, part)
                    _check_finite(site, hi, part)
                    own[site.key].include(lo, hi)
            return _Found(own)

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


@final
@dataclass(frozen=True)
class _Counted(_Sums):
    """Counts of a stretch, and for each of its batches the energy and size of every output."""

    seen: dict[str, Seen]
    energies: list[NDArray[np.float64]]

    def merge(self, more: "_Counted") -> None:
        _merge(self.seen, more.seen)
        self.energies.extend(more.energies)


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
