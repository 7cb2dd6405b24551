"""The planning of ranges: from what was seen, by the target's rules and the user's wishes."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case, Plan, Seen, constant_of
from lostbits.errors import DataError, TargetError, close_match
from lostbits.estimator import Estimator
from lostbits.estimators import estimator
from lostbits.graph.place import Placed
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid
from lostbits.plan.bias_scale import (
    ACCUMULATOR_BITS,
    bias_affine,
    least_weight_scale,
    powers_of_two,
)
from lostbits.plan.fitting import of_channels, of_whole, together
from lostbits.plan.tensor_settings import Override
from lostbits.statistics import Histogram
from lostbits.target import Rule, Target


def make_plan(
    model: ir.Model,
    placed: Placed,
    seen: Mapping[str, Seen],
    target: Target,
    overrides: Sequence[Override] = (),
) -> dict[str, Affine]:
    """Parameters of every site by the target's own rules, but for the overrides."""
    wishes = {o.tensor: o for o in overrides if o.scaling is None}  # those are in the graph
    _check_names(wishes, placed)
    plan: dict[str, Affine] = {}
    floats = {t for t, wish in wishes.items() if wish.as_float}
    made: dict[Hashable, Affine] = {}  # once a group, which may have thousands of members
    for site in placed.sites:
        if site.role == "bias" or site.tensor in floats:
            continue
        if site.role == "weight" and site.key not in seen:  # infinities that no Softmax bounds
            continue
        wish = _wish(site, placed, wishes)
        rule = _wished(site, target, wish)
        alone = not site.streams or _by_channel(site, rule, wish)
        key = site.key if alone else site.group, rule, wish
        if key not in made:
            made[key] = _affine(site, rule, seen, placed, wish)
        plan[site.key] = made[key]
    plan = {**plan, **widened(model, placed, plan, target)}
    biases = plan_biases(model, placed, plan, target)
    return plan | {k: a for k, a in biases.items() if k.removesuffix(":bias") not in floats}


@final
@dataclass(frozen=True)
class Unfit:
    """A tensor that got min-max, because the method of its rule needs more values.

    Attributes:
        tensor: Which.
        method: Name of the method.
        least: Values that it needs.
        size: Values that there are, those of tensors with the same parameters included; of the
            poorest channel where each has parameters of its own, and alone got min-max.
    """

    tensor: str
    method: str
    least: int
    size: int


def unfit(case: Case, overrides: Sequence[Override] = ()) -> list[Unfit]:
    """The tensors whose values were too few for the target's own method, as ``make_plan`` saw."""
    found, wishes = [], {o.tensor: o for o in overrides if o.scaling is None}
    for site in case.placed.sites:
        wish = _wish(site, case.placed, wishes)
        rule = _wished(site, case.target, wish)
        least = estimator(rule.method).minimum_values
        if site.role == "bias" or site.key not in case.plan or least <= 1:
            continue
        by_channel = _by_channel(site, rule, wish)
        size = _fewest(_rows(site, case.seen, case.placed, by_channel=by_channel))
        if size < least:
            found.append(Unfit(site.tensor, rule.method_name, least, size))
    return found


def _fewest(rows: Histogram) -> int:
    """Values of the poorest row."""
    return int(rows.counts.sum(axis=1).min())


def _wish(site: Site, placed: Placed, wishes: Mapping[str, Override]) -> Override | None:
    if not wishes:
        return None
    return next((wishes[t] for t in _members(site, placed) if t in wishes), None)


def _wished(site: Site, target: Target, wish: Override | None) -> Rule:
    rule = rule_of(site, target)
    return wish.apply(rule) if wish else rule


def replanned(case: Case, sites: Sequence[Site], wish: Override) -> Plan:
    """The plan of these sites alone under the wish; a site in float has no entry."""
    if sites[0].role == "bias":
        return {}
    placed = replace(case.placed, sites=tuple(sites))
    return make_plan(case.model, placed, case.seen, case.target, [wish])


def refitted(case: Case, site: Site, method: str | Estimator) -> Affine:
    """The grid that a site has, laid anew over what calibration saw.

    Other than ``replanned`` it keeps width, symmetry and granularity, which may be those of
    somebody else's file instead of the target's.
    """
    own = case.plan[site.key]
    middle = 0 if own.grid.signed else (own.grid.qmin + own.grid.qmax + 1) // 2
    symmetric, channels = bool((own.zero_point == middle).all()), own.axis is not None
    rule = Rule(own.grid, symmetric, channels, method, False, 0.0)
    wish = Override(site.tensor, per_channel=channels)
    return _affine(site, rule, case.seen, case.placed, wish)


def with_biases(case: Case, plan: Plan, changed: Collection[str]) -> Plan:
    """``plan``, where biases follow the inputs and weights whose keys are ``changed``."""
    sites = case.placed.sites
    groups = {s.group for s in sites if s.streams and s.key in changed}
    biases = plan_biases(case.model, case.placed, plan, case.target)
    moved = {
        s.key
        for s in sites
        if s.scales is not None and (s.scales[0] in groups or s.scales[1] in changed)
    }
    return {**plan, **{key: biases[key] for key in moved & set(plan) & set(biases)}}


def plan_biases(model: ir.Model, placed: Placed, plan: Plan, target: Target) -> dict[str, Affine]:
    """Parameters of the biases, which follow from those of the inputs and the weights."""
    groups = {s.group: plan[s.key] for s in placed.sites if s.streams and s.key in plan}
    found = {}
    for site in placed.sites:
        if site.role == "bias" and site.scales is not None:
            x, w = groups.get(site.scales[0]), plan.get(site.scales[1])
            if x is not None and w is not None:
                size = constant_of(model, site).size
                found[site.key] = bias_affine(x, w, size, target.bias_bits or 32)
    return found


def widened(
    model: ir.Model,
    placed: Placed,
    plan: Plan,
    target: Target,
    written: Mapping[str, NDArray[np.float32]] | None = None,
) -> dict[str, Affine]:
    """Weights whose scales must grow for the accumulator to hold bias and products in 32 bits.

    A channel of all but dead weights has so small a scale that its bias, in units of ``s_x * s_w``,
    takes all bits, and what kernels add to it turns the sign. Its weights can spare the accuracy.
    """
    found = {}
    for key, least in least_scales(model, placed, plan, target, written or {}).items():
        if (least > plan[key].scale).any():
            found[key] = replace(plan[key], scale=np.maximum(plan[key].scale, least))
    return found


def least_scales(
    model: ir.Model,
    placed: Placed,
    plan: Plan,
    target: Target,
    written: Mapping[str, NDArray[np.float32]],
) -> dict[str, NDArray[np.float32]]:
    """By the keys of weights, the least scales at which biases of 32 bits leave room for products.

    A target whose biases are floats needs none. ``written`` are biases other than the model's.
    """
    if target.bias_bits != ACCUMULATOR_BITS:
        return {}
    sites = {s.key: s for s in placed.sites}
    groups = {s.group: plan[s.key] for s in placed.sites if s.streams and s.key in plan}
    found = {}
    for site in placed.sites:
        if site.scales is not None and site.scales[0] in groups and site.scales[1] in plan:
            x, weight = groups[site.scales[0]], sites[site.scales[1]]
            bias = np.abs(written.get(site.tensor, constant_of(model, site)))
            size = constant_of(model, weight).size
            bits = target.accumulator_bits
            least = least_weight_scale(x, plan[weight.key], bias, size, bits)
            found[weight.key] = powers_of_two(least) if target.weights.power_of_two else least
    return found


def rule_of(site: Site, target: Target) -> Rule:
    """The target's rule for a site; constant operands of pointwise ops follow activations."""
    if site.role == "weight" and site.axis is not None:
        return target.weights
    rule = target.activations
    if site.wide and target.wide_bits is not None:
        rule = replace(rule, grid=Grid.of(target.wide_bits, signed=rule.grid.signed))
    if site.role != "weight":
        return rule
    return Rule(rule.grid, rule.symmetric, False, "min_max", rule.power_of_two, rule.minimum_range)


def _check_names(wishes: Mapping[str, Override], placed: Placed) -> None:
    known = {s.tensor for s in placed.sites}
    corrected = {s.tensor for s in placed.float_biases}
    for tensor, wish in wishes.items():
        if tensor not in known and not (wish.as_float and tensor in corrected):
            raise TargetError(
                "T005",
                f"--set {tensor}",
                str(placed.left_in_float.get(tensor, "no such tensor")),
                advice=close_match(tensor, known),
            )


def _members(site: Site, placed: Placed) -> list[str]:
    """Tensors that share the site's parameters, itself first."""
    if not site.streams:
        return [site.tensor]
    return [site.tensor, *(s.tensor for s in placed.groups.get(site.group, ()))]


def _affine(
    site: Site, rule: Rule, seen: Mapping[str, Seen], placed: Placed, wish: Override | None
) -> Affine:
    method, by_channel = estimator(rule.method), _by_channel(site, rule, wish)
    rows = _rows(site, seen, placed, by_channel=by_channel)
    enough = _fewest(rows) >= method.minimum_values
    if not enough and wish is not None and wish.method is not None:
        raise _too_few(site, method, _fewest(rows))
    if by_channel:
        return of_channels(rows, method, rule, site.axis)
    return of_whole(rows, method if enough else estimator("min_max"), rule)


def _by_channel(site: Site, rule: Rule, wish: Override | None) -> bool:
    wanted = site.per_channel or (wish is not None and wish.per_channel)
    return rule.per_channel and wanted and site.axis is not None


def _rows(site: Site, seen: Mapping[str, Seen], placed: Placed, *, by_channel: bool) -> Histogram:
    """Values of the site's channels, or of the site and all that share its parameters."""
    if by_channel:
        return seen[site.key].channels
    mates = placed.groups.get(site.group, (site,)) if site.streams else (site,)
    return reduce(together, (seen[s.key].whole for s in mates))


def _too_few(site: Site, method: Estimator, found: int) -> DataError:
    """For a method that was asked for; ``unfit`` tells of others, which give way to min-max."""
    return DataError(
        "D030",
        f"tensor {site.tensor!r}",
        f"{found}",
        method=method.name,
        least=method.minimum_values,
    )
