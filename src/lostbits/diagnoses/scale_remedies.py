"""What can be done about a part that a shared scale leaves nothing of; each is measured by a run.

A remedy is another form of the same float network: with marks that placement reads, or with an
input that is divided first. What it does to the plan is confined to the tensors that it concerns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

import onnx_ir as ir

from lostbits.case import Case, Plan, look_at_constants
from lostbits.channels.input_scales import ScaledInput, scaled_inputs
from lostbits.data import Source
from lostbits.graph.place import Placed, place
from lostbits.graph.scale_marks import Scaling, scaling, with_marks
from lostbits.graph.site import Site
from lostbits.plan.dead_channels import DeadPart
from lostbits.plan.ranges import make_plan, with_biases
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.metrics import Baseline
from lostbits.workers.checkpoint import Folding
from lostbits.workers.pool import Pool
from lostbits.workers.progress import silent

SAMPLES = 4  # of a trial: decibels between a part that is dead and one that lives are many
_BATCH = 4


@final
@dataclass(frozen=True)
class Trial:
    """One remedy, and how the network does with it.

    Attributes:
        scaling: The remedy.
        before, after: Figures of the network.
    """

    scaling: Scaling
    before: Baseline
    after: Baseline

    @property
    def figures(self) -> tuple[Baseline, Baseline]:
        """Before and after."""
        return self.before, self.after

    @property
    def gain_db(self) -> float:
        """What the worst part of an output wins."""
        return worst_db(self.after) - worst_db(self.before)


def worst_db(found: Baseline) -> float:
    """SQNR of the worst part of an output; no error at all is the end of the scale."""
    worst = found.worst
    return 200.0 if worst is None or worst.sqnr_db is None else worst.sqnr_db


def remedies(case: Case, part: DeadPart) -> list[Scaling]:
    """What the target can do about a dead part, what costs least first."""
    rules, node = case.target.placement, _node(case.model, part.node)
    if node is None:
        scaled = any(each.tensor == part.tensor for each in inputs_of(case))
        return [Scaling.BEFORE] if scaled else []
    floats, concat = rules.mode != "tensors", node.op_type == "Concat"
    leaves = any(output is node.outputs[0] for output in case.model.graph.outputs)
    alone = leaves and not node.outputs[0].uses()
    possible = {
        Scaling.FLOAT: floats,
        Scaling.OWN: floats and concat and "Concat" in rules.shared_scale,
        Scaling.WIDE: case.target.wide_bits is not None,
        Scaling.SPLIT: not floats and concat and alone,
    }
    # Behind the last node nothing waits for integers; elsewhere the readers would be float too.
    order = [Scaling.FLOAT, Scaling.OWN, Scaling.WIDE, Scaling.SPLIT]
    order = order if alone else [*order[1:], order[0]]
    return [each for each in order if possible[each] and each is not scaling(node)]


def inputs_of(case: Case) -> list[ScaledInput]:
    """The inputs of a case whose channels can be scaled."""
    rows = {s.tensor: case.seen[s.key].channels for s in case.sites if s.key in case.seen}
    return scaled_inputs(case.model, rows)


def remedied(case: Case, part: DeadPart, how: Scaling) -> ir.Model:
    """The float network in the form that the remedy asks for."""
    if how is not Scaling.BEFORE:
        return with_marks(case.model, {part.node: how})
    model = case.model.clone()
    for each in inputs_of(case):
        if each.tensor == part.tensor:
            each.store(model)
    return model


def trial(
    case: Case,
    part: DeadPart,
    how: Scaling,
    source: Source,
    judge: Callable[[Case], Baseline],
    before: Baseline,
    pool: Pool,
) -> Trial:
    """A remedy, measured on the samples of ``judge``; ranges of what it moves are of ``source``."""
    after = judge(in_form(case, remedied(case, part, how), source, pool))
    return Trial(how, before, after)


def in_form(case: Case, model: ir.Model, source: Source, pool: Pool) -> Case:
    """The case with another form of its network, its plan kept where nothing moved."""
    placed = place(model, case.target)
    moved = _moved(case, model, placed)
    keys = {s.key for s in placed.sites}
    plan: Plan = {key: affine for key, affine in case.plan.items() if key in keys}
    streamed = [s for s in moved if s.streams]
    seen = look_at_constants(model, moved, case.saturations)
    if streamed:
        folding = Folding(pool, silent)
        counted = (streamed, source, _BATCH, folding, case.compared, case.saturations)
        seen |= calibrate(model, *counted)[0]
    made = make_plan(model, replace(placed, sites=tuple(moved)), seen, case.target)
    form = replace(case, model=model, placed=placed, seen={**case.seen, **seen}, origin=None)
    plan = with_biases(form, {**plan, **made}, made.keys())
    return replace(form, plan=plan)


def _moved(case: Case, model: ir.Model, placed: Placed) -> list[Site]:
    """Sites that are new, share their scale with others than before, or hold other constants.

    What was left in float stays so.
    """
    old, new = _mates(case.placed), _mates(placed)
    before = {s.key: s for s in case.placed.sites}
    constants = (case.model.graph.initializers, model.graph.initializers)
    found = []
    for site in placed.sites:
        known = before.get(site.key)
        if site.role == "bias" or (known is not None and site.key not in case.plan):
            continue
        same = known is not None and known.wide == site.wide
        if site.streams:
            same = same and old[known.group if known else ""] == new[site.group]
        else:
            first, second = (_constant(table, site.tensor) for table in constants)
            same = same and first is second
        if not same:
            found.append(site)
    return found


def _constant(table: Mapping[str, ir.Value], tensor: str) -> object:
    value = table.get(tensor)
    return None if value is None else value.const_value


def _mates(placed: Placed) -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {"": set()}
    for site in placed.sites:
        if site.streams:
            groups.setdefault(site.group, set()).add(site.tensor)
    return {name: frozenset(mates) for name, mates in groups.items()}


def _node(model: ir.Model, name: str) -> ir.Node | None:
    return next((node for node in model.graph if name and node.name == name), None)
