"""From samples to a case: statistics of every tensor, and the plan that a target makes of them."""

from collections.abc import Sequence

import onnx_ir as ir

from lostbits.case import Case, look_at_constants, make_plan
from lostbits.data import Source
from lostbits.graph.place import Placed
from lostbits.override import Override
from lostbits.runtime.cache import Cache
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.checkpoint import NOWHERE, Checkpoint, Folding
from lostbits.runtime.pool import Pool
from lostbits.runtime.pools import InProcess
from lostbits.runtime.progress import Progress, silent
from lostbits.runtime.work import Work
from lostbits.target import Target


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
    """
    folding = Folding(
        pool or InProcess(), progress, _checkpoint(model, placed, source, batch, work)
    )
    seen, energy = calibrate(model, placed.sites, source, batch, folding)
    seen |= look_at_constants(model, placed.sites)
    plan = make_plan(model, placed, seen, target, overrides)
    return Case(model, target, placed, seen, plan, energy, len(source))


def _checkpoint(
    model: ir.Model, placed: Placed, source: Source, batch: int, work: Work | None
) -> Checkpoint:
    """Of all that decides what a calibration adds up."""
    if work is None:
        return NOWHERE
    sites = [(s.key, s.axis, s.group) for s in placed.sites if s.streams]
    return Checkpoint(Cache.of(work, source, f"calibration {batch} {sites}", model))
