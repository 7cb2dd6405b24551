"""The verb ``compare``: two plans, files or results -> which parameters differ, and how far."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from lostbits.case import Case
from lostbits.foreign.file import read_foreign
from lostbits.grid import Affine, Grid
from lostbits.language import Message, say
from lostbits.results.diagnosis import Diagnosis, Recovery
from lostbits.results.sites import SiteReport
from lostbits.verbs.arguments import checked
from lostbits.verbs.case_files import PLAN, holds_case
from lostbits.verbs.result_files import read

Side = Case | Recovery | Diagnosis | str | Path


@final
@dataclass(frozen=True)
class ParameterChange:
    """One tensor whose parameters differ.

    Attributes:
        codes: How far the ends of the range moved, in steps of the finer grid; the largest of all
            channels. Infinite where the numbers of scales differ.
        grids: Names before and after.
        lo, hi: Ends of the range before and after, over all channels.
    """

    tensor: str
    codes: float
    grids: tuple[str, str]
    lo: tuple[float, float]
    hi: tuple[float, float]


@final
@dataclass(frozen=True)
class Comparison:
    """Two sets of parameters.

    Attributes:
        same: Tensors whose parameters are equal, to the last bit.
        changed: The others, the farthest first.
        only_old: Tensors that only the old side has.
        only_new: Tensors that only the new side has.
        text: The same in a sentence.
    """

    same: int
    changed: list[ParameterChange]
    only_old: list[str]
    only_new: list[str]
    text: Message

    @property
    def codes(self) -> float:
        """The largest change; infinite where one side lacks a tensor."""
        if self.only_old or self.only_new:
            return float("inf")
        return max((change.codes for change in self.changed), default=0.0)

    def __repr__(self) -> str:
        return f"<Comparison: {self.text}>"


@checked
def compare(old: Side, new: Side) -> Comparison:
    """Which parameters differ between two cases, recoveries, results, folders or files.

    Args:
        old: A case, what a verb returned, the folder of a result or a recovery, or a file of
            parameters of any known format.
        new: The same.

    Raises:
        LostbitsError: Whatever is wrong with either.
    """
    before, after = _parameters(old), _parameters(new)
    both = [name for name in before if name in after]
    changes = [_change(name, before[name], after[name]) for name in both]
    changed = sorted((c for c in changes if c is not None), key=lambda c: -c.codes)
    lost = [name for name in before if name not in after]
    added = [name for name in after if name not in before]
    counts = {"same": len(both) - len(changed), "changed": len(changed)}
    counts |= {"lost": len(lost), "added": len(added)}
    text = say("compared.text", **{name: str(count) for name, count in counts.items()})
    return Comparison(counts["same"], changed, lost, added, text)


def _parameters(side: Side) -> Mapping[str, Affine]:
    """Parameters by tensor."""
    match side:
        case Case():
            return {key.rpartition(":")[0]: affine for key, affine in side.plan.items()}
        case Recovery():
            return _parameters(side.case)
        case Diagnosis():
            return {site.tensor: _affine(site) for site in side.sites}
        case str() | Path() if os.path.isdir(side) and not holds_case(Path(side)):
            return _parameters(read(side))
    path = Path(side) / PLAN if os.path.isdir(side) else Path(side)
    return {e.tensor: e.affine for e in read_foreign(path).parameters.entries}


def _affine(site: SiteReport) -> Affine:
    scale, zero = np.array(site.scale, np.float32), np.array(site.zero_point, np.int64)
    if site.axis is None:
        scale, zero = scale[0], zero[0]
    return Affine(Grid.named(site.grid), scale, zero, site.axis)


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
