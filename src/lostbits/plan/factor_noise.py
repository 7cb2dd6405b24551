"""What rounding costs at the output under any factors of channels, and the factors of least cost.

With a tensor's channels times ``f_c`` its range is that of the widest, and an error in channel c is
worth ``1 / f_c^2`` of what it was:

    N(f) = sum_t s_t^2/12 sum_c G[t,c] / f_c^2
         + left * sum_L sum_o s_o^2/12 sum_j F[o,j] (f_j / f_o)^2

over activations t and layers L, with the noise gains G and F of the network as it is, and the steps
s that follow from the ranges of the scaled tensors and weights. All of it is arithmetic on vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.channels.linear import Linear
from lostbits.channels.streams import Stream, layers_of
from lostbits.channels.weights import Weights
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.rounding.adam import Adam
from lostbits.runtime.noise_gains import NoiseGains
from lostbits.system.deadline import NEVER, Deadline

Exact = NDArray[np.float64]
STEPS, _RATE = 80, 0.25  # of Adam, on the factors' logarithms
_MOST = 8 * float(np.log(2))  # a channel beyond would have all 8 bits of a grid to itself
_TINY = 1e-30
_UNSURE = 0.03  # of the mean gain of a tensor, added to that of each channel
_ONE = torch.ones(1)


class _Ends(NamedTuple):
    """One activation: range and gain of each channel, and which factor it takes.

    Where a bound of each channel becomes a Min behind the Clip, values are rounded twice.
    """

    stream: int | None
    bound: bool
    place: torch.Tensor
    lo: torch.Tensor
    hi: torch.Tensor
    gain: torch.Tensor


class _Rows(NamedTuple):
    """One weight: least, largest and gain of each row and column, (groups, outputs, inputs)."""

    writer: int | None
    reader: int | None
    lo: torch.Tensor
    hi: torch.Tensor
    gain: torch.Tensor
    levels: float
    symmetric: bool
    per_row: bool


@final
@dataclass(frozen=True)
class Factors:
    """Factors of all streams, and what they should win.

    Attributes:
        each: Of every stream, (channels,).
        before, after: The noise-to-signal ratio that rounding should leave at the output.
    """

    each: Sequence[Exact]
    before: float
    after: float

    @property
    def gain_db(self) -> float:
        """What the output's SQNR should win."""
        return float(10 * np.log10(max(self.before, _TINY) / max(self.after, _TINY)))


@final
class FactorNoise:
    """``N(f)``, as far as factors change it or add to it.

    Args:
        case: With ranges of every channel, and grids.
        gains: Of its float network, weights included.
        streams: That factors may be put on.
        left: Part of the weights' noise that rounding them by second moments leaves.
    """

    def __init__(
        self, case: Case, gains: NoiseGains, streams: Sequence[Stream], left: float
    ) -> None:
        self.case, self.gains, self.streams, self.left = case, gains, streams, left
        self.at = {tensor: i for i, stream in enumerate(streams) for tensor in stream.tensors}
        groups: dict[str, list[_Ends]] = {}
        for site in case.sites:
            if site.streams and site.key in gains.channels and site.key in case.seen:
                groups.setdefault(site.group, []).append(self._ends(site))
        self.groups = [(case.plan[key], ends) for key, ends in self._keyed(groups)]
        self.readers = {r.node: i for i, s in enumerate(streams) for r in s.readers}
        self.rows = [row for layer in layers_of(streams) if (row := self._row(layer)) is not None]

    def _keyed(self, groups: dict[str, list[_Ends]]) -> list[tuple[str, list[_Ends]]]:
        keys = {s.group: s.key for s in self.case.sites if s.streams}
        return [(keys[group], ends) for group, ends in groups.items()]

    def _ends(self, site: Site) -> _Ends:
        seen, gain = self.case.seen[site.key].channels, self.gains.channels[site.key]
        number = self.at.get(site.tensor)
        place = np.zeros(1, np.int64)
        if number is not None:
            stream = self.streams[number]
            numbers = np.arange(stream.channels, dtype=np.float64)
            place = stream.spread(site.tensor, numbers).astype(np.int64)
            if place.size != seen.lo.size:  # statistics along another axis: nothing is known
                place, number = np.zeros(1, np.int64), None
        lo, hi = np.minimum(seen.lo, 0.0), np.maximum(seen.hi, 0.0)
        gain = _sure(gain / self.gains.samples)
        vectors = (_single(v) for v in (lo, hi, gain))
        bounds = [] if number is None else self.streams[number].bounds
        bound = any(each.tensor == site.tensor for each in bounds)
        return _Ends(number, bound, torch.from_numpy(place), *vectors)

    def _row(self, layer: Linear) -> _Rows | None:
        key = f"{layer.weight}:weight"
        affine, found = self.case.plan.get(key), self.gains.weights.get(key)
        if affine is None or found is None:
            return None
        blocks = Weights(self.case.model, [layer]).blocks[layer.node]
        gain = layer.split(found).sum(axis=3) / self.gains.samples
        rule = self.case.target.weights
        return _Rows(
            self.at.get(layer.output),
            self.readers.get(layer.node),
            _single(blocks.min(axis=3)),
            _single(blocks.max(axis=3)),
            _single(_sure(gain)),
            levels=_levels(affine, symmetric=rule.symmetric),
            symmetric=rule.symmetric,
            per_row=affine.scale.size > 1,
        )

    def __call__(self, logs: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """``N`` for the logarithms of the factors, differentiable; None for a stream without."""
        factors = [None if log is None else log.exp() for log in logs]
        activations = [self._activation(affine, ends, factors) for affine, ends in self.groups]
        weights = [self.left * self._weight(row, factors) for row in self.rows]
        return torch.stack([*activations, *weights]).sum()

    def _activation(
        self, affine: Affine, ends: list[_Ends], factors: Sequence[torch.Tensor | None]
    ) -> torch.Tensor:
        each = [(e, _of(factors, e.stream)) for e in ends]
        taken = [
            (e, _ONE if f is None else f[e.place], 1 + (e.bound and f is not None)) for e, f in each
        ]
        lo = torch.stack([(e.lo * f).min() for e, f, _ in taken]).min()
        hi = torch.stack([(e.hi * f).max() for e, f, _ in taken]).max()
        symmetric = self.case.target.activations.symmetric
        span = 2 * torch.maximum(-lo, hi) if symmetric else hi - lo
        step = span / _levels(affine, symmetric=symmetric)
        return step**2 / 12 * torch.stack([(n * e.gain / f**2).sum() for e, f, n in taken]).sum()

    @staticmethod
    def _weight(row: _Rows, factors: Sequence[torch.Tensor | None]) -> torch.Tensor:
        groups, outputs, inputs = row.lo.shape
        out, into = _of(factors, row.writer), _of(factors, row.reader)
        rows = torch.ones(groups, outputs) if out is None else out.reshape(groups, outputs)
        columns = torch.ones(groups, inputs) if into is None else into.reshape(groups, inputs)
        hi = _largest(row.hi, rows, columns)
        lo = -_largest(-row.lo, rows, columns)
        if not row.per_row:
            hi, lo = hi.max(), lo.min()
        hi, lo = hi.clamp(min=0.0), lo.clamp(max=0.0)
        span = 2 * torch.maximum(-lo, hi) if row.symmetric else hi - lo
        energy = torch.einsum("goi,gi->go", row.gain, columns**2) / rows**2
        return ((span / row.levels) ** 2 / 12 * energy).sum()

    def least(self, deadline: Deadline = NEVER) -> Factors:
        """Factors of the least noise that a search from ones comes to, by a deadline.

        Of streams with bounds only those keep factors that win more than a second rounding costs.
        """
        before = float(self([None] * len(self.streams)))
        logs: list[torch.Tensor | None] = list(self._search(deadline))
        least = float(self(logs))
        for number, stream in enumerate(self.streams):
            without = [None if i == number else log for i, log in enumerate(logs)]
            if stream.bounds and (noise := float(self(without))) < least:
                logs, least = without, noise
        if least >= before:
            logs, least = [None] * len(logs), before
        found = zip(self.streams, logs, strict=True)
        each = [np.ones(s.channels) if g is None else np.exp(g.double().numpy()) for s, g in found]
        return Factors(each, before, least)

    def _search(self, deadline: Deadline) -> list[torch.Tensor]:
        """The best of 80 steps of Adam, or of as many as there is time for."""
        logs = [torch.zeros(s.channels) for s in self.streams]
        for log in logs:
            log.requires_grad_()
        adam, least = Adam((log, _RATE) for log in logs), np.inf
        for step in range(STEPS + 1):
            noise = self(logs)
            if float(noise.detach()) < least:
                best, least = [log.detach().clone() for log in logs], float(noise.detach())
            if deadline.passed:
                break
            self._move(adam, noise.clamp(min=_TINY).log(), logs, 1 - step / (STEPS + 1))
        return best

    @staticmethod
    def _move(adam: Adam, loss: torch.Tensor, logs: Sequence[torch.Tensor], part: float) -> None:
        adam.clear()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step(part)
        with torch.no_grad():
            for log in logs:
                log.clamp_(-_MOST, _MOST)


def _of(factors: Sequence[torch.Tensor | None], stream: int | None) -> torch.Tensor | None:
    return None if stream is None else factors[stream]


def _largest(values: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Largest of each row times its factor, columns divided by theirs; (groups, outputs).

    Only the values that are found carry a gradient: one pass over the matrix, and none back.
    """
    with torch.no_grad():
        at = (values * (1 / columns)[:, None]).argmax(dim=2)
    found = values.gather(2, at[..., None])[..., 0]
    return found * rows / columns.gather(1, at)


def _single(values: Exact) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _sure(gain: Exact) -> Exact:
    """Gains of few samples are no more certain than a part of their mean."""
    return np.asarray(gain + _UNSURE * gain.mean(), np.float64)


def _levels(affine: Affine, *, symmetric: bool) -> float:
    codes = affine.grid.qmax - affine.grid.qmin
    return float(codes - codes % 2 if symmetric else codes)
