"""Settings of tensors, tried: what the output wins, measured on a few samples."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import final

import numpy as np

from lostbits.case import Case, Plan
from lostbits.data import Source
from lostbits.graph.site import Site
from lostbits.plan.ranges import replanned, with_biases
from lostbits.plan.tensor_settings import Override
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.simulation import unless_infinite

_SAMPLES = 32  # a run of them costs less than attributing as many
_MOST_DB = 100.0  # told of a network that has no error left


@final
class Tried:
    """A case whose tensors get other settings, beside what it is.

    Attributes:
        case: As it is.
        samples: How many are measured.
    """

    def __init__(self, case: Case, source: Source) -> None:
        self.case = case
        self.samples = min(len(source), _SAMPLES)
        self._few = source.slice(0, self.samples)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.case.model, self._few, compared=self.case.compared)

    @cached_property
    def _before(self) -> float:
        return self._decibels(self.case)

    def gain_db(self, settings: Mapping[Site, str]) -> float:
        """Decibels of output SQNR won; less than 0 where the output gets worse.

        Args:
            settings: As ``--set`` has them, by the sites of the tensors.
        """
        return self._decibels(with_settings(self.case, settings)) - self._before

    def _decibels(self, case: Case) -> float:
        figures = unless_infinite(lambda: self._judge(case))
        if figures is None:  # an output that is not finite is as bad as can be
            return -_MOST_DB
        found = figures.sqnr_db
        return _MOST_DB if found is None else float(np.clip(found, -_MOST_DB, _MOST_DB))


def with_settings(case: Case, settings: Mapping[Site, str]) -> Case:
    """The case with tensors planned anew, and what was written for them rounded anew."""
    plan = dict(case.plan)
    for site, how in settings.items():
        mates = [s for s in case.sites if s.key == site.key or _together(s, site)]
        fresh = replanned(case, mates, Override.parse(f"{site.tensor}={how}"))
        keys = {site.key for site in mates}
        plan = {**{k: a for k, a in plan.items() if k not in keys}, **fresh}
    changed = frozenset(site.key for site in settings)
    return replace(case, plan=_without_scales(case, with_biases(case, plan, changed)))


def _without_scales(case: Case, plan: Plan) -> Plan:
    """Without biases whose weight has become float: their scale was that of its products."""
    of_weights = {s.key: s.scales[1] for s in case.placed.biases if s.scales is not None}
    freed = {key for key, weight in of_weights.items() if weight in case.plan.keys() - plan.keys()}
    return {key: affine for key, affine in plan.items() if key not in freed}


def _together(a: Site, b: Site) -> bool:
    return a.streams and b.streams and a.group == b.group
