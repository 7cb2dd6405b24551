"""Calibration: one streamed pass over the data, whatever its size.

Extremes and counts of every activation come from the same run, because the bins adapt to what is
seen. They are exact under any split of the data, and nothing else is kept, so memory does not
depend on the number of samples. Stretches of the data go to the workers; the energies of the
outputs, float sums, are added up batch by batch in order.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial, reduce
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Seen
from lostbits.data import Batch, Source
from lostbits.errors import DataError, SimulationError
from lostbits.graph.compared_outputs import compared_outputs
from lostbits.graph.instrument import with_outputs
from lostbits.graph.outputs import Compared
from lostbits.graph.queries import channels, values_by_name
from lostbits.graph.saturation import Saturations
from lostbits.graph.site import Site
from lostbits.runtime.counting import counting, zeroed
from lostbits.runtime.runaway import first_runaway
from lostbits.runtime.saturating import held
from lostbits.runtime.session import Session
from lostbits.statistic import RunningSum
from lostbits.statistics import Tally
from lostbits.statistics.activation_counts import Kept
from lostbits.system.threads import pool_threads
from lostbits.workers.checkpoint import Folding
from lostbits.workers.handover import by_threads
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import silent

_SMALLEST = 3e-36  # its scale at 8 bits is the least normal float32
_LARGEST = 1e18  # its square nears the largest float32

# Samples that are counted between two hand-overs, and how many of these at least, if there are so
# many samples. The counts of a network are some 60 MB: to send and add them after every batch would
# take a good part of the time that counting takes.
_CHUNK, _CHUNKS = (32, 256), 8

Arrays = Mapping[str, NDArray[Any]]
_NOWHERE: Saturations = MappingProxyType({})


def calibrate(
    model: ir.Model,
    sites: Sequence[Site],
    source: Source,
    batch: int,
    folding: Folding | None = None,
    compared: Sequence[Compared] | None = None,
    saturations: Saturations = _NOWHERE,
) -> tuple[dict[str, Seen], dict[str, float]]:
    """Statistics of every activation site, and the energy of everything that is compared.

    Args:
        model: The float reference.
        sites: Those of role weight or bias are passed over.
        source: Read once.
        batch: Samples a run; changes nothing in the result beyond the runtime's own rounding.
        folding: Who works, who is told, and where unfinished sums are kept; None is this process,
            nobody and nowhere.
        compared: Outputs, or what they are chosen from; None: what the graph shows.
        saturations: Ends that values are held within before they are looked at.

    Raises:
        SimulationError: S003 when an activation is not finite, with tensor and samples; S007 when
            its range is denormal or its squares overflow.
    """
    streamed = tuple(s for s in sites if s.streams)
    compared = compared_outputs(model.graph) if compared is None else compared
    folding = folding or Folding(InProcess(), silent)
    counted = Counted.empty(streamed)
    counts = _Counts(model, streamed, source, batch, compared, saturations)
    chunk = int(np.clip(len(source) // _CHUNKS, *_CHUNK))
    check = partial(_check, model, streamed, len(compared))
    folding.run("statistics", counts, source.chunks(batch, chunk), counted, check)
    total = _total(counted.energies, [each.name for each in compared], source)
    for site in streamed:
        _check_magnitude(site, counted.tallies[site.key], source)
    return _seen(streamed, counted.tallies), total


def _check_magnitude(site: Site, own: Tally, source: Source) -> None:
    """A constant zero is fine; a scale that float32 cannot hold, or squares that overflow, not."""
    largest = float(max(own.hi.max(), -own.lo.min()))
    if largest < 0:  # nothing was seen
        raise _no_values(source, f"tensor {site.tensor!r} is empty")
    if largest > 0 and not _SMALLEST < largest < _LARGEST:
        raise SimulationError(
            "S007",
            f"tensor {site.tensor!r}",
            f"largest magnitude {largest:.1e}",
            smallest=_SMALLEST,
            largest=_LARGEST,
        )


def _seen(sites: Sequence[Site], tallies: Mapping[str, Tally]) -> dict[str, Seen]:
    """Histograms of a fixed range: that of the group for the tensor, its own for a channel."""
    groups: dict[str, tuple[float, float]] = {}
    for site in sites:
        own = tallies[site.key]
        lo, hi = groups.get(site.group, (np.inf, -np.inf))
        groups[site.group] = (min(lo, own.lo.min()), max(hi, own.hi.max()))
    return {s.key: Seen.of_all(tallies[s.key], groups[s.group]) for s in sites}


class _Kept(NamedTuple):
    """What a file holds of ``Counted``."""

    tallies: dict[str, Kept]
    energies: list[NDArray[np.float64]]


@final
@dataclass
class Counted(RunningSum[_Kept]):
    """What was seen of every site, by its key, and energy and size of the outputs by batch."""

    tallies: dict[str, Tally]
    energies: list[NDArray[np.float64]]
    form: ClassVar[type[_Kept]] = _Kept

    @classmethod
    def empty(cls, sites: Sequence[Site]) -> "Counted":
        """Nothing yet."""
        return cls({s.key: Tally(s.axis) for s in sites}, [])

    def merge(self, other: Self) -> Self:
        """Add what was counted elsewhere."""
        for key, tally in other.tallies.items():
            self.tallies[key].merge(tally)
        self.energies.extend(other.energies)
        return self

    def state(self) -> _Kept:
        """Tallies in few bytes."""
        return _Kept({key: t.state() for key, t in self.tallies.items()}, self.energies)

    def restore(self, state: _Kept) -> Self:
        """Those of the same sites."""
        if state.tallies.keys() != self.tallies.keys():
            raise ValueError("counts of other sites")
        kept = state.tallies.items()
        tallies = {key: Tally(self.tallies[key].axis).restore(one) for key, one in kept}
        self.tallies, self.energies = tallies, list(state.energies)
        return self


def _check(model: ir.Model, sites: Sequence[Site], outputs: int, state: _Kept) -> None:
    """Whether these can be counts of a model.

    Raises:
        ValueError: For other sites, channels or outputs.
    """
    known = values_by_name(model.graph)
    for site in sites:
        found, wanted = state.tallies[site.key].zeros.size, channels(known[site.tensor], site.axis)
        if wanted not in (None, found):
            raise ValueError(f"{found} channels of {site.key}, which has {wanted}")
    if any(energy.shape != (outputs, 2) for energy in state.energies):
        raise ValueError(f"energies of other outputs than {outputs}")


@final
@dataclass(frozen=True)
class _Counts:
    """The pass; one task per tensor, so that counting uses every thread."""

    model: ir.Model
    sites: Sequence[Site]
    source: Source
    batch: int
    compared: Sequence[Compared]
    saturations: Saturations = field(default_factory=dict)

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.model)

    def open(self) -> Callable[[range], Counted]:
        outputs = [each.name for each in self.compared]
        tensors = [*(s.tensor for s in self.sites), *outputs]
        session, cursor = Session(with_outputs(self.model, tensors)), self.source.cursor()

        def look(part: Batch, counted: Counted, threads: Executor) -> None:
            # What a batch takes is free again when the next one runs.
            values = trimmed({**part.feeds, **session.run(part.feeds)}, part)
            self._count(threads, counted.tallies, values, part)
            arrays = [values[name] for name in outputs]
            counts = counting(self.compared, part, [a.shape for a in arrays])
            energies = [_energy(zeroed(a, c)) for a, c in zip(arrays, counts, strict=True)]
            counted.energies.append(np.array(energies))

        def work(chunk: range) -> Counted:
            counted = Counted.empty(self.sites)
            with ThreadPoolExecutor(pool_threads()) as threads:
                for part in cursor.batches(chunk, self.batch):
                    look(part, counted, threads)
            return counted

        return work

    def _count(
        self, threads: Executor, tallies: Mapping[str, Tally], values: Arrays, part: Batch
    ) -> None:
        # The largest first, so that no core is left with one of them at the end.
        ordered = sorted(self.sites, key=lambda s: -values[s.tensor].size)
        ends = self.saturations.get
        list(
            threads.map(
                lambda s: tallies[s.key].update(held(values[s.tensor], ends(s.tensor))), ordered
            )
        )
        if not all(tallies[site.key].finite for site in self.sites):
            raise self._not_finite(tallies, part)

    def _not_finite(self, tallies: Mapping[str, Tally], part: Batch) -> SimulationError:
        """S003, at the first layer that runs away, which need not be a site."""
        site = next(s.tensor for s in self.sites if not tallies[s.key].finite)
        tensor = first_runaway(self.model, part.feeds) or site
        return SimulationError("S003", f"tensor {tensor!r}", f"NaN or infinity {part.span}")


def _total(
    energies: Sequence[NDArray[np.float64]], names: Sequence[str], source: Source
) -> dict[str, float]:
    """Energy of each output over all batches, added one after the other."""
    totals = reduce(np.add, energies, np.zeros((len(names), 2)))
    if not names or (totals[:, 1] == 0).any():
        raise _no_values(source, "empty outputs")
    return {name: float(energy) for name, energy in zip(names, totals[:, 0], strict=True)}


def _no_values(source: Source, found: str) -> DataError:
    return DataError("D031", source.description, found)


def _energy(output: NDArray[Any]) -> NDArray[np.float64]:
    flat = output.astype(np.float64).ravel()
    return np.array([flat @ flat, flat.size])


def trimmed(values: Arrays, part: Batch) -> dict[str, NDArray[Any]]:
    """Values without the repeated samples that filled up a static batch."""
    return {name: part.real(v) for name, v in values.items()}
