"""A broken network taken apart by steps: what must be repaired first, and what is left then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from lostbits.case import Case
from lostbits.command_lines import trying
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.orders import best_order
from lostbits.diagnoses.own_effects import RANKED
from lostbits.diagnoses.restore import (
    FALLEN_DB,
    SAMPLES,
    Restored,
    in_float,
    repaired,
    restore_curve,
)
from lostbits.graph.site import Site
from lostbits.language import Message, say
from lostbits.results.diagnosis import Finding, NetworkReport
from lostbits.results.restore import Repair, RestoreCurve
from lostbits.results.sites import SiteReport
from lostbits.runtime.held_out_figures import Judge
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress

_NAMED = 3  # sites of a repair that the sentence names


@final
@dataclass(frozen=True)
class Steps:
    """What measured runs with sites in float have shown.

    Attributes:
        network: The attribution of what is left once the repair is made; None where none was.
        repair: What must be repaired first; None where the network stands as it came.
        restore: The curve; None where it was not measured.
        bounded: Whether the memory was bounded, so that nothing was measured.
    """

    network: NetworkReport | None = None
    repair: Repair | None = None
    restore: RestoreCurve | None = None
    bounded: bool = False


WHOLE = Steps()


def taken_apart(run: Run, pool: Pool, progress: Progress) -> Steps:
    """Repair a network that has fallen, attribute what is left, and measure the restore curve.

    The runs take a few samples, and hold a network of their own each: where the memory is bounded
    none is made.
    """
    if run.interrupted or not run.network().total or not run.case.sites:
        return WHOLE
    if run.settings.resources.memory is not None:
        return Steps(bounded=True)
    few = run.source.slice(0, min(SAMPLES, len(run.source)))
    labels = None if run.labels is None else run.labels[: len(few)]
    judge = Judge(run.case.model, few, labels, pool, compared=run.case.compared)
    restored = Restored(run.case, judge)
    some = run.source.slice(0, min(RANKED, len(run.source)))
    order = best_order(restored, run.network(), some, run.batch)
    repair = None if _fallen_by_kernels(restored) else repaired(restored, order)
    if repair is None:
        return Steps(restore=restore_curve(restored, order))
    first = dict.fromkeys([*repair.sites, *order])
    curve = restore_curve(restored, list(first))
    return Steps(_rest(run, repair, pool, progress), repair, curve)


def _fallen_by_kernels(restored: Restored) -> bool:
    """Whether a network has fallen that stands with ideal sums: then no site is to be repaired."""
    case = restored.case
    if case.target.arithmetic is None or restored.decibels(()) >= FALLEN_DB:
        return False
    ideal = replace(case, target=replace(case.target, arithmetic=None))
    return Restored(ideal, restored.judge).decibels(()) >= FALLEN_DB


def _rest(run: Run, repair: Repair, pool: Pool, progress: Progress) -> NetworkReport:
    """The attribution of the network that stands, over all samples."""
    case = in_float(run.case, repair.sites)
    again = Run(case, run.source, run.settings, run.labels, run.tolerance)

    def told(stage: str, done: int, total: int) -> None:
        progress(f"repaired: {stage}", done, total)

    again.diagnose(told, pool)
    return again.network()


def repair_finding(
    case: Case, sites: Sequence[SiteReport], repair: Repair, command: str
) -> Finding:
    """One finding of all sites that must be repaired first, whose command sets them to float."""
    places = {s.key: s for s in case.attributed_sites}
    chosen = [places[key] for key in repair.sites]
    first = chosen[0]
    report = next((s for s in sites if s.key == first.key), None)
    clipped = report is not None and report.mse_clip > report.mse_round
    gain = max((repair.after_db or 0.0) - (repair.before_db or 0.0), 0.0)
    return Finding(
        code="F011",
        tensor=first.tensor,
        role=first.role,
        node=first.node,
        cause="clip" if clipped else "round",
        reason="collapse",
        share=1 - 10 ** (-gain / 10),
        bits=0.0,
        gain_db=gain,
        remedy=say("remedy.collapse"),
        command=trying(command, _in_float(chosen)),
        text=_collapse(repair, chosen, len(places)),
    )


def _in_float(chosen: Sequence[Site]) -> list[str]:
    """Wishes that set these sites to float."""
    return list(dict.fromkeys(f"{site.tensor}=float" for site in chosen))


def _collapse(repair: Repair, chosen: Sequence[Site], every: int) -> Message:
    return say(
        "finding.collapse",
        count=str(len(chosen)),
        all=str(every),
        names=", ".join(site.tensor for site in chosen[:_NAMED]),
        before=_db(repair.before_db),
        after=_db(repair.after_db),
        samples=str(repair.samples),
    )


def _db(value: float | None) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.1f}"


def step_notes(steps: Steps) -> list[Message]:
    """What a reader of the shares must know."""
    if steps.bounded:
        return [say("note.restore_bounded")]
    if steps.repair is None:
        return []
    told = {"count": str(len(steps.repair.sites)), "runs": str(steps.repair.runs)}
    return [say("note.repaired", after=_db(steps.repair.after_db), **told)]
