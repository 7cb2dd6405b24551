"""Noise gains: what rounding each tensor adds to the error of the output, by one backward pass.

An error ``e`` that is small, has a mean of zero and does not depend on the others changes an output
``y`` by ``<dy/dx, e>``. The energy of that is the variance of ``e`` times ``sum_k (dy_k/dx)^2``.
With ``u = sum_k r_k y_k`` and random signs ``r``, ``E (du/dx)^2`` is this sum for every element of
every tensor at once. So one backward pass says what rounding will cost under *any* choice of
scales, ranges and factors between channels, without running a quantized network.

References:
    Hutchinson, 1990, Communications in Statistics 19(2) (random signs); Widrow and Kollar,
    Quantization Noise, 2008 (uniform, independent errors).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import WHOLE_BINS, Case, Plan
from lostbits.data import Batch, Source
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.runtime.decibels import decibels
from lostbits.runtime.executor import Executor, Walk
from lostbits.runtime.gradient_root import rooted
from lostbits.runtime.measured import measured
from lostbits.runtime.memory_layout import by_channel
from lostbits.runtime.metrics import Focus, Value
from lostbits.runtime.random_signs import roots_of_weights, signed
from lostbits.statistic import RecordSum
from lostbits.statistics.histogram import Density
from lostbits.statistics.weighted_counts import count_squares
from lostbits.workers.checkpoint import Folding
from lostbits.workers.handover import by_threads
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress, silent

Vector = NDArray[np.float64]
_SAMPLES = 16
_BATCH = 4  # the squares of a weight are of the whole batch: more batches, more draws
# Backward passes a batch. Where the outputs move together, as on even backgrounds, one draw of
# signs is off by a factor.
_DRAWS = 3


@final
@dataclass
class NoiseGains(RecordSum):
    """Squared gradients of the outputs, summed over samples and positions.

    All are in units of the outputs' power: an error of variance v in channel c of a tensor adds
    ``v * channels[c] / samples`` to the noise-to-signal ratio of the output.

    Attributes:
        samples: How many.
        channels: By the key of an activation's site, of the values that rounding moves: zero and
            the ends of the range are codes. Shape (channels,).
        counts: By the same key, over the bins of the site's histogram; shape (2 * bins,).
        weights: By the key of a weight's site, of every element.
        opaque: Nodes that no gradient passes, and tensors where one is infinite: with any of them
            the gains are those of a part of the network, and no model of it.
    """

    samples: int = 0
    channels: dict[str, Vector] = field(default_factory=dict)
    counts: dict[str, Vector] = field(default_factory=dict)
    weights: dict[str, Vector] = field(default_factory=dict)
    opaque: Sequence[str] = ()

    def merge(self, other: Self) -> Self:
        """Add what other samples have shown."""
        self.samples += other.samples
        _add(self.channels, other.channels)
        _add(self.counts, other.counts)
        _add(self.weights, other.weights)
        self.opaque = sorted({*self.opaque, *other.opaque})
        return self

    def of_rounding(self, case: Case, plan: Plan | None = None) -> dict[str, float]:
        """Noise-to-signal ratio that each activation's rounding adds, by site key.

        Args:
            case: Whose statistics fix the bins.
            plan: Grids; default, those of the case.
        """
        plan = case.plan if plan is None else plan
        sites = (s for s in case.sites if s.key in self.counts and s.key in plan)
        return {s.key: self._of_one(case, s, plan[s.key]) for s in sites}

    def _of_one(self, case: Case, site: Site, affine: Affine) -> float:
        if affine.scale.size > 1:
            steps = np.asarray(affine.scale, np.float64).reshape(-1)
            return float((steps**2 / 12) @ self.channels[site.key]) / self.samples
        ends = (np.atleast_1d(v).reshape(-1) for v in (affine.lo, affine.hi, affine.scale))
        return float(self.density(case, site).error(*ends).sum()) / self.samples

    def density(self, case: Case, site: Site) -> Density:
        """Values of a site, each as often as its squared gradient says."""
        return Density.of(self.counts[site.key][None], case.seen[site.key].whole.absmax)

    def floor_db(self, case: Case) -> float | None:
        """SQNR of the output with activations alone rounded, predicted; None without a model.

        What is clipped has one sign and does not average out: it is counted as if it did, so that
        ranges far inside the values promise too much.
        """
        if self.opaque:
            return None
        return decibels(1.0, sum(self.of_rounding(case).values()))


def _add(sums: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, values in more.items():
        sums[key] = sums[key] + values if key in sums else values


def noise_gains(
    case: Case,
    source: Source,
    pool: Pool,
    *,
    focus: Focus | None = None,
    weights: bool = False,
    seed: int = 0,
    progress: Progress = silent,
) -> NoiseGains:
    """Noise gains of the float network of ``case`` on the first samples.

    Args:
        case: With statistics of all sites.
        source: Samples.
        pool: Who works.
        focus: The part of the outputs that counts; None: all of them.
        weights: Whether gains of the weights are wanted too; they take as long again.
        seed: Of the signs.
        progress: Told after every chunk.
    """
    few, case = source.slice(0, min(_SAMPLES, len(source))), measured(case)
    job = _Signs(case, few, focus, weights, seed)
    found = NoiseGains()
    Folding(pool, progress).run("noise gains", job, few.chunks(_BATCH, 1), found)
    return found


@final
class KnownGains:
    """Noise gains of the network that was asked for last; several recoveries ask for the same.

    Args:
        source: Samples to work on.
        pool: Who works.
        seed: Of the signs.
    """

    def __init__(self, source: Source, pool: Pool, seed: int = 0) -> None:
        self.source, self.pool, self.seed = source, pool, seed
        self._model: object = None
        self._found = NoiseGains()

    def knows(self, case: Case) -> bool:
        """Whether gains of the activations cost no time."""
        return self._model is case.model

    def __call__(
        self, case: Case, focus: Focus | None = None, *, weights: bool = False
    ) -> NoiseGains:
        """See ``noise_gains``."""
        if not self.knows(case) or (weights and not self._found.weights):
            told = {"focus": focus, "weights": weights, "seed": self.seed}
            self._found = noise_gains(case, self.source, self.pool, **told)  # type: ignore[arg-type]
            self._model = case.model
        return self._found


@final
@dataclass(frozen=True)
class _Signs:
    """The job: one backward pass for each chunk."""

    case: Case
    source: Source
    focus: Focus | None
    weights: bool
    seed: int

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.case.model)

    def open(self) -> Callable[[range], NoiseGains]:
        executor, cursor = Executor(self.case.model, self._sites()), self.source.cursor()
        energy = self.case.over(len(self.source)).output_energy
        counted = len(self.source), self.case.compared, self.focus
        value = Value("nsr", energy, *counted)

        def work(chunk: range) -> NoiseGains:
            found = NoiseGains()
            for part in cursor.batches(chunk, _BATCH):
                found.merge(_Pass(self.case, executor, value, self.seed).of(part))
            return found

        return work

    def _sites(self) -> list[Site]:
        return [s for s in self.case.sites if s.streams or (self.weights and s.role == "weight")]


@final
class _Pass:
    """One batch, forward and backward."""

    def __init__(self, case: Case, executor: Executor, value: Value, seed: int) -> None:
        self.case, self.executor, self.value, self.seed = case, executor, value, seed
        self.found = NoiseGains()
        self.root = torch.zeros((), requires_grad=True)
        self.endless: set[str] = set()  # tensors where a slope is infinite

    def of(self, part: Batch) -> NoiseGains:
        """Noise gains of the batch."""
        self.found.samples = part.size
        walk = Walk(self.executor, part.feeds, self._inject)
        for step in self.executor.steps:
            walk.advance(step)
        real = [part.real(y) for y in walk.results()]
        outputs = [y for y in real if y.is_floating_point()]
        roots = roots_of_weights(self.value, outputs, part)
        random = torch.Generator().manual_seed(self.seed + part.first)
        units: float = (self.value.samples / _DRAWS) ** 0.5
        for draw in range(_DRAWS):
            u = signed(outputs, roots, random) * units
            if u.requires_grad:
                last = draw == _DRAWS - 1
                torch.autograd.grad(u, self.root, retain_graph=not last, allow_unused=True)
        self.found.opaque = sorted(self.executor.opaque | self.endless)
        return self.found

    def _inject(self, site: Site, x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point():
            return x
        # A tensor of its own: readers of another site, or in float, do not count.
        z: torch.Tensor = rooted(self.root, x).view_as(x)
        watch = self._activation if site.streams else self._weight
        z.register_hook(partial(watch, site, x))  # type: ignore[no-untyped-call]
        return z

    def _weight(self, site: Site, x: torch.Tensor, gradient: torch.Tensor) -> None:
        _add(self.found.weights, {site.key: np.square(gradient.double().contiguous().numpy())})

    def _activation(self, site: Site, x: torch.Tensor, gradient: torch.Tensor) -> None:
        seen = self.case.seen[site.key]
        axis = site.axis if site.axis is not None and x.ndim > site.axis else None
        counts, inside = np.zeros(2 * WHOLE_BINS), np.zeros(seen.channels.absmax.size)
        values, slopes = (by_channel(v.detach(), axis) for v in (x, gradient))
        if not torch.isfinite(gradient).all():
            self.endless.add(site.tensor)
            return
        ends = np.array([seen.whole.lo.min(), seen.whole.hi.max()])
        scale = WHOLE_BINS / max(float(seen.whole.absmax.max()), 1e-30)
        count_squares(
            values, slopes, ends, scale, counts, inside if axis is not None else inside[:1]
        )
        _add(self.found.channels, {site.key: inside})
        _add(self.found.counts, {site.key: counts})
