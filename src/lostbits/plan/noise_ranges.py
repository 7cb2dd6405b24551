"""Ranges of all activations from noise gains: no layer is computed, no network run."""

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.errors import DataError
from lostbits.estimators.weighted import Weighted
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.plan.ranges import replanned
from lostbits.plan.tensor_settings import Override
from lostbits.runtime.noise_gains import NoiseGains

Vector = NDArray[np.float64]


def noise_ranges(case: Case, gains: NoiseGains, coherence: float) -> dict[str, Affine]:
    """The range of every activation with the least error at the output, by site key.

    Inputs of the network stay: what they hold on other data, nobody knows from these. So do
    tensors of one scale for each channel, and those that no gradient reaches.

    Args:
        case: With the statistics that the gains were counted in.
        gains: Of its float network.
        coherence: Of what is clipped; see ``Weighted``.
    """
    if gains.opaque:
        return {}
    groups: dict[str, list[Site]] = {}
    for site in case.sites:
        if site.streams:
            groups.setdefault(site.group, []).append(site)
    plan: dict[str, Affine] = {}
    for mates in groups.values():
        if all(_movable(case, gains, site) for site in mates):
            plan |= _range(case, gains, mates, coherence)
    return plan


def _movable(case: Case, gains: NoiseGains, site: Site) -> bool:
    known = site.key in gains.counts and case.plan[site.key].axis is None
    return known and bool(site.node) and not site.dynamic


def _range(case: Case, gains: NoiseGains, mates: list[Site], coherence: float) -> dict[str, Affine]:
    weights = sum(_with_tails(case, gains, site) for site in mates)
    answers = any(site.role == "output" for site in mates)
    method = Weighted(weights, coherence, keep_highest=answers)  # type: ignore[arg-type]
    try:
        wish = Override(mates[0].tensor, method=method)
        return dict(replanned(case, mates, wish))
    except DataError:  # too few values
        return {}


def _with_tails(case: Case, gains: NoiseGains, site: Site) -> Vector:
    """Gains of all bins; beyond what the few samples of the gains reach, a value has the mean gain.

    All samples have set the ranges. To clip what a quarter of them showed would cost nothing.
    """
    counts = gains.counts[site.key]
    reached = np.flatnonzero(counts)
    every = case.seen[site.key].whole.live.sum(axis=0)
    if not reached.size:
        return counts
    within = slice(reached[0], reached[-1] + 1)
    mean = counts.sum() / max(every[within].sum(), 1)
    tails: Vector = every * mean
    tails[within] = 0.0
    tails += counts
    return tails
