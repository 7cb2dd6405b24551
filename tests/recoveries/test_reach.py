"""Recoveries reach every layer and activation: stacks, left weights, wide layers, no biases."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from lostbits.attempts.bench import diagnosed
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.settings import Settings
from lostbits.grid import Grid, affine_from_range
from lostbits.language import verbatim
from lostbits.plan.ranges import replanned
from lostbits.plan.tensor_settings import Override
from lostbits.recoveries import second_order
from lostbits.recoveries.named_ranges import NamedRanges
from lostbits.recoveries.ranges import Ranges
from lostbits.recoveries.second_order import SecondOrder
from lostbits.recovery import Context, Diagnosed, applied
from lostbits.results.diagnosis import Attribution, NetworkReport
from lostbits.rounding.row_grid import RowGrid
from lostbits.runtime.held_out_figures import Judge
from lostbits.sweep import layer_as_matrix
from lostbits.sweep.layer import Layer
from lostbits.sweep.layer_as_matrix import Matrix
from lostbits.sweep.layers import sweep
from lostbits.sweep.twin_networks import unread_weights
from lostbits.workers.progress import silent
from recurrent_nets import sequences, tagger
from runs import divided
from small_nets import change_by, coarse_weights, make, narrowed, samples
from text_models import proto, random

STACK = ("g (float[N,3,5,8] x) => (float[N,3,5,6] y) ", "MatMul (x, w)", (3, 8, 6))
LEFT = ("g (float[N,8,5] x) => (float[N,6,5] y) ", "MatMul (w, x)", (6, 8))
ONE = ("g (float[N,5,8] x) => (float[N,5,6] y) ", "MatMul (x, w)", (1, 8, 6))
CONV3 = ("g (float[N,2,4,4,4] x) => (float[N,6,4,4,4] y) ", "Conv <pads = [1,1,1,1,1,1]> (x, w)")
NETS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "stack of matrices": STACK,
    "weight on the left": LEFT,
    "stack of one": ONE,
    "3-D convolution": (*CONV3, (6, 2, 3, 3, 3)),
}
SHAPES = {
    "stack of matrices": (3, 5, 8),
    "weight on the left": (8, 5),
    "stack of one": (5, 8),
    "3-D convolution": (2, 4, 4, 4),
}
ENTRIES = {
    "stack of matrices": 3 * 8**2,
    "weight on the left": 8**2,
    "stack of one": 8**2,
    "3-D convolution": 54**2,
}


class _Looks:
    """Hands every layer on."""

    whole, apart = True, False

    def __init__(self, look: Any) -> None:
        self.look = look

    def solve(self, layer: Layer, found: Any, job: Any) -> None:
        """Nothing is decided."""


def _made(path: Path, name: str, target: str = "onnxruntime") -> tuple[Source, Case]:
    signature, op, shape = NETS[name]
    model: onnx.ModelProto = proto(f"{signature} {{ y = {op} }}", w=random(*shape, seed=3))
    return make(path, model, _mixed(64, *SHAPES[name]), target)


def _mixed(*shape: int) -> NDArray[np.float32]:
    """Samples whose values have much to do with each other along every axis."""
    x = samples(2, *shape).astype(np.float64)
    for axis in range(1, len(shape)):
        size = shape[axis]
        mix = np.linspace(1, 0.1, size) * random(size, size, seed=5)
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ mix, -1, axis)
    return x.astype(np.float32)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_layer_is_rows_times_columns_in_blocks_and_whole(
    tmp_path: Path, name: str, blocks: int
) -> None:
    source, case = _made(tmp_path, name)
    met: list[int] = []

    def check(layer: Layer) -> None:
        matrix = Matrix.of(layer)
        assert matrix is not None
        cut = matrix.fitting(matrix.groups * matrix.columns**2 // blocks)
        assert cut is not None and cut.blocks == blocks
        rows = cut.split(layer.values)
        assert np.array_equal(cut.join(rows), layer.values)
        x, z = cut.pairs(layer.inputs[0], layer.quantized_inputs[0])
        assert x.shape == z.shape and x.shape[0] == len(rows) == matrix.groups * blocks
        product = np.einsum("gpc,grc->gpr", x, rows)
        whole = product.reshape(matrix.groups, blocks, *product.shape[1:]).sum(1)
        y = layer.output(layer.inputs[0], layer.executor.constants["w"]).numpy()
        assert np.allclose(np.sort(whole.ravel()), np.sort(y.ravel()), atol=1e-3)
        met.append(layer.number)

    sweep(case, source, _Looks(check), correct_biases=False)
    assert met == [1]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("blocks", [1, 2])
def test_second_order_rounding_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, blocks: int
) -> None:
    """Whole, and in blocks where its second moments are too many."""
    monkeypatch.setattr(second_order, "_ENTRIES", ENTRIES[name] // blocks)
    source, case = _made(tmp_path, name)
    case = coarse_weights(case)
    work, judges = divided(source)
    change = change_by(SecondOrder(), case, work)
    judge = Judge(case.model, judges)
    before, after = judge(case).sqnr_db, judge(applied(case, change)).sqnr_db
    # Blocks know nothing of each other, though everything here has to do with everything.
    assert before is not None and after is not None
    assert after > before + (0.3 if blocks == 1 else -0.5)
    codes = {why.code for why in change.skipped.values()}
    assert ("skipped.in_blocks" in codes) == (blocks > 1)


def test_columns_that_no_memory_holds_are_passed_over_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_order, "_ENTRIES", 1)
    source, case = _made(tmp_path, "3-D convolution")
    change = change_by(SecondOrder(), coarse_weights(case), source)
    assert change.skipped["w"].code == "skipped.too_wide"


def test_positions_in_parts_have_the_same_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, case = _made(tmp_path, "3-D convolution")
    case = coarse_weights(case)
    whole = change_by(SecondOrder(), case, source)
    monkeypatch.setattr(layer_as_matrix, "_VALUES", 54 * 100)
    parts = change_by(SecondOrder(), case, source)
    assert np.allclose(whole.written["w"], parts.written["w"])


def test_rows_of_a_stack_share_their_scales() -> None:
    ends = np.array([1.0, 2.0, 4.0])
    affine = affine_from_range(-ends, ends, Grid.of(8, signed=True), symmetric=True, axis=2)
    grid = RowGrid.of(affine, 4, 3)
    assert np.array_equal(grid.scale, np.tile(affine.scale.astype(np.float64), (4, 1)))
    assert grid.repeated(2).scale.shape == (8, 3)


def test_ranges_are_chosen_where_no_layer_has_a_bias(tmp_path: Path) -> None:
    """A range ten times too wide is found by the layer that reads it, and by nobody's bias."""
    source, case = _made(tmp_path, "3-D convolution")
    assert not case.placed.biases
    wide = narrowed(case, "x:activation", 10.0)
    change = change_by(Ranges(), wide, source)
    found = change.plan["x:activation"]
    assert found is not None and float(found.hi) < float(wide.plan["x:activation"].hi) / 5


def test_ranges_are_chosen_for_what_no_layer_reads(tmp_path: Path) -> None:
    source, case = _made(tmp_path, "3-D convolution", "qnn-htp")
    key = next(s.key for s in case.sites if s.role == "output")
    wide = narrowed(case, key, 10.0)
    found = change_by(Ranges(), wide, source).plan[key]
    assert found is not None and float(found.hi) < float(wide.plan[key].hi) / 5


def test_a_layer_without_bias_is_rounded_for_the_mean_as_well(tmp_path: Path) -> None:
    """Inputs far from zero: about their means, rounding would leave an offset that nobody takes."""
    model = proto(
        "g (float[N,8] x) => (float[N,6] y) { y = MatMul (x, w) }", w=random(8, 6, seed=3)
    )
    data = (samples(2, 64, 8) + 6).astype(np.float32)
    source, case = make(tmp_path, model, data, "onnxruntime")
    case = coarse_weights(case)
    judge = Judge(case.model, source)
    before = judge(case).sqnr_db
    after = judge(applied(case, change_by(SecondOrder(), case, source))).sqnr_db
    assert before is not None and after is not None and after > before + 6


def test_weights_of_recurrent_nodes_are_passed_over_by_name(tmp_path: Path) -> None:
    source, case = make(tmp_path, tagger(), sequences(), "qnn-htp")
    recurrent = {s.tensor for s, op in unread_weights(case) if op == "LSTM"}
    assert recurrent
    skipped = change_by(SecondOrder(), case, source).skipped
    assert {t for t, why in skipped.items() if why.code == "skipped.other_node"} == recurrent


def test_no_gain_is_promised_of_weights_out_of_reach() -> None:
    parts = [Attribution(name, "weight", "round", 0.0, 0.5) for name in ("a", "b")]
    network = NetworkReport("aumann-shapley", "nsr", 1.0, 0.0, 1.0, parts, {}, verbatim(""))
    every, some = Diagnosed(network, ()), Diagnosed(network, (), unreached=frozenset({"a:weight"}))
    assert (every.share("weight"), some.share("weight")) == (1.0, 0.5)


def test_ranges_that_findings_name_are_those_of_their_commands(tmp_path: Path) -> None:
    source, case = _made(tmp_path, "3-D convolution")
    wide = narrowed(case, "x:activation", 10.0)
    run = Run(wide.over(len(source)), source, Settings(), None)
    run.diagnose(silent)
    change = NamedRanges().change(wide, Context(source, diagnosed(run)))
    told = replanned(wide, [case.sites[0]], Override("x", method="mse"))
    assert change.plan["x:activation"] == told["x:activation"]
    assert NamedRanges().gain(diagnosed(run)) > 0.05


def test_ranges_that_tensors_share_are_counted_once(tmp_path: Path) -> None:
    """A Concat on HTP gives its inputs its own scale: three tensors, one range."""
    text = """net (float[N,6] x) => (float[N,4] y) { a = MatMul(x, v) b = MatMul(x, w)
        c = Concat<axis = 1>(a, b) y = MatMul(c, u) }"""
    weights = {"v": random(6, 6, seed=1), "w": 10 * random(6, 6, seed=2), "u": random(12, 4)}
    source, case = make(tmp_path, proto(text, **weights), samples(4, 64, 6), "qnn-htp")
    change = change_by(Ranges(), case, source)
    changed = {s.group for s in case.sites if s.key in change.plan}
    assert len(changed) < len(change.plan)
    assert change.summary.figures["count"] == str(len(changed))
