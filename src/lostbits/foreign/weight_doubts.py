"""Doubts about the weights of a file: whether they are those of the model at all."""

from collections.abc import Iterator

import numpy as np

from lostbits.case import Case, constant_of
from lostbits.errors import ReadError
from lostbits.foreign.graph_doubts import some
from lostbits.foreign.match_names import Match
from lostbits.graph.site import Site
from lostbits.grid import along
from lostbits.language import say
from lostbits.reader import doubt

_FAR = 1.5  # steps: nearest rounding is off by a half at most, rounding the other way by one


def doubts_of_weights(case: Case, found: Match) -> Iterator[ReadError]:
    """Weights that no rounding of the model's can be, such as those of another training."""
    weights = [site for site in case.sites if site.role == "weight"]
    far = [(_steps(case, site), site) for site in weights if site.tensor in case.written]
    wrong = [(steps, site) for steps, site in far if _FAR < steps < np.inf]
    if wrong:
        names = [found.origin[site.key] for _, site in wrong]
        figures = {"count": str(len(wrong)), "all": str(len(weights)), "names": some(names)}
        figures |= {"steps": f"{np.median([steps for steps, _ in wrong]):.1f}"}
        yield doubt("I045", say("doubt.file"), figures, names)


@np.errstate(all="ignore")  # to infinity, for steps that are next to nothing: I005 names those
def _steps(case: Case, site: Site) -> float:
    """How far the file's values lie from the model's: in the middle, in steps."""
    affine, floats = case.plan[site.key], constant_of(case.model, site)
    step = along(np.asarray(affine.scale), floats.ndim, affine.axis)
    limited = np.clip(floats, *(along(e, floats.ndim, affine.axis) for e in (affine.lo, affine.hi)))
    return float(np.median(np.abs(case.written[site.tensor] - limited) / step))
