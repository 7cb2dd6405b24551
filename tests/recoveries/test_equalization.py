"""Cross-layer equalization: the function stays, neighbouring ranges become equal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from lostbits.case import Case
from lostbits.channels.equal_ranges import equal_ranges
from lostbits.channels.layer_pairs import Chains, Pair, find_chains
from lostbits.channels.linear import Linear
from lostbits.channels.rounding_cost import Junction, rescaling_ratios
from lostbits.channels.weights import Weights, input_ranges, layers_of, output_ranges
from lostbits.language import Figure, Message, say
from lostbits.recoveries.equalization import Equalization
from lostbits.recovery import Change
from rescalable_nets import Uneven, case_of, change_of, diagnosed, drift, of_nodes, samples
from small_nets import mlp
from text_models import normal

IMAGES = samples(0, 6, 3, 8, 8)


def chained(body: Any, seed: int = 0) -> tuple[Uneven, Any]:
    """A convolution of 3 to 8 channels, what ``body`` appends to it, and 5 outputs or more."""
    net = Uneven(seed)
    first = net.add("Conv", ["x", net.uneven(8, 3, 3, 3), net.bias(8)], pads=[1] * 4)
    return net, body(net, first)


def pairs_of(model: Any) -> Chains:
    return find_chains(normal(model))


def equalized(model: onnx.ModelProto, folder: Path, **options: Any) -> tuple[Case, Change]:
    case = case_of(model, IMAGES, folder)
    return case, change_of(Equalization(**options), case)


def ranges(model: Any, pair: Pair) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    blocks = Weights(model, layers_of([pair])).blocks
    return output_ranges(blocks[pair.first.node]), input_ranges(blocks[pair.second.node])


def _conv(net: Uneven, x: str, outputs: int = 5, inputs: int = 8, **attributes: Any) -> str:
    weight = net.normal(outputs, inputs // attributes.get("group", 1), 3, 3)
    return net.add("Conv", [x, weight, net.bias(outputs)], **attributes)


SECONDS: dict[str, Any] = {
    "group missing": _conv,
    "group 1": lambda n, x: _conv(n, x, group=1, pads=[1] * 4),
    "grouped": lambda n, x: _conv(n, x, outputs=6, group=2),
    "depthwise": lambda n, x: _conv(n, x, outputs=8, group=8),
    "depthwise of multiplier 2": lambda n, x: _conv(n, x, outputs=16, group=8),
    "no bias": lambda n, x: n.add("Conv", [x, n.normal(5, 8, 3, 3)]),
    "transposed": lambda n, x: n.add(
        "ConvTranspose", [x, n.normal(8, 5, 2, 2), n.bias(5)], strides=[2, 2]
    ),
    "transposed in groups": lambda n, x: n.add(
        "ConvTranspose", [x, n.normal(8, 3, 2, 2), n.bias(12)], strides=[2, 2], group=4
    ),
    "flattened": lambda n, x: n.gemm(n.add("Flatten", [x]), 8 * 64, 5),
    "flattened, weight as inputs by outputs": lambda n, x: n.add(
        "Gemm", [n.add("Flatten", [x]), n.normal(8 * 64, 5), n.bias(5)]
    ),
    "reshaped": lambda n, x: n.add("MatMul", [_reshape(n, x, [0, -1]), n.normal(512, 5)]),
    "reshaped to a computed shape": lambda n, x: n.gemm(_flat(n, x), 512, 5),
    "pooled": lambda n, x: n.gemm(n.add("Flatten", [n.add("GlobalAveragePool", [x])]), 8, 5),
    "averaged": lambda n, x: n.gemm(n.add("ReduceMean", [x], axes=[2, 3], keepdims=0), 8, 5),
    "channels last, averaged": lambda n, x: n.gemm(
        n.add("ReduceMean", [n.add("Transpose", [x], perm=[0, 2, 3, 1])], axes=[1, 2], keepdims=0),
        8,
        5,
    ),
    "bounded behind flattening": lambda n, x: n.gemm(n.relu6(n.add("Flatten", [x])), 512, 5),
    "max pool and pad": lambda n, x: _conv(
        n, _pad(n, n.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]))
    ),
    "average pool": lambda n, x: _conv(
        n, n.add("AveragePool", [x], kernel_shape=[2, 2], pads=[1] * 4, count_include_pad=1)
    ),
    "channels last": lambda n, x: n.add(
        "MatMul", [n.add("Transpose", [x], perm=[0, 2, 3, 1]), n.normal(8, 5)]
    ),
    "channels last, flattened": lambda n, x: n.gemm(
        n.add("Flatten", [n.add("Transpose", [x], perm=[0, 2, 3, 1])]), 512, 5
    ),
}


def _reshape(net: Uneven, x: str, shape: list[int]) -> str:
    return net.add("Reshape", [x, integers(net, shape)])


def integers(net: Uneven, numbers: list[int]) -> str:
    name = net.constant(np.zeros(1))
    tensor = onnx.numpy_helper.from_array(np.array(numbers, np.int64), name)
    net.constants[-1].CopyFrom(tensor)
    return name


def _flat(net: Uneven, x: str) -> str:
    count = net.add("Gather", [net.add("Shape", ["x"]), integers(net, [0])], axis=0)
    return net.add("Reshape", [x, net.add("Concat", [count, integers(net, [-1])], axis=0)])


def _pad(net: Uneven, x: str) -> str:
    return net.add("Pad", [x, integers(net, [0, 0, 1, 1, 0, 0, 1, 1])])


ACTIVATIONS: dict[str, Any] = {
    "none": lambda n, x: x,
    "Relu": lambda n, x: n.add("Relu", [x]),
    "LeakyRelu": lambda n, x: n.add("LeakyRelu", [x], alpha=0.3),
    "PRelu, one slope": lambda n, x: n.add("PRelu", [x, n.constant(np.array([0.2]))]),
    "PRelu": lambda n, x: n.add("PRelu", [x, n.constant(np.linspace(-1, 1, 8).reshape(8, 1, 1))]),
    "ReLU6": lambda n, x: n.relu6(x),
    "Clip without end": lambda n, x: n.add("Clip", [x, n.constant(np.array(0.0))]),
    "Clip at the largest float": lambda n, x: n.add(
        "Clip",
        [x, n.constant(np.array(0.0)), n.constant(np.array(np.finfo(np.float32).max))],
    ),
    "Min alone": lambda n, x: n.add("Clip", [x, "", n.constant(np.array(2.0))]),
}


# Two bounds are no pair.
BOUNDED = "bounded behind flattening"


@pytest.mark.parametrize(
    ("second", "activation"),
    [
        (second, activation)
        for second in SECONDS
        for activation in ("none", "Relu", "ReLU6")
        if (second, activation) != (BOUNDED, "ReLU6")
    ],
)
def test_function_stays_and_ranges_become_equal(
    tmp_path: Path, second: str, activation: str
) -> None:
    _check(tmp_path, second, activation)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(tmp_path: Path, activation: str) -> None:
    _check(tmp_path, "group 1", activation)


def _check(folder: Path, second: str, activation: str) -> None:
    net, output = chained(lambda n, x: SECONDS[second](n, ACTIVATIONS[activation](n, x)))
    rank = 2 if output.startswith("gemm") or "resh" in second else 4
    model = net.model([3, 8, 8], output, rank=rank)
    (pair,) = pairs_of(model).pairs
    case, change = equalized(model, folder, drop_bounds=False)
    assert drift(case, change, IMAGES) < 1e-5
    first, before = ranges(change.model, pair), ranges(case.model, pair)
    np.testing.assert_allclose(first[0], first[1], rtol=2e-3)
    np.testing.assert_allclose(first[0], np.sqrt(before[0] * before[1]), rtol=2e-3)
    assert change.summary.figures["pairs"] == "1"


def test_layers_of_gemm_and_matmul(tmp_path: Path) -> None:
    net, x = Uneven(3), "x"
    x = net.add(
        "Relu", [net.add("Gemm", [x, net.uneven(8, 6), net.constant(np.ones((1, 8)))], transB=1)]
    )
    x = net.add("Add", [net.constant(np.ones(7)), net.add("MatMul", [x, net.uneven(8, 7, axis=1)])])
    x = net.gemm(net.add("Relu", [x]), 7, 4)
    model, data = net.model([6], x), samples(1, 20, 6)
    case = case_of(model, data, tmp_path)
    change = change_of(Equalization(), case)
    assert len(find_chains(case.model).pairs) == 2
    assert drift(case, change, data) < 1e-5
    for pair in find_chains(case.model).pairs:
        np.testing.assert_allclose(*ranges(change.model, pair), rtol=5e-3)


def mobile(seed: int, bound: float = 6.0, chunk: float = 1.0) -> onnx.ModelProto:
    """An expansion, a depthwise convolution and a projection, with bounded activations."""
    net = Uneven(seed)

    def clip(x: str) -> str:
        return net.add("Clip", [x, net.constant(np.array(0.0)), upper])

    upper = net.constant(np.array(bound))  # one initializer for all
    expand = net.constant(chunk * np.abs(net.random.normal(0, 1, (8, 3, 1, 1))))
    x = clip(net.add("Conv", ["x", expand, net.bias(8)]))
    x = clip(net.add("Conv", [x, net.uneven(8, 1, 3, 3), net.bias(8)], group=8, pads=[1] * 4))
    return net.model([3, 8, 8], net.add("Conv", [x, net.uneven(4, 8, 1, 1)]), rank=4)


def test_ranges_of_a_depthwise_triple_become_equal(tmp_path: Path) -> None:
    case, change = equalized(mobile(5), tmp_path, drop_bounds=False)
    assert change.model is not None
    chains = find_chains(case.model).pairs
    weights = Weights(change.model, layers_of(chains)).blocks
    first, second, third = (chains[0].first, chains[0].second, chains[1].second)
    r1, r2, r3 = (
        output_ranges(weights[first.node]),
        output_ranges(weights[second.node]),
        input_ranges(weights[third.node]),
    )
    np.testing.assert_allclose(r1, r2, rtol=5e-3)
    np.testing.assert_allclose(r2, r3, rtol=5e-3)
    before = Weights(case.model, layers_of(chains)).blocks
    golden = np.cbrt(
        output_ranges(before[first.node])
        * output_ranges(before[second.node])
        * input_ranges(before[third.node])
    )
    np.testing.assert_allclose(r1, golden, rtol=5e-3)
    assert drift(case, change, IMAGES) < 1e-5


def bounds(change: Change) -> Mapping[str, Figure]:
    """How many bounds there were, and how many are left."""
    said = change.summary.figures["bounds"]
    assert isinstance(said, Message) and said.code == "ledger.equalization_bounds"
    return said.figures


def test_bounds_that_are_met_become_one_for_each_channel(tmp_path: Path) -> None:
    case, change = equalized(mobile(6, bound=1.0), tmp_path)
    assert change.model is not None
    ops = [node.op_type for node in change.model.graph]
    assert ops == ["Conv", "Clip", "Min", "Conv", "Clip", "Min", "Conv"]
    assert drift(case, change, 3 * samples(9, 6, 3, 8, 8)) < 1e-5, "on any input"
    names = [{o.name for n in m.graph for o in n.outputs} for m in (case.model, change.model)]
    assert names[0] < names[1], "every tensor of before is still there"
    assert bounds(change) == {"all": "2", "kept": "2"}


def test_bounds_that_are_never_met_go(tmp_path: Path) -> None:
    case, change = equalized(mobile(6, bound=1e4), tmp_path)
    assert change.model is not None
    assert [n.op_type for n in change.model.graph] == ["Conv", "Relu", "Conv", "Relu", "Conv"]
    assert drift(case, change, IMAGES) < 1e-5
    assert bounds(change) == {"all": "2", "kept": "0"}


@pytest.mark.parametrize(("part", "op"), [(0.89, "Relu"), (0.91, "Clip")])
def test_margin_below_the_bound(tmp_path: Path, part: float, op: str) -> None:
    case = case_of(mobile(6, bound=1e4), IMAGES, tmp_path)
    clip = next(n for n in case.model.graph if n.op_type == "Clip")
    most = case.seen[f"{clip.outputs[0].name}:activation"].whole.hi.max()
    case = case_of(mobile(6, bound=float(most / part)), IMAGES, tmp_path)
    change = change_of(Equalization(), case)
    assert change.model is not None
    assert next(n for n in change.model.graph if n.name == clip.name).op_type == op


def test_a_bound_without_a_zero_below_never_becomes_a_relu(tmp_path: Path) -> None:
    net, output = chained(lambda n, x: _conv(n, n.add("Clip", [x, "", n.constant(np.array(1e4))])))
    case, change = equalized(net.model([3, 8, 8], output, rank=4), tmp_path)
    assert drift(case, change, IMAGES) < 1e-5


def test_only_without_dropping_bounds_the_function_is_promised() -> None:
    assert not Equalization().keeps_function
    assert Equalization(drop_bounds=False).keeps_function


def test_channels_without_weights_stay(tmp_path: Path) -> None:
    net = Uneven(2)
    first, second = net.random.normal(size=(8, 3, 1, 1)), net.random.normal(size=(4, 8, 1, 1))
    first[2], second[:, 5] = 0, 0
    x = net.add("Relu", [net.add("Conv", ["x", net.constant(first), net.bias(8)])])
    model = net.model([3, 8, 8], net.add("Conv", [x, net.constant(second)]), rank=4)
    case, change = equalized(model, tmp_path)
    (pair,) = find_chains(case.model).pairs
    for before, after in zip(ranges(case.model, pair), ranges(change.model, pair), strict=True):
        np.testing.assert_array_equal(after[[2, 5]], before[[2, 5]])
    assert drift(case, change, IMAGES) < 1e-5


def test_factors_are_capped(tmp_path: Path) -> None:
    net = Uneven(2)
    first = net.random.normal(size=(8, 3, 1, 1))
    first[2] *= 1e-9
    x = net.add("Conv", ["x", net.constant(first)])
    model = net.model([3, 8, 8], net.add("Conv", [x, net.normal(4, 8, 1, 1)]), rank=4)
    pairs = find_chains(normal(model)).pairs
    (factors,) = equal_ranges(pairs, Weights(normal(model), layers_of(pairs)).blocks)
    assert factors[2] == pytest.approx(2.0**-8)
    assert np.abs(np.log2(np.delete(factors, 2))).max() < 8


def _skipping(kind: str) -> tuple[onnx.ModelProto, str]:
    """A network with two layers that are no pair, and the reason: a code, or an op."""
    net = Uneven(1)
    first = net.add("Conv", ["x", net.uneven(3, 3, 1, 1), net.bias(3)])
    shared = net.normal(3, 3, 1, 1)
    if kind == "skip connection":
        inner = net.add("Relu", [net.add("Conv", [first, shared])])
        return net.model([3, 8, 8], net.add("Add", [inner, first]), rank=4), "skipped.readers"
    if kind == "shared weight":
        second = net.add("Conv", [first, shared])
        return net.model(
            [3, 8, 8], net.add("Conv", [second, shared]), rank=4
        ), "skipped.weight_shared"
    operations: dict[str, tuple[str, dict[str, Any]]] = {
        "Sigmoid": ("Sigmoid", {}),
        "Softmax": ("Softmax", {"axis": 1}),
        "Clip from -1": ("Clip", {}),
        "maximum over channels": ("ReduceMax", {"axes": [1]}),
    }
    op, attributes = operations[kind]
    reason = "skipped.clip_from" if op == "Clip" else op
    ends = [net.constant(np.array(-1.0)), net.constant(np.array(1.0))] if op == "Clip" else []
    between = net.add(op, [first, *ends], **attributes)
    weight = net.normal(3, 1 if op == "ReduceMax" else 3, 1, 1)
    return net.model([3, 8, 8], net.add("Conv", [between, weight]), rank=4), reason


@pytest.mark.parametrize(
    "kind",
    [
        "skip connection",
        "shared weight",
        "Sigmoid",
        "Softmax",
        "Clip from -1",
        "maximum over channels",
    ],
)
def test_what_is_no_pair_is_left_alone_and_named(tmp_path: Path, kind: str) -> None:
    model, code = _skipping(kind)
    _, change = equalized(model, tmp_path)
    assert change.empty
    said = [(why.code, why.figures.get("op")) for why in change.skipped.values()]
    assert code in {part for each in said for part in each}, change.skipped
    assert change.summary.code == "ledger.equalization_alone"


def test_an_output_of_the_network_breaks_the_chain(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node("Conv", ["y", "v"], ["z"]),
    ]
    weights = {n: samples(i, 3, 3, 1, 1) for i, n in enumerate("wv")}
    model = of_nodes(nodes, weights, ("N", 3, 8, 8), {"y": 4, "z": 4})
    _, change = equalized(model, tmp_path)
    assert change.empty
    assert change.skipped == dict.fromkeys("yz", say("skipped.output"))


def test_shared_biases_become_two(tmp_path: Path) -> None:
    net = Uneven(1)
    bias = net.bias(3)
    x = net.add("Relu", [net.add("Conv", ["x", net.uneven(3, 3, 1, 1), bias])])
    model = net.model([3, 8, 8], net.add("Conv", [x, net.normal(3, 3, 1, 1), bias]), rank=4)
    case, change = equalized(model, tmp_path)
    assert drift(case, change, IMAGES) < 1e-5


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    model = mlp(3)
    data = samples(3, 20, 6)
    case = case_of(model, data, tmp_path)
    change = change_of(Equalization(), case)
    assert change.model is not None
    again = change_of(Equalization(), case_of(ir.to_proto(change.model), data, tmp_path))
    assert again.empty
    assert again.summary == say("ledger.equalization_equal")


def test_prediction_follows_the_share_of_the_weights_and_the_target(tmp_path: Path) -> None:
    model = mobile(5, bound=1e4)
    case = case_of(model, IMAGES, tmp_path)
    weights = [s.key for s in case.sites if s.role == "weight"]
    some = Equalization().consider(case).gain(diagnosed(dict.fromkeys(weights, 0.2)))
    all_of_it = Equalization().consider(case).gain(diagnosed(dict.fromkeys(weights, 1 / 3)))
    assert 0 < some < all_of_it
    assert Equalization().consider(case).gain(diagnosed({"x:activation": 1.0})) == 0
    fine = case_of(model, IMAGES, tmp_path, "onnxruntime")
    assert Equalization().consider(fine).gain(diagnosed(dict.fromkeys(weights, 1 / 3))) == 0


def test_ratios_are_those_of_the_formula(tmp_path: Path) -> None:
    net = Uneven(8)
    x = net.add("Relu", [net.add("Conv", ["x", net.uneven(8, 3, 1, 1), net.bias(8)])])
    model = net.model([3, 8, 8], net.add("Conv", [x, net.uneven(4, 8, 1, 1, axis=1)]), rank=4)
    case = case_of(model, IMAGES, tmp_path)
    (pair,) = find_chains(case.model).pairs
    weights = Weights(case.model, layers_of([pair]))
    channels = {key: seen.channels for key, seen in case.seen.items()}
    factors = np.exp2(np.arange(8.0))
    weights.rescale(pair, factors)
    found = rescaling_ratios([Junction.of(pair)], [factors], weights, channels)
    first, second = (weights.before[n.node][0, :, :, 0] for n in (pair.first, pair.second))
    peaks, energy = case.seen[f"{pair.tensors[-1]}:activation"].channels.hi, (second**2).sum(0)
    # The error of row i, column j is that of one step, seen through the factors and what follows.
    old, new = np.abs(first).max(), np.abs(first / factors[:, None]).max()
    expected = new**2 * (energy * factors**2).sum() / (old**2 * energy.sum())
    assert found[f"{pair.first.weight}:weight"] == pytest.approx(expected)
    old, new = np.abs(second).max(), np.abs(second * factors).max()
    expected = new**2 * (peaks**2 / factors**2).sum() / (old**2 * (peaks**2).sum())
    assert found[f"{pair.second.weight}:weight"] == pytest.approx(expected)
    old, new = peaks.max(), (peaks / factors).max()
    expected = new**2 * (energy * factors**2).sum() / (old**2 * energy.sum())
    assert found[f"{pair.tensors[-1]}:activation"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        ((6, 2, 3, 3), {"groups": 2, "kernel": (3, 3), "inputs_first": False}),
        ((4, 3, 3, 3), {"groups": 2, "kernel": (3, 3), "inputs_first": True}),
        ((5, 24), {"groups": 1, "kernel": (), "inputs_first": False, "outer": 2, "inner": 3}),
        ((24, 5), {"groups": 1, "kernel": (), "inputs_first": True, "outer": 2, "inner": 3}),
    ],
)
def test_blocks_are_joined_as_they_were_split(shape: tuple[int, ...], fields: Any) -> None:
    layer = Linear("n", "op", "w", "y", None, outputs=0, columns=0, **fields)
    weight = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    blocks = layer.split(weight)
    assert blocks.shape[0] == fields["groups"]
    np.testing.assert_array_equal(layer.join(blocks), weight)


@pytest.mark.slow
@given(st.integers(0, 10_000), st.lists(st.sampled_from(range(6)), min_size=1, max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_chains_keep_their_function(tmp_path: Path, seed: int, layers: list[int]) -> None:
    net, width, x = Uneven(seed), 3, "x"
    for kind in layers:
        group = width if kind % 2 else 1
        outputs = width if kind % 2 else int(net.random.integers(1, 6))
        weight = net.uneven(outputs, width // group, 3, 3)
        x = net.add("Conv", [x, weight, net.bias(outputs)], pads=[1] * 4, group=group)
        x = net.relu6(x) if kind < 2 else net.add("Relu", [x]) if kind < 4 else x
        width = outputs
    model = net.model([3, 8, 8], net.add("Conv", [x, net.normal(2, width, 1, 1)]), rank=4)
    case, change = equalized(model, tmp_path, drop_bounds=False)
    assert len(find_chains(case.model).pairs) == len(layers)
    assert change.empty or drift(case, change, IMAGES) < 1e-5
