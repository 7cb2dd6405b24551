"""The error measured at each site, against ``split_error`` and plain definitions."""

from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray

from lostbits.case import Case, Seen
from lostbits.data import Batch
from lostbits.diagnoses.sites import SiteErrors, SiteFigures
from lostbits.graph.place import Placed
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid, affine_from_range, split_error
from lostbits.results.sites import SiteReport, Stability
from lostbits.runtime.compare_networks import compare, observe
from lostbits.runtime.executor import Executor
from lostbits.runtime.memory_layout import channels_last
from lostbits.runtime.simulation import Simulation
from lostbits.targets import target
from small_nets import built, cnn, mlp, samples

Floats = NDArray[np.float32]
SITE = Site("x", "activation", "", (), "x", axis=1)


def case_of(affine: Affine, count: int, seen: Seen | None = None) -> Case:
    """A case of one activation, whose values are made up."""
    model = ir.Model(ir.Graph([], [], nodes=[]), ir_version=10)
    known = {} if seen is None else {SITE.key: seen}
    placed = Placed((SITE,), {})
    return Case(model, target("snpe"), placed, known, {SITE.key: affine}, {}, count)


def measured(
    x: Floats, affine: Affine, cuts: Sequence[int] = (), seen: Seen | None = None
) -> SiteReport:
    """The report on ``x``, seen in batches that begin at ``cuts``."""
    errors = SiteErrors(case_of(affine, len(x), seen))
    for first, part in zip((0, *cuts), np.split(x, cuts), strict=True):
        batch = Batch(first, {"x": part}, len(part))
        errors.at_site(SITE, channels_last(torch.from_numpy(part)), batch)
    return SiteFigures(errors.case, errors.sums).reports()[0]


def seen_of(x: Floats) -> Seen:
    return Seen.of(x, 1)


def values(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).laplace(0.3, 1, shape).astype(np.float32)


def assert_is_plain(report: SiteReport, x: Floats, affine: Affine, rel: float = 1e-5) -> None:
    split = split_error(x, affine)
    assert report.mse_round == pytest.approx(split.round / x.size, rel=rel)
    assert report.mse_clip == pytest.approx(split.clip / x.size, rel=rel, abs=1e-12)
    assert report.mse_dead_zone == pytest.approx(split.dead_zone / x.size, rel=rel, abs=1e-12)
    assert report.mse == pytest.approx(split.total / x.size, rel=rel)
    assert report.mse == pytest.approx(report.mse_round + report.mse_clip, rel=1e-6)
    power = float((x.astype(np.float64) ** 2).sum())
    assert report.sqnr_db == pytest.approx(10 * np.log10(power / split.total), abs=1e-3)


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("ends", [(-9.0, 9.0), (-1.5, 2.0), (-60.0, 80.0), (0.0, 4.0)])
def test_one_range(bits: int, symmetric: bool, ends: tuple[float, float]) -> None:
    x = values(6, 5, 7, 3)
    affine = affine_from_range(*ends, Grid.of(bits, signed=symmetric), symmetric=symmetric)
    report = measured(x, affine)
    assert_is_plain(report, x, affine, rel=1e-3 if bits == 16 else 1e-5)
    assert (report.mse_clip > 0) == (x.min() < affine.lo or x.max() > affine.hi)


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("shape", [(6, 5, 7, 3), (6, 5, 4), (40, 5)])
def test_a_range_per_channel(bits: int, symmetric: bool, shape: tuple[int, ...]) -> None:
    x = values(*shape)
    spread = np.array([0.5, 1.0, 2.0, 4.0, 20.0])
    grid = Grid.of(bits, signed=symmetric)
    affine = affine_from_range(-spread, 2 * spread, grid, symmetric=symmetric, axis=1)
    assert_is_plain(measured(x, affine), x, affine, rel=1e-3 if bits == 16 else 1e-5)


def test_a_wide_range_buries_small_values() -> None:
    x = values(4, 3, 50) * np.float32(0.01)
    affine = affine_from_range(-20, 20, Grid.of(8, signed=True), symmetric=True)
    report = measured(x, affine)
    assert report.mse_dead_zone == pytest.approx(report.mse, rel=1e-6)
    assert_is_plain(report, x, affine)


def test_wide_grids_are_measured_in_float64() -> None:
    x = values(4, 3, 50)
    affine = affine_from_range(-8, 8, Grid.of(20, signed=True), symmetric=True)
    exact = np.rint(x.astype(np.float64) / affine.scale) * affine.scale.astype(np.float64)
    expected = float(((exact - x) ** 2).mean())
    assert measured(x, affine).mse == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("cuts", [(1,), (4,), (1, 2, 3, 4, 5, 6, 7), (3, 6)])
@pytest.mark.parametrize("axis", [None, 1])
def test_splitting_the_batches_changes_nothing(cuts: Sequence[int], axis: int | None) -> None:
    x = values(8, 3, 20, 20)
    top = np.full(3, 2.0) if axis else np.array(2.0)
    affine = affine_from_range(-top, top, Grid.of(8, signed=False), symmetric=False, axis=axis)
    one, many = measured(x, affine), measured(x, affine, cuts)
    for name in ("mse", "mse_round", "mse_clip", "mse_dead_zone", "sqnr_db"):
        assert getattr(many, name) == pytest.approx(getattr(one, name), rel=1e-6)
    assert one.stability is not None and many.stability is not None
    assert astuple(many.stability) == pytest.approx(astuple(one.stability), rel=1e-6)


@pytest.mark.parametrize("count", [2, 7, 10])
@pytest.mark.parametrize("cuts", [(), (1,)])
def test_stability_compares_the_halves(count: int, cuts: Sequence[int]) -> None:
    x = values(count, 3, 40) * np.linspace(0.2, 3, count, dtype=np.float32)[:, None, None]
    affine = affine_from_range(-2, 2, Grid.of(6, signed=True), symmetric=True)
    second = np.arange(count) >= count / 2
    halves = [split_error(part, affine).total / part.size for part in (x[~second], x[second])]
    stability = measured(x, affine, cuts).stability
    assert stability is not None
    assert stability.mse_first_half == pytest.approx(halves[0], rel=1e-5)
    assert stability.mse_second_half == pytest.approx(halves[1], rel=1e-5)
    assert stability.ratio == pytest.approx(min(halves) / max(halves), rel=1e-5)


def test_where_axis_0_is_no_sample_there_is_no_stability() -> None:
    x = values(3, 40)
    affine = affine_from_range(-2, 2, Grid.of(8, signed=True), symmetric=True)
    errors = SiteErrors(case_of(affine, 5))
    errors.at_site(SITE, torch.from_numpy(x), Batch(0, {}, 5))
    report = SiteFigures(errors.case, errors.sums).reports()[0]
    assert report.stability is None
    assert_is_plain(report, x, affine)


def test_zeros_have_no_error() -> None:
    x = np.zeros((4, 3, 5), np.float32)
    affine = affine_from_range(0, 0, Grid.of(8, signed=False), symmetric=False)
    report = measured(x, affine, (2,), seen_of(x))
    assert (report.mse, report.mse_dead_zone, report.sqnr_db) == (0, 0, None)
    assert report.lost_bits is None
    assert report.effective_bits == 8
    assert report.stability == Stability(0, 0, 1)
    assert report.utilisation is not None
    assert report.utilisation.codes_used == 1
    assert report.utilisation.entropy_bits == 0


def test_a_channel_of_zeros_disturbs_nobody() -> None:
    x = values(4, 3, 50)
    x[:, 1] = 0
    seen = seen_of(x)
    grid = Grid.of(8, signed=False)
    lo, hi = seen.channels.lo, seen.channels.hi
    for affine in (
        affine_from_range(lo.min(), hi.max(), grid, symmetric=False),
        affine_from_range(lo, hi, grid, symmetric=False, axis=1),
    ):
        report = measured(x, affine, seen=seen)
        assert_is_plain(report, x, affine)
        assert report.lost_bits is not None
        assert np.isfinite(report.lost_bits.total)
        assert report.trade_off is not None
        assert np.isfinite(report.trade_off.round).all()


def test_codes_in_use_are_counted() -> None:
    x = np.tile(np.array([0, 1, 2, 3], np.float32), (4, 3, 5))
    affine = Affine(Grid.of(4, signed=False), np.float32(1.0), np.int64(0))  # type: ignore[arg-type]
    used = measured(x, affine, seen=seen_of(x)).utilisation
    assert used is not None
    assert (used.codes_used, used.codes_total) == (4, 16)
    assert used.entropy_bits == pytest.approx(2)
    assert used.range_share == pytest.approx(3 / 15)
    assert used.headroom_bits == 0
    assert used.allocation_gain_db == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["snpe", "tensorrt", "onnxruntime"])
@pytest.mark.parametrize("net", [cnn, mlp])
def test_reports_of_a_network(name: str, net: type, tmp_path: Path) -> None:
    shape = (12, 3, 16, 16) if net is cnn else (150, 6)
    source, case = built(net(0), samples(0, *shape), target(name), tmp_path)
    executor, simulation = Executor(case.model, case.sites), Simulation(case)
    errors = SiteErrors(case)
    for part in source.batches(5):
        compare(executor, part, simulation.run(part)[1], [errors])
    reports = SiteFigures(case, errors.sums).reports()
    assert [f"{r.tensor}:{r.role}" for r in reports] == [s.key for s in case.sites]
    for r in reports:
        assert r.mse == pytest.approx(r.mse_round + r.mse_clip, rel=1e-6)
        assert 0 <= r.mse_dead_zone <= r.mse_round * (1 + 1e-6)
        if r.lost_bits is not None:
            assert r.effective_bits == r.bits - r.lost_bits.total
    first = next(r for r in reports if r.tensor == "x")
    inputs = np.concatenate([part.feeds["x"] for part in source.batches(5)])
    assert_is_plain(first, inputs, case.plan["x:activation"])


@pytest.mark.slow
def test_sites_are_told_the_same_without_the_quantized_network(tmp_path: Path) -> None:
    source, case = built(cnn(2), samples(2, 8, 3, 16, 16), target("snpe"), tmp_path)
    executor, part = Executor(case.model, case.sites), next(iter(source.batches(8)))
    part = replace(part, size=5)  # as if the last three samples only filled up a static batch
    beside, alone = SiteErrors(case), SiteErrors(case)
    expected = compare(executor, part, Simulation(case).run(part)[1], [beside])
    found = observe(executor, part, [alone])
    one, two = (SiteFigures(case, errors.sums).reports() for errors in (beside, alone))
    assert one == two
    for f, e in zip(found, expected, strict=True):
        assert torch.equal(f, e)
