"""Parameters of two sides, tensor by tensor: which differ, and by how many codes."""

import numpy as np

from lostbits.grid import Affine
from lostbits.language import say
from lostbits.results.comparison import Comparison, ParameterChange
from lostbits.verbs.compared_sides import Given, parameters


def parameters_compared(old: Given, new: Given) -> Comparison:
    """Which parameters differ."""
    before, after = parameters(old), parameters(new)
    if before is None or after is None:
        return Comparison(0, [], [], [], say("compared.no_parameters"))
    both = [name for name in before if name in after]
    changes = [_change(name, before[name], after[name]) for name in both]
    changed = sorted((c for c in changes if c is not None), key=lambda c: -c.codes)
    lost = [name for name in before if name not in after]
    added = [name for name in after if name not in before]
    counts = {"same": len(both) - len(changed), "changed": len(changed)}
    counts |= {"lost": len(lost), "added": len(added)}
    text = say("compared.text", **{name: str(count) for name, count in counts.items()})
    return Comparison(counts["same"], changed, lost, added, text)


def _change(tensor: str, old: Affine, new: Affine) -> ParameterChange | None:
    if old == new:
        return None
    grids = old.grid.name, new.grid.name
    lo, hi = (tuple(_ends(a, end) for a in (old, new)) for end in ("lo", "hi"))
    return ParameterChange(tensor, _codes(old, new), grids, (lo[0], lo[1]), (hi[0], hi[1]))


def _ends(affine: Affine, end: str) -> float:
    return float(affine.lo.min() if end == "lo" else affine.hi.max())


def _codes(old: Affine, new: Affine) -> float:
    """The farthest end, in steps of the finer grid."""
    sizes = {old.scale.size, new.scale.size} - {1}
    if len(sizes) > 1 or (sizes and old.axis != new.axis and None not in (old.axis, new.axis)):
        return float("inf")
    step = np.minimum(old.scale, new.scale).astype(np.float64)
    moved = np.maximum(np.abs(old.lo - new.lo), np.abs(old.hi - new.hi))
    return float((moved / step).max())
