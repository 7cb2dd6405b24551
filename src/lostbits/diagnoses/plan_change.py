"""Between two plans of one network: what every site contributes to the change of the output error.

The path of ``diagnoses.network`` leads from the float network to the quantized one. This one leads
from the network of one plan to that of another, ``x_i(t) = F_i(x(t)) + a_i + t (b_i - a_i)`` with
the errors ``a_i`` and ``b_i`` that the sites made in the two, and

    phi_i = integral_0^1 <dv/dx_i(t), b_i - a_i> dt,    sum_i phi_i = v(1) - v(0)

So what is equal in both has nothing to answer for but what it made of other inputs. Where no such
path exists, each plan is attributed from float by itself, and the differences close as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import final

import numpy as np
import torch

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.network import CLOSURE, Attributed, NetworkErrors
from lostbits.graph.same_network import same_network
from lostbits.graph.site import Site
from lostbits.runtime.chords import pointed
from lostbits.runtime.compare_networks import observe
from lostbits.runtime.executor import Executor
from lostbits.runtime.metrics import Metric, Value
from lostbits.runtime.simulation import Simulation
from lostbits.workers.checkpoint import Folding
from lostbits.workers.handover import by_threads
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress


def sites_of(before: Case, after: Case) -> list[Site]:
    """What either network has of its own, each site once."""
    known = {site.key: site for site in (*after.error_sites, *before.error_sites)}
    return list(known.values())


def connected(before: Case, after: Case) -> bool:
    """Whether a path of finite slopes leads from one network to the other.

    They must be one float network, in which the same readers see what a site makes, and no function
    may come near a point without slope: chords begin in the float network.
    """
    if not same_network(before.model, after.model):
        return False
    sites = sites_of(before, after)
    known = {site.key: site.uses for site in before.error_sites}
    if any(known.get(site.key, site.uses) != site.uses for site in after.error_sites):
        return False
    uses = [use for site in sites for use in site.uses]
    return len(uses) == len(set(uses)) and not pointed(Executor(after.model, sites))


@final
@dataclass(frozen=True)
class PathJob:
    """The job: its items are chunks of samples.

    Attributes:
        before, after: The two cases, without statistics.
        source: Samples.
        metric: What is attributed.
        batch: Samples a run.
        finer: Batches to attribute again, by their first sample, and by which rule.
    """

    before: Case
    after: Case
    source: Source
    metric: Metric
    batch: int
    finer: Mapping[int, int] = field(default_factory=dict)

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.after.model)

    def open(self) -> Callable[[range], Attributed]:
        """Both networks, ready to run."""
        return _Walking(self).measure


@final
class _Walking:
    """Both simulations, and the executor that leads from one to the other."""

    def __init__(self, job: PathJob) -> None:
        self.job, self.cursor = job, job.source.cursor()
        self.executor = Executor(job.after.model, sites_of(job.before, job.after))
        self.simulations = Simulation(job.before), Simulation(job.after)
        value = Value(job.metric, job.after.output_energy, job.after.samples)
        self.errors = NetworkErrors(job.after, self.executor, value)

    def measure(self, chunk: range) -> Attributed:
        """All of a chunk."""
        self.errors.sums = Attributed()
        for part in self.cursor.batches(chunk, self.job.batch):
            if not self.job.finer or part.first in self.job.finer:
                self._one(part)
        return self.errors.sums

    def _one(self, part: Batch) -> None:
        (old, start), (new, end) = (each.run(part) for each in self.simulations)
        floats = observe(self.executor, part)
        keep = [i for i, f in enumerate(floats) if f.is_floating_point()]
        plain = [floats[i] for i in keep]
        first, last = ([torch.from_numpy(np.array(v[i])) for i in keep] for v in (old, new))
        if part.first in self.job.finer:
            rule = self.job.finer[part.first]
            self.errors.refine(part, end.since(start), plain, last, rule, first)
        else:
            self.errors.update(part, end.since(start), plain, last, first)


def attributed_change(
    cases: Sequence[Case], source: Source, metric: Metric, batch: int, pool: Pool, told: Progress
) -> Attributed:
    """What each site changes of the output error, by kind of error and channel.

    Args:
        cases: Before and after, with a path between them; see ``connected``.
        source: Samples that the cases have the energies of.
        metric: What is attributed.
        batch: Samples a run.
        pool: Who works.
        told: After each batch.
    """
    before, after = (replace(case, seen={}, origin=None) for case in cases)
    job, sums = PathJob(before, after, source, metric, batch), Attributed()
    folding, chunks = Folding(pool, told), source.chunks(batch, 1)
    folding.run("change", job, chunks, sums)
    for turn in count(1):
        if not (finer := sums.unsettled(CLOSURE / 2)):
            return sums
        again = [chunk for chunk in chunks if any(first in chunk for first in finer)]
        folding.run(f"change, refined {turn}", replace(job, finer=finer), again, sums)
    return sums
