"""Calibration: streamed, exact, whatever the batches; and cli-visible errors of activations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from lostbits.case import Case
from lostbits.data import InputSpec, open_source
from lostbits.errors import LostbitsError
from lostbits.graph.place import place
from lostbits.language import Figure, Message
from lostbits.plan.ranges import make_plan
from lostbits.plan.tensor_settings import Override
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.float_reference import input_specs, open_reference
from lostbits.targets import target
from lostbits.verbs.demo import demo_files
from runs import diagnosed, planned


def demo_images(count: int) -> NDArray[np.float32]:
    images: NDArray[np.float32] = np.load(demo_files()["data"])["image"][:count]
    return images


def relu_net(folder: Path, batch: int | str = "n") -> Path:
    """y = Relu(x) @ W: the products of a row do not depend on its neighbours."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 3], np.linspace(-1, 1, 12))
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w"], ["y"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [weight],
    )
    path = folder / f"relu_{batch}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def states(path: Path, data: Any, batch: int) -> list[dict[str, Any]]:
    model = open_reference(path).model
    sites = place(model, target("snpe")).sites
    seen, energy = calibrate(model, sites, open_source(data, input_specs(model)), batch)
    parts = [p.state() for s in seen.values() for p in (s.whole, s.channels)]
    return [*map(dict, parts), {"energy": np.round(list(energy.values()), 3)}]


def assert_equal(a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]]) -> None:
    assert len(a) == len(b) > 2
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for key in x:
            np.testing.assert_array_equal(x[key], y[key])


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
def test_the_size_of_a_batch_changes_nothing(tmp_path: Path, batch: int) -> None:
    data = np.random.default_rng(0).normal(size=(23, 4)).astype(np.float32)
    path = relu_net(tmp_path)
    assert_equal(states(path, data, 23), states(path, data, batch))


def test_the_order_of_the_samples_changes_nothing(tmp_path: Path) -> None:
    data = np.random.default_rng(1).normal(size=(23, 4)).astype(np.float32)
    path = relu_net(tmp_path)
    assert_equal(states(path, data, 5), states(path, data[::-1].copy(), 5))


@pytest.mark.parametrize("fixed", [1, 4])
def test_a_model_of_fixed_batch_counts_no_sample_twice(tmp_path: Path, fixed: int) -> None:
    data = np.random.default_rng(2).normal(size=(23, 4)).astype(np.float32)
    free = states(relu_net(tmp_path), data, 23)
    assert_equal(free, states(relu_net(tmp_path, fixed), data, 8))


def test_extremes_and_counts_are_those_of_the_tensor_itself(tmp_path: Path) -> None:
    data = np.random.default_rng(3).normal(size=(40, 4)).astype(np.float32)
    model = open_reference(relu_net(tmp_path)).model
    seen, _ = calibrate(
        model, place(model, target("snpe")).sites, open_source(data, input_specs(model)), 7
    )
    relu = np.maximum(data, 0)
    key = next(k for k in seen if k.startswith("r:"))
    np.testing.assert_array_equal(seen[key].channels.hi, relu.max(axis=0).astype(np.float64))
    assert seen[key].whole.size == relu.size
    assert seen[key].whole.zeros[0] == np.count_nonzero(relu == 0)


@pytest.mark.slow
def test_the_pictures_of_the_demo_do_not_depend_on_the_batch() -> None:
    """Convolutions too: at most a last bit of the runtime's own, never a count that is lost."""
    files = demo_files()
    one, two = (states(files["model"], demo_images(24), batch) for batch in (24, 5))
    for x, y in zip(one[:-1], two[:-1], strict=True):
        assert int(np.sum(x["counts"])) == int(np.sum(y["counts"]))
        np.testing.assert_allclose(x["hi"], y["hi"], rtol=1e-5, atol=1e-6)


def test_activations_that_are_not_finite_are_named(tmp_path: Path) -> None:
    node = helper.make_node("Log", ["x"], ["l"], name="log")
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 9], np.ones(36))
    graph = helper.make_graph(
        [node, helper.make_node("MatMul", ["l", "w"], ["y"], name="product")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 9])],
        [weight],
    )
    path = tmp_path / "log.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    data = np.full((6, 4), 2.0, np.float32)
    data[4, 1] = 0.0
    with pytest.raises(LostbitsError, match=r"S003: tensor 'l'.*samples 4 to 5"):
        states(path, data, 2)


@pytest.mark.filterwarnings("error")
def test_samples_without_values_are_refused(tmp_path: Path) -> None:
    """Also where only a tensor on the way is empty: it has no range."""
    doubled = [helper.make_node("Add", ["x", "x"], ["y"], name="add")]
    aside = [
        helper.make_node("Slice", ["x", "zero", "zero", "one"], ["e"], name="slice"),
        helper.make_node("Add", ["e", "e"], ["s"], name="sum"),
        helper.make_node("Concat", ["x", "s"], ["y"], axis=1, name="cat"),
    ]
    ends = [
        helper.make_tensor(n, TensorProto.INT64, [1], [v]) for n, v in (("zero", 0), ("one", 1))
    ]
    for nodes, width, found in ((doubled, 0, "empty outputs"), (aside, 4, "tensor '.' is empty")):
        path = tmp_path / f"{width}.onnx"
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", None]) for n in "xy")
        graph = helper.make_graph(nodes, "net", [x], [y], ends if width else [])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
        with pytest.raises(LostbitsError, match=f"D031.*{found}"):
            states(path, np.ones((6, width), np.float32), 2)


def demo_case(**wishes: Any) -> Case:
    files = demo_files()
    return planned(files["model"], files["data"], "snpe", samples=16, **wishes)[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("stem.conv.weight=per_channel", lambda a: a.axis == 0 and a.scale.size == 16),
        ("stem.conv.weight=4bit", lambda a: a.grid.bits == 4),
        ("stem.conv.weight=mse", lambda a: a.axis is None),
    ],
)
def test_an_override_changes_its_tensor_and_no_other(text: str, check: Any) -> None:
    plain, changed = demo_case(), demo_case(overrides=(Override.parse(text),))
    assert check(changed.plan["stem.conv.weight:weight"])
    same = [k for k in plain.plan if plain.plan[k] == changed.plan[k]]
    bias = {"stem.conv.Conv.bias:bias"}  # takes the scale of its weight
    assert set(plain.plan) - set(same) <= {"stem.conv.weight:weight"} | bias


def test_a_tensor_set_to_float_has_no_parameters() -> None:
    case = demo_case(overrides=(Override.parse("stem.conv.weight=float"),))
    assert "stem.conv.weight:weight" not in case.plan
    assert len(case.sites) < len(case.placed.sites)


MIN_MAX = "note.min_max_instead"


def rows(listed: Figure) -> list[Message]:
    """The messages that stand in a row."""
    assert isinstance(listed, Message)
    if listed.code != "list.and":
        return [listed]
    return [*rows(listed.figures["row"]), *rows(listed.figures["part"])]


def test_too_few_values_for_the_targets_method_get_min_max_and_a_remark(tmp_path: Path) -> None:
    data = np.random.default_rng(7).normal(size=(16, 4)).astype(np.float32)  # 64 values
    result = diagnosed(relu_net(tmp_path), data, "tensorrt")
    assert result.coverage.sites_matched == result.coverage.sites_total
    assert abs(result.network.residual) < 1e-3
    (row,) = [row for row in result.sites if row.tensor == "r"]
    assert row.hi == pytest.approx(data.max())
    (note,) = (n for n in result.notes if n.code == MIN_MAX)
    (few,) = (each for each in rows(note.figures["where"]) if each.figures["tensor"] == "r")
    assert few.figures == {"tensor": "r", "size": "64", "method": "entropy", "least": "128"}


def test_labels_that_are_no_class_stop_a_diagnosis(tmp_path: Path) -> None:
    data = np.random.default_rng(8).normal(size=(8, 4)).astype(np.float32)
    np.save(tmp_path / "labels.npy", [1, 2, 3, 1, 2, 3, 1, 2])
    with pytest.raises(LostbitsError, match=r"D022.*classes 0 to 2.*2 of 8.*3 of sample 2"):
        diagnosed(relu_net(tmp_path), data, "snpe", labels=tmp_path / "labels.npy")


def test_labels_that_an_output_has_no_place_for_are_remarked(tmp_path: Path) -> None:
    data = np.random.default_rng(8).normal(size=(8, 4)).astype(np.float32)
    np.save(tmp_path / "labels.npy", np.zeros(8, int))
    model = onnx.load(relu_net(tmp_path))
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [-1, 1, 3])
    model.graph.initializer.append(shape)
    model.graph.node.append(helper.make_node("Reshape", ["y", "shape"], ["z"], name="maps"))
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 1, 3])
    )
    onnx.save(model, tmp_path / "maps.onnx")
    for path, said in ((relu_net(tmp_path), False), (tmp_path / "maps.onnx", True)):
        notes = diagnosed(path, data, "snpe", labels=tmp_path / "labels.npy").notes
        assert ("note.labels_unused" in {note.code for note in notes}) is said


def test_enough_values_for_the_targets_method_are_not_remarked(tmp_path: Path) -> None:
    data = np.random.default_rng(7).normal(size=(64, 4)).astype(np.float32)
    notes = diagnosed(relu_net(tmp_path), data, "tensorrt").notes
    assert MIN_MAX not in {note.code for note in notes}


def test_too_few_values_for_a_method_that_was_asked_for_are_refused(tmp_path: Path) -> None:
    data = np.ones((2, 4), np.float32)
    model = open_reference(relu_net(tmp_path)).model
    chosen = target("onnxruntime")
    placed = place(model, chosen)
    source = open_source(data, [InputSpec("x", np.dtype(np.float32), (None, 4))])
    seen, _ = calibrate(model, placed.sites, source, 2)
    with pytest.raises(LostbitsError, match=r"D030.*entropy.*at least 128.*: 8:"):
        make_plan(model, placed, seen, chosen, [Override.parse("r=entropy")])


@pytest.mark.parametrize("scale", [1e-38, 1e30])
def test_a_denormal_or_overflowing_range_is_named(tmp_path: Path, scale: float) -> None:
    data = (np.random.default_rng(4).normal(size=(8, 4)) * scale).astype(np.float32)
    with pytest.raises(LostbitsError, match=r"S007: tensor 'x'"):
        states(relu_net(tmp_path), data, 4)


def test_a_constant_zero_channel_is_handled(tmp_path: Path) -> None:
    data = np.random.default_rng(5).normal(size=(8, 4)).astype(np.float32) * [1, 0, 1, 1]
    result = diagnosed(relu_net(tmp_path), data.astype(np.float32), "snpe")
    assert result.coverage.sites_matched == result.coverage.sites_total
    assert abs(result.network.residual) < 1e-3


def test_outputs_of_tiny_values_are_attributed_too(tmp_path: Path) -> None:
    data = (np.random.default_rng(6).normal(size=(8, 4)) * 1e-30).astype(np.float32)
    result = diagnosed(relu_net(tmp_path), data, "openvino")
    assert result.network.total > 0
    assert abs(result.network.residual) < 1e-3
