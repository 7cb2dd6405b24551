"""Blocks of a network, learned scales, and their reconstruction."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lostbits as lb
from lostbits.case import Case
from lostbits.data import Source
from lostbits.errors import RecoveryError
from lostbits.grid import Affine, Grid
from lostbits.language import verbatim
from lostbits.recoveries.reconstruction import BlockReconstruction
from lostbits.recovery import Context, Diagnosed, Effort, Inputs, applied
from lostbits.results.diagnosis import Attribution, NetworkReport
from lostbits.rounding import LearnedScale
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.simulation import fake_quantize
from lostbits.sweep.blocks import Block, Reconstructed, sweep_blocks
from lostbits.sweep.cuts import segments
from lostbits.sweep.twin_networks import Networks, executor_of
from lostbits.system.threads import limited
from lostbits.targets import target
from lostbits.workers.pools import Processes
from lostbits.workers.work_folder import Work
from small_nets import built, change_by, classical_ops, cnn, coarsened, mlp, runtime_ops, samples
from text_models import proto, random, saved

NOTHING = Diagnosed(NetworkReport("aumann-shapley", "nsr", 1.0, 0.0, 0.0, [], {}, verbatim("")), ())


class Listens:
    """A solver that leaves every block as it is, and says which it has met."""

    def __init__(self, met: Callable[[Block], Reconstructed]) -> None:
        self.look = met

    def take(self, solved: Reconstructed) -> None:
        pass


@pytest.fixture
def small(tmp_path: Path) -> tuple[Source, Case]:
    source, case = built(cnn(3), samples(4, 48, 3, 16, 16), target("snpe"), tmp_path)
    return source, coarsened(case, 4)


def test_segments_are_the_whole_network_in_order(small: tuple[Source, Case]) -> None:
    networks = Networks(small[1], small[0])
    found = list(segments(networks.executor))
    assert tuple(s for segment in found for s in segment.steps) == networks.executor.steps
    assert found[0].entrance and found[-1].exit == networks.executor.outputs[0]
    for before, after in itertools.pairwise(found):
        assert before.exit == after.entrance


def test_no_connection_jumps_out_of_a_segment(tmp_path: Path) -> None:
    source, case = built(
        mlp(1, (6, 8, 8, 8, 8, 8, 8, 4)), samples(2, 16, 6), target("snpe"), tmp_path
    )
    found = list(segments(executor_of(case)))
    assert len(found) == 3
    for segment in found:
        made = {segment.entrance, *(n for step in segment.steps for n in step.outputs)}
        constants = set(Networks(case, source).executor.constants)
        read = {n for step in segment.steps for n in step.inputs if n}
        assert read <= made | constants


def _longer(widths: int) -> str:
    return " ".join(f"h{i + 1} = MatMul(h{i}, w{i})" for i in range(widths))


def test_what_one_connection_spans_is_cut_at_what_alone_is_read_and_made(tmp_path: Path) -> None:
    """As in detectors and U-Nets, where a connection passes by most of the network."""
    nodes = f"{{ h0 = Relu(x) {_longer(30)} j = Concat<axis = 1>(h30, x) y = MatMul(j, v) }}"
    weights = {f"w{i}": random(6, 6, seed=i) for i in range(30)}
    model = proto(f"net (float[N,6] x) => (float[N,4] y) {nodes}", v=random(12, 4), **weights)
    case = lb.load(saved(model, tmp_path), data={"x": random(16, 6)}, target="onnxruntime")
    executor = executor_of(case)
    found = list(segments(executor))
    assert tuple(s for segment in found for s in segment.steps) == executor.steps
    sizes = [sum("w" in n or n == "v" for s in x.steps for n in s.inputs if n) for x in found]
    assert sum(sizes) == 31 and max(sizes) == 3
    assert all(x.entrance and x.exit for x, size in zip(found, sizes, strict=True) if size)
    joined = next(x for x in found if x.steps[0].operator.op_type == "Concat")
    assert len(joined.steps) == 1 and not joined.entrance


def test_a_mask_that_passes_by_does_not_keep_layers_together(tmp_path: Path) -> None:
    nodes = """{ q = MatMul(x, a) k = MatMul(x, b) t = Transpose<perm = [0, 2, 1]>(k)
        s = MatMul(q, t) m = Add(s, mask) p = Softmax<axis = -1>(m)
        v = MatMul(x, c) o = MatMul(p, v) r = MatMul(o, d) y = Add(r, x) }"""
    text = f"net (float[N,5,6] x, float[N,1,5] mask) => (float[N,5,6] y) {nodes}"
    model = proto(text, **{name: random(6, 6, seed=i) for i, name in enumerate("abcd")})
    data = {"x": random(16, 5, 6), "mask": np.zeros((16, 1, 5), np.float32)}
    case = lb.load(saved(model, tmp_path), data=data, target="onnxruntime")
    source = case.origin.data.source  # type: ignore[union-attr]
    met: list[list[str]] = []

    def check(block: Block) -> Reconstructed:
        met.append(sorted(site.tensor for site in block.weights.values()))
        assert block.inputs and block.targets
        return Reconstructed()

    assert not sweep_blocks(case, source, Listens(check)).skipped
    assert met == [["a", "b"], ["c"], ["d"]]


def test_a_block_computes_what_the_network_computes(small: tuple[Source, Case]) -> None:
    source, case = small
    met: list[str] = []

    def check(block: Block) -> Reconstructed:
        networks = block.networks
        weights = {key: networks.constant(site) for key, site in block.weights.items()}

        def quantize(site: Any, x: torch.Tensor) -> torch.Tensor:
            return fake_quantize(x, networks.plan[site.key])

        found = [block.forward(entry, weights, quantize) for entry in block.inputs]
        walks = Networks(case, source)
        for step in walks.executor.steps:
            walks.advance(step)
            if block.segment.exit in step.outputs:
                expected = [w.values[block.segment.exit] for w in walks.quantized]
                floats = [w.values[block.segment.exit] for w in walks.plain]
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.equal(mine, theirs)
        for mine, theirs in zip(block.targets, floats, strict=True):
            assert torch.equal(mine, theirs)
        met.extend(block.weights)
        return Reconstructed()

    sweep_blocks(case, source, Listens(check))
    assert sorted(met) == sorted(s.key for s in case.sites if s.role == "weight")


def test_a_batch_whose_size_nodes_know_is_not_split(tmp_path: Path) -> None:
    """As of networks that were exported for 16 pictures, with a last batch that is filled up."""
    text = "net (float[16,6] x) => (float[16,4] y) { h = MatMul(x, w) r = Relu(h) "
    text += "s = Reshape(r, size) t = Neg(s) y = MatMul(t, v) }"
    model = proto(text, w=random(6, 8), v=random(8, 4), size=np.array([16, 8]))
    data = {"x": random(40, 6)}
    case = lb.load(saved(model, tmp_path), data=data, target="onnxruntime")
    source = case.origin.data.source  # type: ignore[union-attr]
    change = change_by(BlockReconstruction(iterations=2, samples=8), case, source)
    assert set(change.written) >= {"w", "v"}


def grid(bits: int, scale: float, zero: int) -> Affine:
    return Affine(
        Grid.of(bits, signed=False), np.array(scale, np.float32), np.array(zero, np.int64)
    )


def test_a_scale_that_has_not_learned_is_the_plan_s() -> None:
    x = torch.from_numpy(samples(0, 4, 3, 5, 5) * 3)
    affine = grid(4, 0.31, 6)
    with torch.no_grad():
        found = LearnedScale(affine)(x)
    np.testing.assert_allclose(found.numpy(), fake_quantize(x, affine).numpy(), atol=1e-6)
    assert LearnedScale(affine).learned(torch.zeros(())) == affine


def test_the_slope_of_a_scale_is_that_of_learned_step_size_quantization() -> None:
    """d/ds: ``round(u) - u`` inside with ``u = x / s``, the end's code outside (Esser 2020)."""
    affine = grid(3, 0.5, 2)
    x = torch.linspace(-3, 4, 29)
    scale = LearnedScale(affine, drop=0.0)
    (slope,) = torch.autograd.grad(scale(x).sum(), [scale.shift])
    u = x.double() / 0.5
    inside = (u >= -2) & (u <= 5)
    by_hand = torch.where(inside, u.round() - u, u.clamp(-2, 5)).sum() * 0.5
    assert float(slope) == pytest.approx(float(by_hand), rel=1e-5)


@pytest.mark.slow
def test_reconstruction_beats_nearest_on_unseen_samples(small: tuple[Source, Case]) -> None:
    source, case = small
    work, judges = source.slice(0, 36), source.slice(36, 48)
    judge = Judge(case.model, judges)
    change = change_by(BlockReconstruction(iterations=200), case, work)
    after = applied(case, change)
    won = (judge(after).sqnr_db or 0) - (judge(case).sqnr_db or 0)
    assert won > 0.5  # inputs are white, so that there is little to win
    for site in after.sites:
        if site.role == "weight":
            value = change.written[site.tensor]
            assert np.array_equal(after.plan[site.key].fake_quantize(value), value)
    assert any(k.endswith(":activation") for k in change.plan)
    for bias in (s for s in case.placed.biases if s.scales is not None):
        group, weight = bias.scales or ("", "")
        x = next(after.plan[s.key] for s in case.sites if s.streams and s.group == group)
        product = x.scale * after.plan[weight].scale
        np.testing.assert_allclose(after.plan[bias.key].scale, product, rtol=1e-6)


@pytest.mark.slow
def test_two_reconstructions_with_one_seed_are_identical(small: tuple[Source, Case]) -> None:
    source, case = small
    short = BlockReconstruction(iterations=20)
    one, two = (change_by(short, case, source, seed=5) for _ in "ab")
    assert one.plan == two.plan and one.written.keys() == two.written.keys()
    assert all(np.array_equal(one.written[k], two.written[k]) for k in one.written)


@pytest.mark.slow
def test_blocks_that_see_float_values_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Two workers learn what one does; and nothing depends on what the blocks before became."""
    data = samples(2, 48, 6)
    source, case = built(mlp(1, (6, 8, 8, 8, 8, 8, 8, 4)), data, target("snpe"), tmp_path)
    case = coarsened(case, 4)
    found, stages, short = [], [], BlockReconstruction(iterations=20)
    for count in (1, 2):
        with limited(1), Processes(count, 1) as pool:
            cache = Work(tmp_path / f"cache{count}")
            effort = Effort(pool=pool, inputs=Inputs.FLOAT, cache=cache)
            context = Context(source, NOTHING, effort, lambda *told: stages.append(told))
            found.append(short.change(case, context))
    one, two = found
    assert stages[:3] == stages[3:] == [("blocks", n, 3) for n in (1, 2, 3)]
    assert (one.plan, one.summary) == (two.plan, two.summary)
    assert all(np.array_equal(one.written[k], two.written[k]) for k in one.written)
    max((tmp_path / "cache1").rglob("*.npz")).unlink()
    cache = Work(tmp_path / "cache1")
    again = change_by(short, case, source, inputs=Inputs.FLOAT, cache=cache)
    assert again.summary.code == "ledger.cached" and again.summary.figures["count"] == "2"
    assert again.plan == one.plan
    in_order = change_by(short, case, source, cache=cache)
    first, *others = (s.tensor for s in case.sites if s.role == "weight")
    assert np.array_equal(in_order.written[first], one.written[first])
    assert any(not np.array_equal(in_order.written[t], one.written[t]) for t in others)


@pytest.mark.slow
def test_finished_blocks_are_not_learned_again(
    small: tuple[Source, Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, case = small
    short, cache = BlockReconstruction(iterations=10), Work(tmp_path / "cache")
    first = change_by(short, case, source, cache=cache)
    monkeypatch.setattr("lostbits.recoveries.reconstruction.adaround_block", None)
    second = change_by(short, case, source, cache=cache)
    assert first.plan == second.plan
    assert all(np.array_equal(first.written[k], second.written[k]) for k in first.written)


@pytest.mark.slow
def test_tensors_that_share_a_scale_keep_it(tmp_path: Path) -> None:
    source, case = built(cnn(3), samples(4, 24, 3, 16, 16), target("snpe"), tmp_path)
    group = [s for s in case.sites if s.streams][:2]
    sites = [replace(s, group=group[0].group) if s in group else s for s in case.sites]
    placed = replace(case.placed, sites=tuple(sites))
    case = replace(case, placed=placed)
    change = change_by(BlockReconstruction(iterations=5), case, source)
    assert not {s.key for s in group} & set(change.plan)
    assert all(f"range of {s.tensor}" in change.skipped for s in group)


def test_its_prediction_follows_the_share_of_the_weights() -> None:
    def share(value: float) -> Diagnosed:
        row = Attribution("w", "weight", "round", value, value)
        return Diagnosed(replace(NOTHING.network, attributions=[row]), ())

    some, much = (BlockReconstruction().gain(share(v)) for v in (0.2, 0.9))
    assert 0 < some < much


@pytest.mark.parametrize("op", ["Scaler", "Normalizer"])
def test_a_block_that_no_gradient_passes_is_passed_over_and_named(op: str, tmp_path: Path) -> None:
    source, case = built(classical_ops(op), samples(0, 32, 6), target("snpe"), tmp_path)
    change = change_by(BlockReconstruction(iterations=4), case, source)
    weights = {s.tensor for s in case.sites if s.role == "weight" and s.tensor != "c9"}
    named = {tensor for tensor, why in change.skipped.items() if why.code == "skipped.no_gradient"}
    assert named and named <= weights
    assert not named & set(change.written)


def test_a_block_whose_loss_is_no_number_is_passed_over(
    small: tuple[Source, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, case = small
    lost = RecoveryError("R001", "AdaRound", "it is not")

    def fails(*_: Any) -> None:
        raise lost

    monkeypatch.setattr("lostbits.recoveries.reconstruction.adaround_block", fails)
    change = change_by(BlockReconstruction(iterations=4), case, source)
    weights = {s.tensor for s in case.sites if s.role == "weight"}
    passed_over = {t for t, why in change.skipped.items() if why == verbatim(str(lost))}
    assert not change.written and passed_over == weights


def test_the_gelu_of_onnx_runtime_has_a_gradient(tmp_path: Path) -> None:
    source, case = built(runtime_ops("Gelu"), samples(0, 32, 6), target("snpe"), tmp_path)
    executor = executor_of(case)
    executor.run(next(iter(source.batches(4))).feeds)
    assert not executor.opaque
