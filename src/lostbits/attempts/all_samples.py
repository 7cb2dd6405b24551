"""What is written is calibrated on all samples, not only on those that taught.

The samples that judge are needed apart while attempts are judged, and no longer. Ranges of three
quarters of the samples cut off what the last quarter reaches.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from lostbits.attempts.finish import rebuilt
from lostbits.attempts.planner import Planner
from lostbits.case import Case
from lostbits.errors import DataError
from lostbits.estimators import MEMBERS
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.plan.ranges import replanned
from lostbits.plan.tensor_settings import Override
from lostbits.recovery import Change, Context, Rewriting, Sweeping, applied

Steps = Sequence[tuple[str, Change]]


def on_all_samples(old: Case, new: Case, steps: Steps) -> Case:
    """The case with all changes, on statistics of all samples.

    Args:
        old: What the steps were found for, planned on the samples that taught.
        new: The same network planned on all samples.
        steps: Changes that were kept.
    """
    ranges = _Ranges(old, new)
    return rebuilt(new, [(name, replace(c, plan=ranges.moved(c.plan))) for name, c in steps])


def made_again(planner: Planner, new: Case, context: Context) -> Case:
    """The case with all steps found anew on all samples, as far as there is time; else as they are.

    Precision stays as it is: how many tensors it takes was found by samples that judge alone.

    Args:
        planner: Whose steps were kept.
        new: Their start, planned on all samples.
        context: With all samples to work on.
    """
    ranges, known = _Ranges(planner.base, new), {r.name: r for r in planner.recoveries}
    for name, old in planner.steps:
        recovery, change = known[name], replace(old, plan=ranges.moved(old.plan))
        fits = planner.pace.needed(recovery.cost(new)) <= planner.deadline - time.monotonic()
        if isinstance(recovery, Rewriting):
            change = recovery.consider(new).change()
        elif isinstance(recovery, Sweeping) and recovery.stage != "precision" and fits:
            change = recovery.change(new, context)
        new = applied(new, change)
    return new


@final
class _Ranges:
    """Ranges of the new statistics in the place of those of the old.

    A change names a range by its ends. Where these are what a method, or more bits, make of the old
    statistics, the same of the new ones is meant; any other range was found by trial, and stays.
    """

    def __init__(self, old: Case, new: Case) -> None:
        self.old, self.new = old, new
        self.sites = {s.key: s for s in old.placed.sites if s.streams}
        self.mates: dict[str, list[Site]] = {}
        for site in self.sites.values():
            self.mates.setdefault(site.group, []).append(site)

    def moved(self, plan: Mapping[str, Affine | None]) -> dict[str, Affine | None]:
        """The entries of a change."""
        return {key: self._moved(key, affine) for key, affine in plan.items()}

    def _moved(self, key: str, affine: Affine | None) -> Affine | None:
        site = self.sites.get(key)
        if affine is None or site is None or key not in self.new.plan:
            return affine
        for wish in _wishes(site, affine):
            if self._planned(self.old, site, wish) == affine:
                return self._planned(self.new, site, wish) or affine
        return affine

    def _planned(self, case: Case, site: Site, wish: Override) -> Affine | None:
        try:
            return replanned(case, self.mates[site.group], wish).get(site.key)
        except DataError:  # too few values for the method
            return None


def _wishes(site: Site, affine: Affine) -> list[Override]:
    """What may have made a range: its number of bits, or a method."""
    methods = [Override(site.tensor, method=m.name) for m in MEMBERS.all()]
    return [Override(site.tensor, bits=affine.grid.bits), *methods]
