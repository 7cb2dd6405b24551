"""The ranges that the findings name, all at once: what their ``--set`` lines would give.

A diagnosis knows which tensors carry the error, and predicts for each what the range of least
squared error would win. That needs no pass over the samples, so it comes before all else that
chooses ranges.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from lostbits.case import Case
from lostbits.diagnoses.findings import LEAST_SHARE, MOST
from lostbits.diagnoses.predicted_gain import predicted_gain
from lostbits.errors import LostbitsError
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import say
from lostbits.plan.ranges import replanned
from lostbits.plan.tensor_settings import Override
from lostbits.recovery import Change, Context, Diagnosed, Stage, Sweeping, left
from lostbits.results.diagnosis import NetworkReport

_METHOD = "mse"  # what a finding names against a range that is too wide or too narrow
_USUAL = 0.75  # part of the activations' error that stays, as with ranges chosen at layers
_LEAST = 0.05  # dB that it should win of a tensor


@final
@dataclass(frozen=True, kw_only=True)
class NamedRanges(Sweeping):
    """Gives the tensors that cost most the range of least squared error, where that should help."""

    name: ClassVar[str] = "named_ranges"
    title: ClassVar[str] = "the ranges that the findings name, all at once"
    source: ClassVar[str] = "the attribution; Banner et al. 2019, arXiv:1810.05723 (least error)"
    stage: ClassVar[Stage] = "ranges"

    def cost(self, case: Case) -> float:
        """Histograms of a few tensors."""
        return 0.0

    def gain(self, diagnosed: Diagnosed) -> float:
        """What activations clip, or a quarter of what they cost."""
        shares = [a for a in diagnosed.network.attributions if a.role == "activation"]
        clipped = sum(max(a.share, 0.0) for a in shares if a.cause == "clip")
        return max(left(1 - min(clipped, 1.0)), diagnosed.gain_db("activation", _USUAL))

    def change(self, case: Case, context: Context) -> Change:
        """The ranges of all named tensors, and of those that share a scale with them."""
        network, plan, names = context.diagnosed.network, dict[str, Affine | None](), list[str]()
        for site in _named(case, network):
            if site.key not in plan and _helps(case, network, site):
                mates = [s for s in case.sites if s == site or _together(s, site)]
                plan |= replanned(case, mates, Override(site.tensor, method=_METHOD))
                names.append(site.tensor)
        if not names:
            return Change(self.name, say("ledger.named_ranges_none"))
        summary = say("ledger.named_ranges", count=str(len(names)), method=_METHOD)
        return Change(self.name, summary, plan=plan)


def _named(case: Case, network: NetworkReport) -> Iterator[Site]:
    """Sites with a good part of the error, the largest first, whose range can still be chosen."""
    sites = {s.key: s for s in case.sites if s.role != "bias" and s.tensor not in case.written}
    shares: dict[str, float] = {}
    for part in network.attributions:
        shares[part.key] = shares.get(part.key, 0.0) + part.share
    ranked = sorted(sites.keys() & shares.keys(), key=lambda key: (-shares[key], key))
    for key in ranked[:MOST]:
        if shares[key] >= LEAST_SHARE:
            yield sites[key]


def _helps(case: Case, network: NetworkReport, site: Site) -> bool:
    try:
        return predicted_gain(case, network, site, _METHOD) >= _LEAST
    except LostbitsError:  # too few values for the method
        return False


def _together(a: Site, b: Site) -> bool:
    return a.streams and b.streams and a.group == b.group
