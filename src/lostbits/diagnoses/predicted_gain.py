"""What a setting would win, from what is known already: plan, histograms, attribution.

The setting is planned as ``--set`` would plan it. Of every channel the squared error of the new
grid over that of the old one says which part of the channel's contribution to the output error
stays. So the weight of a channel is what it does to the output, not how large it is.
"""

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case, Plan, constant_of, held_constant
from lostbits.graph.queries import name_of
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.plan.ranges import replanned
from lostbits.plan.tensor_settings import Override
from lostbits.results.diagnosis import NetworkReport

_LEAST_LEFT = 1e-4  # of the error: 40 dB, beyond which no first-order prediction holds
Vector = NDArray[np.float64]


def predicted_gain(case: Case, network: NetworkReport, site: Site, setting: str) -> float:
    """Decibels of output SQNR that ``--set TENSOR=SETTING`` should win; may be negative.

    Sites whose contribution is negative cancel part of what others did. Once those others are
    treated there is nothing to cancel, and an energy is never negative: they count as nothing.

    Raises:
        LostbitsError: If the target cannot plan the setting.
    """
    mates = [s for s in case.sites if s.key == site.key or _together(s, site)]
    plan = replanned(case, mates, Override.parse(f"{site.tensor}={setting}"))
    kept = {s.key: _kept(case, network, s, plan) for s in mates}
    shares: dict[str, float] = {}
    for a in network.attributions:
        key = f"{a.tensor}:{a.role}"
        shares[key] = shares.get(key, 0.0) + a.share
    # What an attribution that does not close leaves unexplained, no setting is promised to win.
    before = max(sum(max(v, 0.0) for v in shares.values()), 1.0)
    won = sum(max(shares.get(key, 0.0), 0.0) * (1 - part) for key, part in kept.items())
    return -10 * float(np.log10(max(1 - won / before, _LEAST_LEFT)))


def kept_of(case: Case, network: NetworkReport, site: Site, setting: str) -> float:
    """Which part of a site's contribution stays under a setting; above 1 where it grows."""
    plan = replanned(case, [site], Override.parse(f"{site.tensor}={setting}"))
    return _kept(case, network, site, plan)


def _together(a: Site, b: Site) -> bool:
    return a.streams and b.streams and a.group == b.group


def _kept(case: Case, network: NetworkReport, site: Site, plan: Plan) -> float:
    """The part of a site's contribution that stays."""
    if site.key not in plan:
        return 0.0
    old, new = (_errors(case, site, p[site.key]) for p in (case.plan, plan))
    shares = np.maximum(network.channels.get(site.key, []), 0.0)
    if shares.size == old.size and (shares * old).any():
        ratio = np.divide(new, old, out=np.zeros_like(new), where=old > 0)
        return float(shares @ ratio / shares.sum())
    return float(new.sum() / old.sum()) if old.sum() > 0 else 1.0


def _errors(case: Case, site: Site, affine: Affine) -> Vector:
    """Squared error of every channel: exact for constants, from the histogram for the rest."""
    if not site.streams:
        x = held_constant(case.model, site, case.saturations).astype(np.float64)
        square = (affine.fake_quantize(x) - x) ** 2
        others = tuple(d for d in range(x.ndim) if d != site.axis)
        return np.atleast_1d(square.sum(others if site.axis is not None else None))
    rows = case.seen[site.key].channels
    ends = (np.broadcast_to(v, rows.absmax.shape) for v in (affine.lo, affine.hi, affine.scale))
    return np.asarray(rows.distortion(*ends).total)


def uneven_inputs(case: Case, site: Site) -> float:
    """Bits that a weight loses because its *input* channels are uneven.

    No scale per output channel helps where the weights of one input channel are small and its
    values large: the few levels of those weights meet most of the signal. With ``p_c`` the power
    of input channel c and ``r_c`` the part of the range that its weights use, rounding costs
    ``sum p_c`` units now, and ``sum p_c r_c^2`` once the channels are equalized.
    """
    if site.role != "weight" or site.axis not in (0, 1):
        return 0.0
    power = _input_power(case, site)
    if power is None:
        return 0.0
    w = np.abs(np.moveaxis(constant_of(case.model, site), (site.axis, 1 - site.axis), (0, 1)))
    w = w.reshape(w.shape[0], w.shape[1], -1).max(2)
    if w.shape[1] != power.size or not power.any() or not w.any():
        return 0.0
    affine = case.plan[site.key]
    widest = w.max() if affine.axis is None else np.maximum(w.max(1, keepdims=True), 1e-30)
    used = (w / widest).max(0)
    left = float(power @ used**2)
    return 0.5 * float(np.log2(power.sum() / left)) if left > 0 else 0.0


def _input_power(case: Case, site: Site) -> Vector | None:
    """Sum of squares of every channel that the layer of a weight reads; None if unknown."""
    inputs = [name_of(v) for n in case.model.graph if n.name == site.node for v in n.inputs if v]
    rows = next(
        (case.seen[k].channels for t in inputs if (k := f"{t}:activation") in case.seen), None
    )
    if rows is None:
        return None
    middles = (rows.edges[:, :-1] + rows.edges[:, 1:]) / 2
    return np.asarray((rows.live * middles**2).sum(1))
