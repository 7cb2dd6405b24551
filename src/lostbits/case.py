"""A case: model, sites, what was seen of them, and the plan."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.integer_layers import sum_sites
from lostbits.graph.outputs import Compared
from lostbits.graph.place import Placed
from lostbits.graph.queries import constant
from lostbits.graph.saturation import Saturations
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.statistics import Extrema, Histogram, Tally
from lostbits.target import Target

WHOLE_BINS, CHANNEL_BINS = 2048, 32


Plan = Mapping[str, Affine]


@final
@dataclass(frozen=True)
class Seen:
    """What is remembered of a site's values.

    Attributes:
        whole: One row of 2,048 bins a side, over the extremes of the site's group.
        channels: One row of 32 bins a side for each channel, over that channel's extremes.
    """

    whole: Histogram
    channels: Histogram

    @classmethod
    def of(cls, x: NDArray[np.float32], axis: int | None) -> "Seen":
        """What a constant looks like."""
        own = Extrema(axis).update(x)
        whole = Histogram(own.lo.min(), own.hi.max(), WHOLE_BINS)
        return cls(whole.update(x), Histogram(own.lo, own.hi, CHANNEL_BINS, axis).update(x))

    @classmethod
    def of_all(cls, tally: Tally, group: tuple[float, float]) -> "Seen":
        """What an activation looks like, between the extremes of its group."""
        return cls(tally.whole(*group, WHOLE_BINS), tally.channels(CHANNEL_BINS))

    @staticmethod
    def bytes(channels: int) -> int:
        """Memory that the counts take."""
        return 16 * (WHOLE_BINS + channels * CHANNEL_BINS)


class Origin(abc.ABC):
    """Where a case comes from, and what it was told; the rest of it only the verbs know."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """Of the model: that of its file, or its own."""


@final
@dataclass(frozen=True)
class Case:
    """Everything that a diagnosis or a recovery needs; never changed, only replaced.

    Attributes:
        model: The normalised float reference.
        target: The platform.
        placed: Its sites in this model.
        seen: Statistics by site key (bias sites have none).
        plan: Parameters by site key.
        output_energy: Sum of squares of each tensor that is compared, in the float network, over
            the data and the positions that count.
        samples: How many samples that was.
        written: Constants of the quantized network that a recovery chose, by tensor: weights that
            are rounded otherwise than to nearest, biases that are corrected. All others are those
            of ``model``, rounded to nearest.
        compared: Outputs, or what they are chosen from, in order.
        shown: How many samples the statistics have seen; None where they are those of ``samples``.
        saturations: By tensor, between which ends its values mean something; statistics, errors
            and attributions are those of values held within them.
        origin: Where it comes from, which only the verbs look into; None for one of no verb.
    """

    model: ir.Model
    target: Target
    placed: Placed
    seen: Mapping[str, Seen]
    plan: Plan
    output_energy: Mapping[str, float]
    samples: int
    written: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    compared: tuple[Compared, ...] = ()
    shown: int | None = None
    saturations: Saturations = field(default_factory=dict)
    origin: Origin | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        name = self.model.graph.name if self.origin is None else self.origin.name
        return f"<Case of {name} on {self.target.name}: {len(self.sites)} sites>"

    def over(self, samples: int) -> "Case":
        """The case with the energies that so many samples should have."""
        scale, shown = samples / self.samples, self.shown or self.samples
        energy = {name: e * scale for name, e in self.output_energy.items()}
        return replace(self, output_energy=energy, samples=samples, shown=shown)

    def values(self, sites: Iterable[Site]) -> float:
        """Values that activation sites have together, a sample."""
        sizes = (self.seen[s.key].whole.size for s in sites if s.streams and s.key in self.seen)
        return sum(sizes) / max(self.samples if self.shown is None else self.shown, 1)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites that are quantized."""
        return tuple(s for s in self.placed.sites if s.key in self.plan)

    @property
    def attributed_sites(self) -> tuple[Site, ...]:
        """What the quantized network has of its own, the sites and the corrected float biases."""
        floats = (*self.placed.sites, *self.placed.float_biases)
        corrected = (s for s in floats if s.key not in self.plan and s.tensor in self.written)
        return (*self.sites, *corrected)

    @property
    def error_sites(self) -> tuple[Site, ...]:
        """All places where an error enters, the sums of kernels that stay float among them."""
        if self.target.arithmetic is None:
            return self.attributed_sites
        return (*self.attributed_sites, *sum_sites(self.model.graph, self.sites))

    def quantized_constant(self, site: Site) -> NDArray[np.float32]:
        """What the quantized network computes with in place of a constant."""
        value = self.written.get(site.tensor)
        value = constant_of(self.model, site) if value is None else value
        affine = self.plan.get(site.key)
        return value if affine is None else affine.fake_quantize(value)


def constant_of(model: ir.Model, site: Site) -> NDArray[np.float32]:
    """The array of a weight or bias site."""
    array = constant(model.graph.initializers[site.tensor])
    assert array is not None
    return array.astype(np.float32)


def held_constant(model: ir.Model, site: Site, saturations: Saturations) -> NDArray[np.float32]:
    """The array of a constant, within the ends between which its values mean something."""
    array, saturation = constant_of(model, site), saturations.get(site.tensor)
    return array if saturation is None else np.asarray(saturation.held(array), np.float32)


def look_at_constants(
    model: ir.Model, sites: Sequence[Site], saturations: Saturations = MappingProxyType({})
) -> dict[str, Seen]:
    """Statistics of the weights, which need no data; none of one that holds infinities."""
    weights = {s.key: s for s in sites if s.role == "weight"}
    arrays = {key: held_constant(model, s, saturations) for key, s in weights.items()}
    return {
        key: Seen.of(array, weights[key].axis)
        for key, array in arrays.items()
        if np.isfinite(array).all()
    }
