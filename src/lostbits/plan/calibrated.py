"""From samples to a case: statistics of every tensor, and the plan that a target makes of them."""

from collections.abc import Sequence

import onnx_ir as ir

from lostbits.case import Case, look_at_constants
from lostbits.data import Source
from lostbits.graph.compared_outputs import compared_outputs
from lostbits.graph.outputs import Compared
from lostbits.graph.place import Placed
from lostbits.plan.ranges import make_plan
from lostbits.plan.tensor_settings import Override
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.saturating import measured_saturations
from lostbits.target import Target
from lostbits.workers.cache import Cache
from lostbits.workers.checkpoint import NOWHERE, Checkpoint, Folding
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import Progress, silent
from lostbits.workers.work_folder import Work


def calibrated(  # noqa: PLR0913 - options are keywords
    model: ir.Model,
    placed: Placed,
    target: Target,
    source: Source,
    *,
    batch: int,
    overrides: Sequence[Override] = (),
    work: Work | None = None,
    progress: Progress = silent,
    pool: Pool | None = None,
    compared: tuple[Compared, ...] | None = None,
) -> Case:
    """The case of a float network, planned by the target's own rules.

    Args:
        model: Normalised.
        placed: Its sites.
        target: Whose rules.
        source: Samples that set the ranges.
        batch: Samples a run.
        overrides: Wishes for single tensors.
        work: Where sums are kept as they grow; None keeps none.
        progress: Told after every batch.
        pool: Who works; default, this process alone.
        compared: What of the network is compared; default, what its graph shows.
    """
    compared = compared_outputs(model.graph) if compared is None else compared
    checkpoint = _checkpoint(model, placed, source, batch, work, compared)
    folding = Folding(pool or InProcess(), progress, checkpoint)
    ends = measured_saturations(model, source, batch, folding)
    seen, energy = calibrate(model, placed.sites, source, batch, folding, compared, ends)
    seen |= look_at_constants(model, placed.sites, ends)
    plan = make_plan(model, placed, seen, target, overrides)
    count = len(source)
    return Case(
        model, target, placed, seen, plan, energy, count, compared=compared, saturations=ends
    )


def _checkpoint(
    model: ir.Model,
    placed: Placed,
    source: Source,
    batch: int,
    work: Work | None,
    compared: tuple[Compared, ...],
) -> Checkpoint:
    """Of all that decides what a calibration adds up."""
    if work is None:
        return NOWHERE
    sites = [(s.key, s.axis, s.group) for s in placed.sites if s.streams]
    masks = [(each.name, each.mask) for each in compared]
    return Checkpoint(Cache.of(work, source, f"calibration {batch} {sites} {masks}", model))
