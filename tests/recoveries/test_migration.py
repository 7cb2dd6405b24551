"""SmoothQuant migration: the function stays, activations and weights share the outliers."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lostbits.channels.norm_gains import find_norms
from lostbits.channels.smoothing import STRENGTHS, Operands, best_smoothing, smoothing
from lostbits.graph.place import place
from lostbits.graph.scale_marks import Scaling, scaling
from lostbits.language import say
from lostbits.recoveries.migration import Migration
from rescalable_nets import Uneven, case_of, change_of, diagnosed, drift, of_nodes, samples
from text_models import normal
from transformer_nets import layer

TOKENS = samples(0, 6, 5, 8) * 10.0 ** np.linspace(-1, 1, 8, dtype=np.float32)
IMAGES = samples(0, 6, 3, 8, 8)


def written_out(net: Uneven, x: str, *, shift: bool = True) -> str:
    """Layer normalization in single ops, the gain on the left."""
    mean = net.add("ReduceMean", [x], axes=[-1])
    centred = net.add("Sub", [x, mean])
    square = net.add("Pow", [centred, net.constant(np.array(2.0))])
    spread = net.add("ReduceMean", [square], axes=[-1])
    root = net.add("Sqrt", [net.add("Add", [spread, net.constant(np.array(1e-5))])])
    scaled = net.add("Mul", [gain(net), net.add("Div", [centred, root])])
    return net.add("Add", [scaled, net.bias(8)]) if shift else scaled


def gain(net: Uneven) -> str:
    return net.constant(10.0 ** net.random.uniform(-1, 1, 8))


NORMS: dict[str, Any] = {
    "LayerNormalization": lambda n, x: n.add("LayerNormalization", [x, gain(n), n.bias(8)]),
    "LayerNormalization without bias": lambda n, x: n.add("LayerNormalization", [x, gain(n)]),
    "written out": written_out,
    "written out, without shift": lambda n, x: written_out(n, x, shift=False),
    "one factor for all": lambda n, x: n.add("Mul", [x, n.constant(np.array(0.5))]),
}


def attention(norm: str, *, residual: bool = False) -> onnx.ModelProto:
    """Three readers of one normalization."""
    net = Uneven(4)
    x = NORMS[norm](net, "x")
    q, k, v = (net.add("MatMul", [x, net.normal(8, 8)]) for _ in range(3))
    y = net.add("Add", [net.add("Add", [q, k]), v])
    y = net.add("Add", [x, y]) if residual else y
    return net.model([5, 8], y, rank=3)


@pytest.mark.parametrize("norm", NORMS)
def test_normalizations_take_the_factors_up(tmp_path: Path, norm: str) -> None:
    case = case_of(attention(norm), TOKENS, tmp_path, "qnn-htp")
    change = change_of(Migration(strength=0.5), case)
    assert change.summary.code == "ledger.migration"
    figures = change.summary.figures
    assert (figures["count"], figures["norms"]) == ("1", "1")
    assert drift(case, change, TOKENS) < 1e-5
    assert change.model is not None
    (found,) = find_norms(case.model)
    seen = case.seen[f"{found.tensor}:activation"].channels
    peaks = np.maximum(np.abs(seen.lo), np.abs(seen.hi))
    weights = [
        [np.abs(_initializer(m, r.weight)).max(axis=1) for r in found.readers]
        for m in (case.model, change.model)
    ]
    before, after = (np.max(w, axis=0) for w in weights)
    factors = after / before
    expected = np.sqrt(peaks / before)
    np.testing.assert_allclose(factors, expected / np.exp(np.log(expected).mean()), rtol=1e-5)


def _initializer(model: Any, name: str) -> Any:
    return model.graph.initializers[name].const_value.numpy()


def test_a_normalization_that_others_read_is_left_alone(tmp_path: Path) -> None:
    case = case_of(attention("LayerNormalization", residual=True), TOKENS, tmp_path)
    assert find_norms(case.model) == ()
    assert change_of(Migration(), case).empty


def test_a_shared_gain_becomes_two(tmp_path: Path) -> None:
    net = Uneven(4)
    shared = gain(net)
    x = net.add("MatMul", [net.add("Mul", ["x", shared]), net.normal(8, 8)])
    x = net.add("MatMul", [net.add("Mul", [net.add("Tanh", [x]), shared]), net.normal(8, 4)])
    case = case_of(net.model([5, 8], x, rank=3), TOKENS, tmp_path)
    change = change_of(Migration(strength=0.5), case)
    assert change.summary.figures["norms"] == "2"
    assert drift(case, change, TOKENS) < 1e-5


def _images(middle: Any) -> onnx.ModelProto:
    net = Uneven(2)
    x = net.add("Conv", ["x", net.uneven(8, 3, 3, 3), net.bias(8)], pads=[1] * 4)
    x = net.add("Conv", [middle(net, x), net.normal(8, 1, 3, 3)], group=8, pads=[1] * 4)
    return net.model([3, 8, 8], net.add("Conv", [x, net.normal(4, 8, 1, 1)]), rank=4)


def _batch_norm(net: Uneven, x: str) -> str:
    vectors = [net.constant(np.abs(net.random.normal(1, 0.1, 8))) for _ in range(4)]
    return net.add("BatchNormalization", [net.add("Relu", [x]), *vectors])


@pytest.mark.parametrize(
    ("middle", "count", "behind"),
    [
        (lambda n, x: n.add("Relu", [x]), 2, 0),
        (lambda n, x: n.relu6(x), 2, 0),
        # The convolution has taken the scale over, and behind a Sigmoid there is none to change.
        (lambda n, x: n.add("Mul", [n.add("Sigmoid", [x]), n.constant(np.ones((8, 1, 1)))]), 1, 0),
        (_batch_norm, 2, 1),
    ],
)
def test_convolutions(tmp_path: Path, middle: Any, count: int, behind: int) -> None:
    case = case_of(_images(middle), IMAGES, tmp_path)
    change = change_of(Migration(strength=0.5), case)
    figures = change.summary.figures
    assert (figures["count"], figures["norms"]) == (f"{count}", f"{behind}")
    assert drift(case, change, 3 * IMAGES) < 1e-5


def test_strength(tmp_path: Path) -> None:
    case = case_of(_images(lambda n, x: n.add("Relu", [x])), IMAGES, tmp_path)
    change = change_of(Migration(strength=1.0), case)
    assert change.model is not None
    assert drift(case, change, IMAGES) < 1e-5
    even = case_of(_proto(change.model), IMAGES, tmp_path)
    tensor = next(n for n in even.model.graph if n.op_type == "Relu").outputs[0].name
    highs = even.seen[f"{tensor}:activation"].channels.hi
    np.testing.assert_allclose(highs, highs.mean(), rtol=1e-4)


def _proto(model: Any) -> onnx.ModelProto:
    return cast(onnx.ModelProto, ir.to_proto(model))


def test_nothing_to_divide(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("Conv", ["x", "w"], ["y"])]
    model = of_nodes(nodes, {"w": samples(0, 3, 3, 1, 1)}, ("N", 3, 8, 8), {"y": 4})
    change = change_of(Migration(), case_of(model, IMAGES, tmp_path))
    assert change.empty
    assert change.summary == say("ledger.migration_none")
    assert change.skipped == {"y": say("skipped.output")}


def test_missing_statistics_are_named(tmp_path: Path) -> None:
    case = case_of(attention("LayerNormalization"), TOKENS, tmp_path)
    (found,) = find_norms(case.model)
    change = change_of(Migration(), replace(case, seen={}))
    assert change.empty
    assert change.skipped[found.tensor] == say("skipped.statistics")


def test_prediction(tmp_path: Path) -> None:
    case = case_of(attention("LayerNormalization"), TOKENS, tmp_path, "qnn-htp")
    (found,) = find_norms(case.model)
    key = f"{found.tensor}:activation"
    assert Migration().consider(case).gain(diagnosed({key: 0.9})) > 1
    assert Migration().consider(case).gain(diagnosed({"x:activation": 0.9})) == 0


def test_norms_need_constant_gains() -> None:
    net = Uneven(0)
    x = net.add("MatMul", [net.add("Mul", ["x", net.add("Tanh", ["x"])]), net.normal(8, 4)])
    assert find_norms(normal(net.model([5, 8], x, rank=3))) == ()


@pytest.mark.slow
@given(
    st.lists(st.tuples(*[st.sampled_from([0.0, 1e-3, 1.0, 30.0])] * 2), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_factors_are_finite_and_dead_channels_stay(
    pairs: list[tuple[float, float]], strength: float
) -> None:
    peaks, ranges = np.array(pairs).T
    factors = smoothing(peaks, ranges, strength)
    assert ((factors >= 2.0**-8 - 1e-9) & (factors <= 2.0**8 + 1e-9)).all()
    np.testing.assert_array_equal(factors[(peaks == 0) | (ranges == 0)], 1)


# Tensors that nothing folds factors into -----------------------------------------------------


def _with_outliers(samples: int) -> NDArray[np.float32]:
    x = np.random.default_rng(3).standard_normal((samples, 6, 8)).astype(np.float32)
    x[:, :, 5] *= 20
    return x


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorrt"])
def test_a_mul_in_float_divides_what_a_residual_reads_too(name: str, tmp_path: Path) -> None:
    case = case_of(layer("fused", "gated", "divided"), _with_outliers(8), tmp_path, name)
    change = change_of(Migration(), case)
    assert change.model is not None and drift(case, change, _with_outliers(8)) < 1e-4
    added = [n for n in change.model.graph if scaling(n) is Scaling.PLAIN]
    assert added and {n.op_type for n in added} == {"Mul"}
    for node in added:
        assert {reader.op_type for reader, _ in node.outputs[0].uses()} <= {"MatMul", "Gemm"}
    placed_again = place(change.model, case.target)
    made = {n.outputs[0].name for n in added}
    assert made <= {s.tensor for s in placed_again.sites}
    assert not made & {u.node for s in placed_again.sites for u in s.uses}


def test_platforms_without_float_get_no_mul(tmp_path: Path) -> None:
    case = case_of(layer("fused", "gated", "divided"), _with_outliers(8), tmp_path, "qnn-htp")
    change = change_of(Migration(), case)
    assert change.model is None or all(scaling(n) is None for n in change.model.graph)


@given(seed=st.integers(0, 2**16), symmetric=st.booleans(), per_row=st.booleans())
def test_the_chosen_strength_is_the_best_of_all_by_the_noise_at_the_outputs(
    seed: int, *, symmetric: bool, per_row: bool
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((64, 5)) * np.exp(rng.normal(0, 2, 5))
    weight = rng.standard_normal((1, 3, 5, 1)) * np.exp(rng.normal(0, 1, (1, 1, 5, 1)))
    power = np.square(x).mean(axis=0)
    ends = x.min(axis=0), x.max(axis=0)
    operands = Operands(*ends, power, [weight], (255, 127), symmetric=symmetric, per_row=per_row)

    def by_hand(s: NDArray[np.float64]) -> float:
        z, w = x / s, weight[0, :, :, 0] * s
        lo, hi = min(z.min(), 0), max(z.max(), 0)
        step = (2 * max(-lo, hi) if symmetric else hi - lo) / 255
        rows = np.abs(w).max(axis=1, keepdims=True) if per_row else np.abs(w).max()
        weights = np.broadcast_to(np.square(rows / 127), w.shape) * np.square(z).mean(axis=0)
        return float((step**2 * np.square(w).sum() + weights.sum()) / 12)

    peaks, ranges = np.abs(x).max(axis=0), np.abs(weight).max(axis=(0, 1, 3))
    chosen = best_smoothing(operands, peaks, ranges)
    tried = [np.ones(5), *(smoothing(peaks, ranges, a) for a in STRENGTHS)]
    assert operands.noise(chosen) == pytest.approx(by_hand(chosen))
    assert by_hand(chosen) == pytest.approx(min(map(by_hand, tried)))
