"""The attribution of the network's error, against its definition, closed forms and its laws."""

import gc
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.network import Attributed, Gap, NetworkErrors, quadrature
from lostbits.diagnoses.permutation import Coalitions, PermutationErrors, walked_report
from lostbits.graph.queries import constant
from lostbits.grid import Affine
from lostbits.language import verbatim
from lostbits.runtime import path_gradients as slopes_module
from lostbits.runtime.executor import Executor
from lostbits.runtime.path_gradients import slopes
from lostbits.runtime.simulation import Simulation, replayed
from lostbits.targets import target
from small_nets import (
    Net,
    attributed,
    built,
    cnn,
    coarsened,
    linear,
    mlp,
    narrowed,
    report_of,
    samples,
    value_of,
)

SEEDS = range(5)


def whole(source: Source) -> Batch:
    return next(iter(source.batches(len(source))))


def by_site(errors: NetworkErrors) -> np.ndarray:
    table = {s.key: 0.0 for s in errors.case.sites}
    for a in report_of(errors).attributions:
        table[f"{a.tensor}:{a.role}"] += a.value
    return np.array(list(table.values()))


def shapley(case: Case, part: Batch) -> np.ndarray:
    """Exact values of the sites, by all coalitions of real quantizers."""
    count, coalitions, value = len(case.sites), Coalitions(case), value_of(case)
    floats = coalitions.outputs(part, np.zeros((count, 2), bool))
    table = np.empty(2**count)
    for mask in range(2**count):
        on = np.repeat(np.array([[mask >> i & 1] for i in range(count)], bool), 2, axis=1)
        table[mask] = float(value(floats, coalitions.outputs(part, on)))
    masks = np.arange(2**count)
    sizes = np.array([m.bit_count() for m in masks.tolist()])
    phi = np.empty(count)
    for i in range(count):
        without = masks[(masks >> i & 1) == 0]
        weight = [1 / (count * math.comb(count - 1, s)) for s in sizes[without]]
        phi[i] = np.array(weight) @ (table[without | 1 << i] - table[without])
    return phi


def agreement(case: Case, source: Source) -> float:
    exact = shapley(case, whole(source))
    return float(spearmanr(by_site(attributed(case, source, tolerance=0.005)), exact).statistic)


@pytest.mark.slow
def test_ranks_sites_as_exact_shapley_values_do_at_8_bits(tmp_path: Path) -> None:
    figures = []
    for seed in SEEDS:
        source, case = built(mlp(seed), samples(seed, 32, 6), target("snpe"), tmp_path)
        assert len(case.sites) <= 12
        figures.append(agreement(case, source))
    assert np.median(figures) >= 0.85, figures


@pytest.mark.slow
def test_ranks_sites_as_exact_shapley_values_do_at_3_bits(tmp_path: Path) -> None:
    figures = []
    for seed in SEEDS:
        source, case = built(mlp(seed), samples(seed, 32, 6), target("snpe"), tmp_path)
        figures.append(agreement(coarsened(case, 3), source))
    assert np.median(figures) >= 0.7, figures


# One large error interacts with all small ones, and there the two definitions differ: Shapley's
# values switch whole errors, the gradient grows all of them together. Seen here: medians of 0.67
# and 0.70 over the seeds, least 0.33; the fault itself came first every time.
@pytest.mark.slow
@pytest.mark.parametrize(("narrow", "coarse"), [(0.5, 1.0), (0.3, 8.0)])
def test_finds_planted_faults(narrow: float, coarse: float, tmp_path: Path) -> None:
    figures = []
    for seed in SEEDS:
        source, case = built(mlp(seed), samples(seed, 32, 6), target("snpe"), tmp_path)
        streaming = [s.key for s in case.sites if s.streams]
        broken = narrowed(narrowed(case, streaming[1], narrow), streaming[0], coarse)
        figures.append(agreement(broken, source))
        phi = by_site(attributed(broken, source))
        assert case.sites[int(phi.argmax())].key == streaming[1]
    assert np.median(figures) >= 0.6, figures


@pytest.mark.slow
def test_a_permutation_sums_to_the_total_exactly(tmp_path: Path) -> None:
    source, case = built(cnn(0), samples(0, 8, 3, 16, 16), target("snpe"), tmp_path)
    errors = PermutationErrors(case, value_of(case))
    for part in source.batches(4):
        errors.update(part)
    assert float(errors.sums.sums.sum()) == pytest.approx(errors.sums.total, rel=1e-9)
    report = walked_report(case, "nsr", errors.sums, len(errors.orders), verbatim(""))
    assert abs(report.residual) < 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_a_linear_network_has_the_closed_form(seed: int, tmp_path: Path) -> None:
    """With weights exact, ``phi_i = <J_i e_i, sum_j J_j e_j>`` over the energy of the output."""
    source, case = built(linear(seed), samples(seed, 16, 6), target("snpe"), tmp_path)
    streams = {s.key: case.plan[s.key] for s in case.sites if s.streams}
    case = replace(case, plan=streams)
    values = case.model.graph.initializers.values()
    first, second = (np.asarray(constant(v), np.float64) for v in values)
    _, frozen = Simulation(case).run(whole(source))
    jacobians = [first @ second, second, np.eye(4)]
    moved = [frozen.total[k].double().numpy() @ j for k, j in zip(streams, jacobians, strict=True)]
    energy = sum(case.output_energy.values())
    expected = [float((m * sum(moved)).sum()) / energy for m in moved]
    np.testing.assert_allclose(by_site(attributed(case, source)), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["snpe", "onnxruntime", "qnn-htp"])
@pytest.mark.parametrize("seed", SEEDS)
def test_attributions_close_on_the_measured_total(seed: int, name: str, tmp_path: Path) -> None:
    source, case = built(cnn(seed), samples(seed, 16, 3, 16, 16), target(name), tmp_path)
    report = report_of(attributed(case, source, batch=8))
    total = sum(a.value for a in report.attributions)
    assert report.residual == pytest.approx(total / report.total - 1, abs=1e-9)
    assert abs(report.residual) < 0.02


def test_replay_ends_where_onnx_runtime_does(tmp_path: Path) -> None:
    for name in ("snpe", "onnxruntime"):
        source, case = built(cnn(1), samples(1, 8, 3, 16, 16), target(name), tmp_path)
        part = whole(source)
        (expected,), frozen = Simulation(case).run(part)
        with torch.no_grad():
            (output,) = Executor(case.model, case.sites).run(part.feeds, replayed(frozen))
        error = ((output.numpy() - expected) ** 2).sum()
        assert error <= 1e-10 * (expected**2).sum()


def test_channels_sum_to_their_site(tmp_path: Path) -> None:
    source, case = built(cnn(2), samples(2, 8, 3, 16, 16), target("snpe"), tmp_path)
    errors = attributed(case, source)
    report, sites = report_of(errors), {s.key: s for s in case.sites}
    sums = dict(zip(sites, by_site(errors), strict=True))
    assert report.channels
    for key, channels in report.channels.items():
        scale = max(abs(v) for v in channels)
        assert sum(channels) == pytest.approx(sums[key], abs=1e-6 * scale * len(channels))


@pytest.mark.slow
def test_clip_and_round_add_up_to_the_site(tmp_path: Path) -> None:
    """A site's causes are parts of one inner product: they split it, whatever the rule."""
    source, case = built(cnn(3), samples(3, 8, 3, 16, 16), target("snpe"), tmp_path)
    narrow = narrowed(case, next(s.key for s in case.sites if s.streams and s.node), 0.3)
    errors = attributed(narrow, source)
    causes = {a.cause for a in report_of(errors).attributions}
    assert causes == {"clip", "round"}
    whole_sum = sum(float(v.sum()) for (_, kind), v in errors.sums.sums.items() if kind == "total")
    assert sum(by_site(errors)) == pytest.approx(whole_sum, rel=1e-9)
    top = report_of(errors).attributions[0]
    assert top.cause == "clip"


def test_a_site_that_its_grid_represents_exactly_gets_nothing(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, (16, 6)).astype(np.float32)
    data[0, :2] = 0, 255
    source, case = built(mlp(0), data, target("snpe"), tmp_path)
    errors = attributed(case, source)
    table = {a.tensor: a.value for a in report_of(errors).attributions}
    assert table["x"] == 0.0
    assert any(table.values())


@pytest.mark.slow
def test_a_refined_batch_is_as_if_the_finer_rule_had_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, case = built(cnn(7), samples(7, 8, 3, 16, 16), target("snpe"), tmp_path)
    at_once = attributed(case, source, batch=4, tolerance=1.0, rules=(3, 3))

    def coarse(sums: Attributed, *_: object) -> dict[int, int]:
        return {first: 3 for first, gap in sums.gaps.items() if gap.rule == 2}

    monkeypatch.setattr(Attributed, "unsettled", coarse)
    refined = attributed(case, source, batch=4, tolerance=1.0, rules=(2, 4))
    np.testing.assert_allclose(by_site(refined), by_site(at_once), rtol=1e-9, atol=1e-15)
    for first, gap in refined.sums.gaps.items():
        assert gap.value == pytest.approx(at_once.sums.gaps[first].value, abs=1e-12)


@pytest.mark.slow
def test_a_batch_that_is_far_off_is_refined_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself it may miss eight times what all may; until then the next rule is taken."""
    monkeypatch.setattr(Attributed, "unsettled", lambda *_: {})
    source, case = built(cnn(7), samples(7, 8, 3, 16, 16), target("snpe"), tmp_path)
    halves = [source.slice(first, first + 4) for first in (0, 4)]
    found = [attributed(case, half, tolerance=1.0) for half in halves]
    assert [errors.sums.gaps[0].rule for errors in found] == [1, 1]
    misses = [abs(errors.sums.gaps[0].value) / errors.sums.total for errors in found]
    assert misses[0] != misses[1]
    middle = sum(misses) / 2 / 8
    again = [attributed(case, half, tolerance=middle) for half in halves]
    for errors, miss in zip(again, misses, strict=True):
        gap = errors.sums.gaps[0]
        assert (gap.rule > 1) == (miss > 8 * middle)
        assert gap.rule == 4 or abs(gap.value) <= 8 * middle * errors.sums.total
        assert errors.sums.evaluations == 4 * np.count_nonzero(quadrature(gap.rule)[0])


def test_the_batches_that_are_off_most_are_refined_first() -> None:
    gaps = {0: 0.03, 4: -0.05, 8: 0.06, 12: 0.01}
    sums = Attributed(total=1.0, gaps={first: Gap(value, 2) for first, value in gaps.items()})
    assert sums.unsettled(0.02) == {8: 3}
    sums.gaps[8] = Gap(0.06, 4)
    assert sums.unsettled(0.02) == {0: 3}
    sums.gaps[4] = Gap(-0.09, 2)
    assert sums.unsettled(0.02) == {}


@pytest.mark.slow
def test_the_batch_size_does_not_matter(tmp_path: Path) -> None:
    source, case = built(cnn(4), samples(4, 12, 3, 16, 16), target("snpe"), tmp_path)
    options = {"rules": (3, 3)}
    one, three, all_of_them = (
        by_site(attributed(case, source, batch=b, **options)) for b in (1, 3, 12)
    )
    np.testing.assert_allclose(one, all_of_them, atol=0.02 * np.abs(all_of_them).sum())
    np.testing.assert_allclose(three, all_of_them, atol=0.02 * np.abs(all_of_them).sum())


@pytest.mark.parametrize("name", ["snpe", "onnxruntime"])
@pytest.mark.parametrize("plan_scale", [1.0, 0.5])
def test_slopes_of_grouped_weights_are_the_gradients_of_leaves(
    name: str, plan_scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, case = built(cnn(5), samples(5, 8, 3, 16, 16), target(name), tmp_path)
    for site in case.sites:
        if site.role == "weight":
            case = narrowed(case, site.key, plan_scale)
    executor, part = Executor(case.model, case.sites), whole(source)
    _, frozen = Simulation(case).run(part)

    def energy(outputs: list[torch.Tensor]) -> torch.Tensor:
        return outputs[0].square().sum()

    assert any(k.endswith(":weight") for k in slopes_module.grouped_parameters(executor))
    direct = slopes(executor, part.feeds, frozen, 0.7, energy)
    monkeypatch.setattr(slopes_module, "grouped_parameters", lambda _: set())
    leaves = slopes(executor, part.feeds, frozen, 0.7, energy)
    assert direct.keys() == leaves.keys()
    for key, expected in leaves.items():
        scale = max(float(np.abs(expected).max()), 1e-6)
        np.testing.assert_allclose(direct[key], expected, atol=2e-4 * scale)


@pytest.mark.parametrize("changed", [(), (3,), (0, 5, 6), range(8)])
def test_slopes_of_a_weight_whose_error_is_in_some_groups(
    changed: Sequence[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four groups of four channels in and two out each; the error is put in by hand."""
    net = Net(8)
    model = net.model([16, 6, 6], net.conv("x", (8, 16, 3), group=4), rank=4)
    source, case = built(model, samples(8, 4, 16, 6, 6), target("qnn-htp"), tmp_path)
    executor, part = Executor(case.model, case.sites), whole(source)
    _, frozen = Simulation(case).run(part)
    (weight,) = (s for s in case.sites if s.role == "weight")
    error = torch.zeros_like(frozen.total[weight.key])
    error[list(changed)] = torch.randn(error[list(changed)].shape)
    frozen.total[weight.key] = error

    def energy(outputs: list[torch.Tensor]) -> torch.Tensor:
        return outputs[0].square().sum()

    found = slopes(executor, part.feeds, frozen, 0.7, energy)[weight.key, "total"]
    monkeypatch.setattr(slopes_module, "grouped_parameters", lambda _: set())
    expected = slopes(executor, part.feeds, frozen, 0.7, energy)[weight.key, "total"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert set(np.flatnonzero(found)) == set(changed)


def test_a_grouped_weight_needs_no_gradient_before_it(tmp_path: Path) -> None:
    """The only site is the weight of a depthwise convolution: its output becomes the leaf."""
    source, case = built(cnn(6), samples(6, 8, 3, 16, 16), target("snpe"), tmp_path)
    grouped = slopes_module.grouped_parameters(Executor(case.model, case.sites))
    only: dict[str, Affine] = {k: a for k, a in case.plan.items() if k in grouped}
    lone = replace(case, plan=only)
    report = report_of(attributed(lone, source))
    assert {a.tensor for a in report.attributions} == {k.split(":")[0] for k in only}
    assert abs(report.residual) < 0.02


@pytest.mark.parametrize(("rule", "degree"), [(1, 4), (2, 8), (3, 7), (4, 7)])
def test_a_rule_is_exact_up_to_its_degree(rule: int, degree: int) -> None:
    nodes, weights = quadrature(rule)
    for d in range(degree + 1):
        assert float(weights @ nodes**d) == pytest.approx(1 / (d + 1), abs=1e-10)


@pytest.mark.parametrize("rule", [2, 3, 4])
def test_a_rule_holds_the_nodes_of_the_one_before(rule: int) -> None:
    coarse, fine = quadrature(rule - 1)[0], quadrature(rule)[0]
    assert set(coarse) < set(fine)
    assert (fine.min(), fine.max() <= 1) == (0, True)
    assert quadrature(rule)[1].min() > 0


@pytest.mark.slow
def test_a_pass_leaves_no_tensors_behind(tmp_path: Path) -> None:
    """Memory must not grow with the number of batches, nor wait for the garbage collector."""
    source, case = built(cnn(3), samples(4, 8, 3, 16, 16), target("snpe"), tmp_path)
    part = next(iter(source.batches(8)))
    _, frozen = Simulation(case).run(part)
    executor = Executor(case.model, case.attributed_sites)

    def total(outputs: list[torch.Tensor]) -> torch.Tensor:
        return outputs[0].double().square().sum()

    def alive() -> int:
        return sum(type(o) is torch.Tensor for o in gc.get_objects())

    gc.disable()
    try:
        slopes(executor, part.feeds, frozen, 0.5, total)
        before = alive()
        for _ in range(3):
            slopes(executor, part.feeds, frozen, 0.5, total)
        assert alive() == before
    finally:
        gc.enable()
