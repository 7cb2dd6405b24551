"""Recoveries and the planner on small networks, against plain definitions and held-out samples."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lostbits.attempts.bench import Bench, site_changes
from lostbits.case import Case, constant_of
from lostbits.data import Source
from lostbits.diagnoses.settings import Settings
from lostbits.errors import DataError, MemberError, RecoveryError
from lostbits.graph.halves import half_quantized
from lostbits.grid import Grid
from lostbits.language import say, verbatim
from lostbits.plan.tensor_settings import Override
from lostbits.recoveries import ALL
from lostbits.recoveries.adaround import AdaRound, problem
from lostbits.recoveries.bias_correction import BiasCorrection
from lostbits.recoveries.precision import Precision, fewest
from lostbits.recoveries.ranges import Ranges
from lostbits.recoveries.second_order import SecondOrder
from lostbits.recovery import Diagnosed, Effort, Rewriting, Sweeping, applied
from lostbits.results.diagnosis import Attribution, NetworkReport
from lostbits.rounding import Rounded, RoundedWeight, confirmed
from lostbits.rounding.layer_tasks import parts
from lostbits.runtime.goal import Goal
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from lostbits.sweep.layer import Layer
from lostbits.sweep.layers import OpenJob, sweep
from lostbits.verbs.choice import choose
from lostbits.workers.pools import Processes
from lostbits.workers.work_folder import Work
from runs import divided
from small_nets import change_by, cnn, coarse_weights, coarsened, linear, make, mlp, samples


class Listens:
    """A solver that leaves every layer as it is, and says which it has met."""

    whole = True
    apart = False

    def __init__(self, met: Callable[[Layer], None]) -> None:
        self.look = met

    def solve(self, layer: Layer, found: Sequence[None], job: OpenJob) -> None:
        pass


def outputs(model: ir.Model, source: Source) -> np.ndarray[Any, Any]:
    session = Session(model, optimise=False)
    return np.concatenate([next(iter(session.run(p.feeds).values())) for p in source.batches(8)])


def test_bias_correction_takes_the_mean_error_of_every_output_to_zero(
    small: tuple[Source, Case],
) -> None:
    source, case = small
    wide = coarsened(case, 4)
    change = change_by(BiasCorrection(), wide, source)
    floats = outputs(case.model, source)
    before = (outputs(quantized_model(wide), source) - floats).mean(0)
    after = (outputs(quantized_model(applied(wide, change)), source) - floats).mean(0)
    step = max(float(a.scale.max()) for k, a in wide.plan.items() if k.endswith(":output"))
    assert np.abs(before).max() > 2 * np.abs(after).max()
    assert np.abs(after).max() < step  # the output's own grid comes after the last bias


@pytest.mark.slow
def test_second_order_rounding_leaves_weights_on_their_grids(small: tuple[Source, Case]) -> None:
    source, case = small
    case = coarse_weights(case)
    written = change_by(SecondOrder(), case, source).written
    weights = [s for s in case.sites if s.role == "weight"]
    for site in weights:
        value = written[site.tensor]
        assert np.array_equal(case.plan[site.key].fake_quantize(value), value)
    assert any(
        not np.array_equal(
            written[s.tensor], case.plan[s.key].fake_quantize(constant_of(case.model, s))
        )
        for s in weights
    )


@pytest.mark.slow
def test_second_order_rounding_beats_nearest_on_unseen_samples(tmp_path: Path) -> None:
    source, case = make(tmp_path, cnn(3), samples(4, 64, 3, 16, 16))
    work, judges = divided(source)
    case = coarse_weights(case)
    judge = Judge(case.model, judges)
    before = judge(case).sqnr_db
    change = change_by(SecondOrder(), case, work)
    after = judge(applied(case, change)).sqnr_db
    assert before is not None and after is not None
    assert after > before + 1  # inputs are white, so that there is little to win


@pytest.mark.parametrize("name", ["snpe", "tensorrt"])
def test_recovered_constants_reach_the_model_that_is_exported(tmp_path: Path, name: str) -> None:
    source, case = make(tmp_path, mlp(1), samples(2, 32, 6), name)
    change = change_by(SecondOrder(), case, source)
    after = applied(case, change)
    executed = outputs(quantized_model(after), source)
    x = torch.from_numpy(np.concatenate([p.feeds["x"] for p in source.batches(8)]))
    by_hand = _by_hand(after, x)
    # A code may flip where two float32 sums differ in the last bit; one step of the output then.
    assert np.abs(executed - by_hand).max() <= 1.01 * _largest_step(after)
    assert np.median(np.abs(executed - by_hand)) < 1e-5


def _largest_step(case: Case) -> float:
    return max(float(a.scale.max()) for k, a in case.plan.items() if not k.endswith(":weight"))


def _by_hand(case: Case, x: torch.Tensor) -> np.ndarray[Any, Any]:
    """The quantized MLP in plain numpy."""
    value = x.numpy()
    names = {s.tensor: s for s in (*case.placed.sites, *case.placed.float_biases)}

    def seen(tensor: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        site = names.get(tensor)
        affine = None if site is None else case.plan.get(site.key)
        return array if affine is None else affine.fake_quantize(array)

    value = seen("x", value)
    for node in case.model.graph:
        if node.op_type == "Relu":
            value = seen(node.outputs[0].name or "", np.maximum(value, 0))
            continue
        weight, bias = (
            case.quantized_constant(names[v.name or ""]) for v in node.inputs[1:3] if v is not None
        )
        value = seen(node.outputs[0].name or "", (value @ weight.T + bias).astype(np.float32))
    return value


@pytest.mark.parametrize("net", [cnn, linear])
def test_layers_without_activation_are_learned_at_all_positions_at_once(
    tmp_path: Path, net: Any
) -> None:
    shape = (24, 3, 16, 16) if net is cnn else (24, 6)
    source, case = make(tmp_path, net(3), samples(4, *shape))
    rng, met = np.random.default_rng(0), []

    def check(layer: Layer) -> None:
        if layer.activation is not None:
            return
        ((root, target),), forward = problem(layer)
        gaps = []
        for _ in range(3):
            change = 0.1 * np.abs(layer.values).max() * rng.standard_normal(layer.values.shape)
            w = torch.from_numpy((layer.values + change).astype(np.float32))
            quick = float((forward(root, w) - target).square().sum())
            whole = 0.0
            for x, z in zip(layer.inputs, layer.quantized_inputs, strict=True):
                wanted = layer.activated(x, torch.from_numpy(layer.values))
                whole += float((layer.activated(z, w) - wanted).double().square().sum())
            gaps.append(whole - quick)
        assert np.ptp(gaps) < 1e-4 * whole and abs(gaps[0]) < 0.05 * whole
        met.append(layer.step.operator.op_type)

    sweep(case, source, Listens(check))
    assert met


@pytest.mark.slow
@pytest.mark.parametrize("few", [False, True])
def test_convolutions_with_activation_are_learned_at_positions_of_their_own_output(
    small: tuple[Source, Case], monkeypatch: pytest.MonkeyPatch, few: bool
) -> None:
    source, case = small
    met = []
    if few:
        monkeypatch.setattr("lostbits.sweep.layer_as_matrix._LEAST", 64)
        monkeypatch.setattr("lostbits.sweep.layer_as_matrix._EACH", 1)

    def check(layer: Layer) -> None:
        if layer.activation is None or layer.step.operator.op_type != "Conv":
            return
        batches, forward = problem(layer, positions=16 if few else 512)
        weight = torch.from_numpy(layer.values)
        half = 0.5 * weight
        for data, used, found in (
            (layer.inputs, weight, [wanted for _, wanted in batches]),
            (layer.quantized_inputs, half, [forward(z, half) for z, _ in batches]),
        ):
            wanted = torch.cat([_positions(layer.activated(x, used)) for x in data])
            drawn = torch.cat([_positions(y) for y in found])
            assert (64 <= len(drawn) < len(wanted)) if few else len(drawn) == len(wanted)
            gaps = torch.cdist(drawn, wanted, compute_mode="donot_use_mm_for_euclid_dist")
            assert float(gaps.amin(dim=1).max()) < 1e-4 * float(wanted.abs().max())
        met.append(len(batches))

    sweep(case, source, Listens(check))
    assert met and (not few or min(met) > 1)


def _positions(y: torch.Tensor) -> torch.Tensor:
    """A row of channels for every position."""
    return y.movedim(1, -1).flatten(0, -2)


def test_codes_that_do_worse_on_all_the_data_are_not_kept(small: tuple[Source, Case]) -> None:
    source, case = small
    met = []

    def check(layer: Layer) -> None:
        weight = RoundedWeight(layer.values, layer.affine)
        exact = [(x, layer.activated(x, torch.from_numpy(layer.values))) for x in layer.inputs]
        bad = Rounded({"weight": weight.nearest + 3}, 1.0, 0.5, 1, 1.0)
        found = confirmed(weight, bad, exact, layer.activated)
        np.testing.assert_array_equal(found.codes["weight"], weight.nearest)
        assert found.loss_after == found.loss_before > 0
        met.append(found)

    sweep(case, source, Listens(check))
    assert met


def test_the_sweep_meets_every_layer_once_and_with_quantized_inputs(
    small: tuple[Source, Case],
) -> None:
    source, case = small
    met: list[Layer] = []
    sweep(case, source, Listens(met.append), correct_biases=False)
    weights = [s.tensor for s in case.sites if s.role == "weight"]
    assert [layer.weight.tensor for layer in met] == weights
    for layer in met:
        affine = next(
            a for k, a in case.plan.items() if k.endswith(":activation") and a.axis is None
        )
        assert layer.quantized_inputs[0].shape == layer.inputs[0].shape
        assert not torch.equal(layer.quantized_inputs[0], layer.inputs[0])
        assert affine.grid.bits == 8


@pytest.mark.slow
@given(
    residual=st.floats(-0.05, 0.05),
    shares=st.lists(st.floats(0.01, 1), min_size=2, max_size=5),
    ratio=st.floats(0.001, 1),
)
def test_a_gain_is_that_of_what_is_attributed_but_what_is_not_stays(
    residual: float, shares: list[float], ratio: float
) -> None:
    """Against the measured total, two percent too much would leave nothing of an error."""
    whole, (first, *rest) = sum(shares), shares
    parts = [
        Attribution(f"w{i}", "weight", "round", 0.0, (1 + residual) * share / whole)
        for i, share in enumerate(shares)
    ]
    clip = Attribution("w0", "activation", "clip", 0.0, -0.1)
    network = NetworkReport(
        "aumann-shapley", "nsr", 1.0, residual, 1.0, [*parts, clip], {}, verbatim("")
    )
    stays = (first * ratio + sum(rest)) / whole
    if residual < 0:
        stays = (1 + residual) * stays - residual
    gain = Diagnosed(network, ()).rounding_gain_db({"w0:weight": ratio, "w0:activation": 0.0})
    assert gain == pytest.approx(-10 * np.log10(stays), abs=1e-6)


@pytest.mark.slow
def test_finished_layers_are_not_solved_again(small: tuple[Source, Case], tmp_path: Path) -> None:
    source, case = small
    cache = Work(tmp_path / "cache")
    first = change_by(SecondOrder(), case, source, cache=cache)
    files = sorted((tmp_path / "cache").rglob("*.npz"))
    assert len(files) == 6
    stamps = [f.stat().st_mtime_ns for f in files]
    files[-1].unlink()
    files[0].write_bytes(b"half")  # as a crash might leave it, had writing not been atomic
    again = change_by(SecondOrder(), case, source, cache=cache)
    assert [f.stat().st_mtime_ns for f in files[1:-1]] == stamps[1:-1]
    assert files[-1].exists()
    for name, array in first.written.items():
        assert np.array_equal(array, again.written[name])
    assert (again.summary.code, again.summary.figures["count"]) == ("ledger.cached", "4")
    third = change_by(SecondOrder(), case, source, cache=cache)
    assert third.summary == say("ledger.all_cached", count="6")


def test_another_model_or_plan_has_another_cache(
    small: tuple[Source, Case], tmp_path: Path
) -> None:
    source, case = small
    effort = Effort(cache=Work(tmp_path / "cache"))
    caches = {
        effort.kept(c, s, m)
        for c, s, m in (
            (case, source, AdaRound()),
            (case, source, AdaRound(iterations=7)),
            (case, source, SecondOrder()),
            (coarsened(case, 4), source, AdaRound()),
            (case, source.slice(0, 8), AdaRound()),
        )
    }
    assert len(caches) == 5


@pytest.mark.slow
def test_two_runs_with_one_seed_are_identical(small: tuple[Source, Case]) -> None:
    source, case = small
    first, second = (change_by(SecondOrder(positions=64), case, source, seed=5) for _ in range(2))
    assert first.written.keys() == second.written.keys()
    assert all(np.array_equal(first.written[k], second.written[k]) for k in first.written)


@pytest.fixture(scope="module")
def pools() -> Iterator[Sequence[Processes]]:
    """One worker, and three: to start them takes far longer than what they do here."""
    with Processes(1, 1) as one, Processes(3, 1) as three:
        yield one, three


@pytest.mark.slow
@pytest.mark.parametrize("recovery", [Ranges(), BiasCorrection(), SecondOrder(positions=64)])
@pytest.mark.parametrize("bits", [8, 4])
def test_three_workers_propose_what_one_does(
    tmp_path: Path, pools: Sequence[Processes], recovery: Sweeping, bits: int
) -> None:
    """With the samples in four shards; at 4 bits second-order rounding also looks for scales."""
    source, case = make(tmp_path, cnn(3), samples(4, 56, 3, 16, 16), "tensorrt")
    if bits == 4:
        grid = Grid.of(4, signed=True)
        few = {
            s.key: replace(case.plan[s.key], grid=grid) for s in case.sites if s.role == "weight"
        }
        case = replace(case, plan={**case.plan, **few})
    one, three = (change_by(recovery, case, source, pool=pool) for pool in pools)
    assert (one.summary, one.plan) == (three.summary, three.plan)
    assert one.written.keys() == three.written.keys()
    assert all(np.array_equal(one.written[k], three.written[k]) for k in one.written)
    assert one.written or one.plan


@pytest.mark.slow
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_every_row_is_in_one_part(groups: int, rows: int) -> None:
    met = np.zeros((groups, rows), int)
    cuts = parts(groups, rows)
    for cut in cuts:
        met[cut] += 1
    assert (met == 1).all()
    assert len(cuts) <= 16


@pytest.mark.slow
def test_precision_takes_no_more_sites_than_the_goal_asks(tmp_path: Path) -> None:
    source, case = make(tmp_path, cnn(3), samples(4, 40, 3, 16, 16))
    case = coarsened(case, 4)
    settings = Settings()
    bench = Bench(source, source, None, settings)
    diagnosed = bench.diagnose(case)
    judge = Judge(case.model, source.slice(0, 32))
    counts = []
    for bound in (1.0, 15.0, 30.0):
        goal = Goal("sqnr_db", ">=", bound)
        change = change_by(Precision(), case, source, diagnosed, goal=goal)
        found = judge(applied(case, change)).sqnr_db
        assert found is not None and found >= bound
        counts.append(len(change.plan))
    assert counts[0] <= counts[1] <= counts[2]
    assert 0 < counts[2] < len(case.sites)


def test_both_operands_of_a_layer_move_where_the_platform_takes_both_or_neither(
    tmp_path: Path,
) -> None:
    source, case = make(tmp_path, mlp(1), samples(2, 40, 6), "cnrt")
    case = replace(case, target=replace(case.target, wide_bits=None))
    diagnosed = Bench(source, source, None, Settings()).diagnose(case)
    goal = Goal("sqnr_db", ">=", 0.9 + (Judge(case.model, source)(case).sqnr_db or 0))
    change = change_by(Precision(), case, source, diagnosed, goal=goal)
    assert change.plan and len(change.plan) < len(case.sites)
    assert not half_quantized(case.model, applied(case, change).sites)


def test_recoveries_are_chosen_by_name_or_forbidden() -> None:
    assert [r.name for r in choose(["second_order"])] == ["second_order"]
    assert "adaround" not in {r.name for r in choose(["-adaround"])}
    assert choose([]) == ALL
    with pytest.raises(RecoveryError, match=r"R004: .*did you mean 'adaround'"):
        choose(["adaroud"])
    with pytest.raises(RecoveryError, match="R005"):
        choose(["second_order", "-adaround"])
    with pytest.raises(RecoveryError, match="R005"):
        choose([f"-{r.name}" for r in ALL])


def test_recoveries_are_chosen_with_settings_of_the_callers() -> None:
    """What is made keeps its settings; a number of iterations is for what is named."""
    made = AdaRound(iterations=7)
    assert choose([made, "ranges"], 200) == (Ranges(), made)
    assert choose(["adaround"], 200) == (AdaRound(iterations=200),)
    assert choose(["ranges"], 200) == (Ranges(),)
    with pytest.raises(RecoveryError, match="R005"):
        choose([made, "-ranges"])
    with pytest.raises(RecoveryError, match="R007"):
        choose([made, "adaround"])
    with pytest.raises(MemberError, match="P004"):
        choose([AdaRound])  # type: ignore[list-item]


def test_too_few_samples_cannot_be_split(tmp_path: Path) -> None:
    source, _ = make(tmp_path, mlp(1), samples(2, 6, 6))
    with pytest.raises(DataError, match="D033"):
        divided(source)


def test_no_sample_both_works_and_judges(tmp_path: Path) -> None:
    data = samples(2, 40, 6)
    source, _ = make(tmp_path, mlp(1), data)
    work, judges = divided(source)
    assert (len(work), len(judges)) == (24, 16)
    last = np.concatenate([p.feeds["x"] for p in judges.batches(8)])
    assert np.array_equal(last, data[24:])


def test_every_member_says_what_it_is(small: tuple[Source, Case]) -> None:
    names = [r.name for r in ALL]
    assert len(set(names)) == len(names)
    for recovery in ALL:
        assert recovery.title and recovery.source and recovery.cost(small[1]) >= 0
        assert isinstance(recovery, Rewriting | Sweeping)
        assert pickle.loads(pickle.dumps(recovery)) == recovery == type(recovery)()


@pytest.mark.slow
def test_little_time_leaves_few_samples_to_the_diagnosis(small: tuple[Source, Case]) -> None:
    source, case = small
    plenty = Bench(source, source, None, Settings(), budget=1e6)
    hurried = replace(plenty, budget=1e-6)
    assert len(plenty.run(case).source) == 16
    assert len(hurried.run(case).source) == 4


def test_wishes_for_single_tensors_outlive_another_form_of_the_network(
    small: tuple[Source, Case],
) -> None:
    source, case = small
    weight = next(s for s in case.sites if s.role == "weight")
    wishes = Settings(overrides=(Override.parse(f"{weight.tensor}=float"),))
    bench = Bench(source, source, None, wishes)
    found = bench.recalibrate(case, case.model)
    assert weight.key not in found.plan and len(found.plan) >= len(case.plan) - 2


@pytest.mark.slow
@given(st.sets(st.integers(0, 199), max_size=2), st.randoms())
@settings(deadline=None, max_examples=60, derandomize=True)
def test_the_search_finds_the_steps_that_are_needed_and_no_others(
    needed: set[int], random: Any
) -> None:
    order = list(range(200))
    random.shuffle(order)
    found = fewest(order, lambda steps: needed <= set(steps))  # type: ignore[arg-type]
    assert set(found) == needed  # type: ignore[comparison-overlap]
    assert fewest(order, lambda steps: False) == order  # type: ignore[arg-type, comparison-overlap]


@pytest.mark.slow
def test_a_site_before_and_after_is_measured_against_one_error(small: tuple[Source, Case]) -> None:
    source, case = small
    bench = Bench(source, source, None, Settings())
    first = bench.run(case)
    freed = next(s for s in case.sites if s.role == "weight")
    plan = {key: affine for key, affine in case.plan.items() if key != freed.key}
    last = bench.run(replace(case, plan=plan))
    changes = {f"{c.tensor}:{c.role}": c for c in site_changes(first, last)}
    assert changes.keys() == {s.key for s in case.sites}
    assert changes[freed.key].after is None
    totals = [run.network() for run in (first, last)]
    for when, network in zip(("before", "after"), totals, strict=True):
        standings = [getattr(c, when) for c in changes.values()]
        shares = sum(s.share for s in standings if s is not None)
        expected = (1 + network.residual) * network.total / totals[0].total
        assert shares == pytest.approx(expected, rel=1e-9)
    kept = changes[case.sites[0].key].after
    assert kept is not None and kept.hi == float(case.plan[case.sites[0].key].hi.max())
