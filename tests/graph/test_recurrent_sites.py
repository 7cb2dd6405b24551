"""Where the weights of recurrent ops are sites, and what stays in float elsewhere."""

import numpy as np
import pytest

import lostbits as lb
from lostbits.graph.weight_values import weight_values
from lostbits.results.facts import Coverage
from recurrent_nets import GATES, UNITS, WIDTH, sequences, streaming, tagger

EVERYWHERE = ("qnn-htp", "snpe")
NOWHERE = ("onnxruntime", "openvino", "tensorrt", "cnrt")


@pytest.mark.parametrize("target", EVERYWHERE + NOWHERE)
@pytest.mark.parametrize("op", sorted(GATES))
def test_weights_are_sites_where_every_op_runs_in_integers(op: str, target: str) -> None:
    case = lb.load(tagger(op, both=True), data=sequences(), target=target)
    found = {s.tensor: s for s in case.sites if s.tensor in ("W", "R", "B")}
    assert set(found) == ({"W", "R"} if target in EVERYWHERE else set())
    for site in found.values():
        assert (site.role, site.axis, site.per_channel) == ("weight", 1, False)
        affine = case.plan[site.key]
        assert affine.scale.shape == ()
        assert affine.grid == case.target.weights.grid
    left = {t: why.code for t, why in case.placed.left_in_float.items()}
    assert left["B"] == ("left.gates" if target in EVERYWHERE else "left.float_op")


def test_the_share_in_float_counts_numbers_of_weights() -> None:
    case = lb.load(tagger("GRU"), data=sequences(), target="openvino")
    gates = 3 * UNITS * (WIDTH + UNITS)
    linear = WIDTH * WIDTH + UNITS * 5
    assert weight_values(case.model.graph, {"first", "last"}) == (gates + linear, gates)
    assert weight_values(case.model.graph, {"W", "R", "first", "last"})[1] == 0
    assert Coverage(0, 0, [], [], gates + linear, gates).float_share == gates / (gates + linear)
    assert Coverage(0, 0, [], []).float_share == 0.0


@pytest.mark.parametrize("op", sorted(GATES))
def test_attributions_through_time_close(op: str) -> None:
    for target in ("qnn-htp", "onnxruntime"):
        found = lb.diagnose(lb.load(tagger(op, both=True), data=sequences(), target=target))
        assert found.network.method == "aumann-shapley"
        assert abs(found.network.residual) < 0.005
        floats = found.coverage.float_share
        assert (found.verdict.code == "verdict.floats") == (floats >= 0.1) == (target != "qnn-htp")
        carried = {a.tensor for a in found.network.attributions if a.value}
        assert {"W", "R"} <= carried or target == "onnxruntime"


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_states_come_in_and_go_out(op: str) -> None:
    random = np.random.default_rng(0)
    states = ["h", "c"] if op == "LSTM" else ["h"]
    data = {f"{s}_in": random.normal(size=(12, 1, UNITS)).astype(np.float32) for s in states}
    data["x"] = random.normal(size=(12, WIDTH)).astype(np.float32)
    found = lb.diagnose(lb.load(streaming(op), data=data, target="qnn-htp"))
    roles = {s.tensor: s.role for s in found.sites}
    assert roles == {
        "x": "activation",
        "W": "weight",
        "R": "weight",
        "y": "output",
        **{f"{s}_in": "activation" for s in states},
        **{f"{s}_out": "output" for s in states},
    }
    assert found.network.method == "aumann-shapley"
    assert abs(found.network.residual) < 0.005


def test_channels_of_a_recurrent_op_are_features_and_not_steps() -> None:
    case = lb.load(tagger(steps=9), data=sequences(steps=9), target="qnn-htp")
    axes = {s.tensor: s.axis for s in case.sites}
    assert axes["a"] == 2
    assert axes["y"] == 3
