"""What a bounded run will take: an estimate before it, and what was measured after it.

A worker holds its buffers, the statistics of all sites, the largest layer and the tensors of one
batch. Only the last can be chosen, so the batch is what a bound decides.
"""

import math
from dataclasses import dataclass, replace
from typing import final

import onnx_ir as ir

from lostbits.case import Seen
from lostbits.data import Source
from lostbits.diagnoses.driver import COPIES, fitting
from lostbits.diagnoses.settings import ROOM, Settings
from lostbits.errors import WorkerError
from lostbits.graph.instrument import with_outputs
from lostbits.graph.large import large_constants
from lostbits.graph.place import Placed
from lostbits.graph.site import Site
from lostbits.language import Message, say
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.facts import MemoryUse
from lostbits.runtime.session import Session
from lostbits.statistics import Tally

_FIXED = 512 << 20  # Python and the libraries 300 MiB; the rest for threads, graphs and the result
_STATISTICS = 3  # sets of them: the sums, what a worker hands over, and that in a checkpoint
_LAYER = 12  # of float32: a layer's weight, its errors, and a few more in double precision
_CONSTANTS = 8  # of each constant that stays in memory: sessions, executors, errors, codes
_CALIBRATED = (
    4  # copies of an activation while it is calibrated, gaps in the runtime's arena included
)
_MIB = 2**20


@final
@dataclass(frozen=True)
class Footprint:
    """Bytes that each process of a run takes.

    Attributes:
        fixed: Buffers, statistics and small constants: whatever the batch.
        layer: All that is made of the largest constant at a time.
        sample: All copies of the activations of one sample.
    """

    fixed: int
    layer: int
    sample: int

    @classmethod
    def of(cls, model: ir.Model, placed: Placed, source: Source) -> "Footprint":
        """Sizes of activations are those of the first sample."""
        streamed = [s for s in placed.sites if s.streams]
        sizes = _sizes(model, streamed, source)
        large, graph = large_constants(model.graph), model.graph
        constants = {n: v.const_value for n, v in graph.initializers.items() if v.const_value}
        layer = max((constants[n].nbytes for n in large), default=0)
        small = sum(tensor.nbytes for n, tensor in constants.items() if n not in large)
        fixed = _FIXED + _STATISTICS * _statistics(model, placed) + _CONSTANTS * small
        return cls(fixed, _LAYER * layer, COPIES * sizes)

    def total(self, samples: int) -> int:
        """With batches of so many samples."""
        return self.fixed + self.layer + samples * self.sample

    def fit(self, settings: Settings) -> Settings:
        """The settings with batches that the bound has room for.

        Raises:
            WorkerError: W009 when it has none for a single sample.
        """
        bound, least = settings.resources.memory, self.total(1)
        if bound is None:
            return settings
        if bound < least:
            raise _too_small(bound, least)
        room = min(ROOM, bound - self.fixed - self.layer)
        runs = COPIES * room // (_CALIBRATED * max(self.sample, 1))
        batch = min(settings.batch, max(runs, 1))
        return replace(settings, room=room, batch=batch)

    def samples(self, settings: Settings) -> int:
        """Of a batch while it is attributed."""
        return fitting(settings.room, self.sample)

    def said(self, settings: Settings) -> Message:
        """The estimate in words."""
        samples = self.samples(settings)
        return say(
            "memory.estimate",
            total=_mib(self.total(samples)),
            bound=_mib(settings.resources.memory or 0),
            fixed=_mib(self.fixed),
            layer=_mib(self.layer),
            batch=_mib(samples * self.sample),
            samples=str(samples),
        )

    def reported(self, found: Diagnosis, settings: Settings, peaks: tuple[int, int]) -> Diagnosis:
        """The diagnosis with estimate and measurement; ``peaks`` of this process and of workers."""
        bound, samples = settings.resources.memory, self.samples(settings)
        if bound is None:
            return found
        peak = max(peaks)
        code = "memory.exceeded" if peak > bound else "memory.measured"
        text = say(code, estimate=self.said(settings), peak=_mib(peak))
        memory = MemoryUse(
            bound_bytes=bound,
            estimate_bytes=self.total(samples),
            peak_bytes=peaks[0],
            worker_peak_bytes=peaks[1] or None,
            batch=samples,
            exceeded=peak > bound,
            text=text,
        )
        return replace(found, memory=memory, notes=[*found.notes, text])


def _sizes(model: ir.Model, streamed: list[Site], source: Source) -> int:
    """Bytes of all activations with a site, a sample."""
    part = next(iter(source.batches(1)))
    values = Session(with_outputs(model, [s.tensor for s in streamed])).run(part.feeds)
    whole = sum(v.nbytes for v in {**part.feeds, **values}.values())
    return math.ceil(whole / (part.filled or part.size))


def _statistics(model: ir.Model, placed: Placed) -> int:
    """Bytes of what is remembered of all sites while the data stream by."""
    values = {v.name: v for node in model.graph for v in node.outputs} | dict(
        model.graph.initializers
    )
    values |= {v.name: v for v in model.graph.inputs}
    shapes = [(site, values[site.tensor].shape) for site in placed.sites if site.role != "bias"]
    return sum((Tally if s.streams else Seen).bytes(_channels(s, shape)) for s, shape in shapes)


def _channels(site: Site, shape: ir.Shape | None) -> int:
    size = 1 if site.axis is None or shape is None else shape[site.axis]
    return size if isinstance(size, int) else 1


def _too_small(bound: int, least: int) -> WorkerError:
    wanted = math.ceil(least / _MIB)
    return WorkerError(
        "W009", f"--memory {_mib(bound)} MiB", f"they take about {wanted} MiB", wanted=wanted
    )


def _mib(size: int) -> str:
    return f"{size / _MIB:.0f}"
