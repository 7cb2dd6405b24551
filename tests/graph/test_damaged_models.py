"""Models that are damaged, hostile, or merely written by another tool: a result or a code."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lostbits.data import open_source
from lostbits.errors import LostbitsError, ModelError
from lostbits.graph import functions
from lostbits.graph.load import load
from lostbits.graph.place import place
from lostbits.graph.queries import constant
from lostbits.graph.simplify import normalise
from lostbits.runtime import float_reference as reference
from lostbits.runtime.equality import _Closer, check_equal
from lostbits.runtime.float_reference import input_specs, open_reference
from lostbits.system import memory
from lostbits.targets import target
from runs import diagnosed
from small_nets import cnn, mlp, samples
from text_models import outputs, proto, random, saved

pytestmark = pytest.mark.slow

Change = Callable[[onnx.ModelProto], object]
X = samples(2, 8, 6)
_REPEATED = "note.repeated_outputs"
DUMMY = "g (float[N,6] x) => (float[N,4] y) { y = Gemm(x, w) }"


def refused(model: onnx.ModelProto, folder: Path, data: object = X) -> LostbitsError:
    with pytest.raises(LostbitsError) as info:
        diagnosed(saved(model, folder), data)
    return info.value


def figures(model: onnx.ModelProto, folder: Path, data: object = X) -> tuple[Any, ...]:
    """SQNR and sites, which must not depend on how the same network is written down."""
    result = diagnosed(saved(model, folder), data, samples=8)
    return result.baseline.sqnr_db, [s.tensor for s in result.sites]


def _output_twice(model: onnx.ModelProto) -> None:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


def _unknown_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def _text_of_numbers(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.STRING


def _longer(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data += b"\0" * 4


def _shorter_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.FLOAT16


def _packed(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.INT4


def _two_kinds_of_data(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.append(1.0)


def _empty_but_endless(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [0, 2**62, 2**62]


def _undefined_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 0


def _input_without_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].ClearField("type")


def _false_output_type(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32


def _circle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_output_twice, "M002"),
        (_unknown_type, "M002"),
        (_text_of_numbers, "M002"),
        (_longer, "M002"),
        (_shorter_type, "M002"),
        (_packed, "M002"),
        (_two_kinds_of_data, "M002"),
        (_empty_but_endless, "M002"),
        (_undefined_input, "M002"),
        (_input_without_type, "M002"),
        (_false_output_type, "M009"),
        (_circle, "M002"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    change: Change, code: str, tmp_path: Path
) -> None:
    model = mlp(1)
    change(model)
    error = refused(model, tmp_path)
    assert error.code == code, error
    assert "\n" not in str(error)


def test_a_weight_without_axes_is_refused(tmp_path: Path) -> None:
    model = cnn(1)
    weight = next(t for t in model.graph.initializer if len(t.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(np.asarray(1, np.float32), weight.name))
    assert refused(model, tmp_path, samples(2, 8, 3, 16, 16)).code == "M014"


@pytest.mark.parametrize("length", [2**62, 2**40])
def test_an_input_that_memory_does_not_hold_is_refused_with_both_numbers(
    length: int, tmp_path: Path
) -> None:
    model = mlp(1)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = length
    error = refused(model, tmp_path)
    assert error.code == "M013"
    assert "GiB are needed" in str(error)
    assert "may be taken" in str(error)


@pytest.mark.parametrize(
    "nodes",
    [
        "v = ConstantOfShape(s) y = Add(x, v)",
        "v = Expand(one, s) y = Add(x, v)",
        "v = Tile(one, s) y = Add(x, v)",
        "v = Expand(x, s) y = ReduceSum(v)",
    ],
)
def test_shapes_are_looked_at_before_memory_is_taken(nodes: str, tmp_path: Path) -> None:
    """With little memory at hand, so that a fault costs a moment and not the machine."""
    model = proto(
        f"g (float[1,1] x) => (float y) {{ {nodes} }}",
        s=np.asarray([1 << 13, 1 << 13]),
        one=np.ones((1, 1), np.float32),
    )
    with memory.bounded(1 << 26), pytest.raises(ModelError) as info:
        open_reference(saved(model, tmp_path))
    assert info.value.code == "M013"
    assert "64.0 MiB may be taken" in str(info.value)


def nested(depth: int) -> onnx.ModelProto:
    """Functions of which each calls the next one twice."""
    model = proto("g (float[N,6] x) => (float[N,6] y) { y = local.f0(x) }")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    for level in range(depth):
        inner, domain = (f"f{level + 1}", "local") if level < depth - 1 else ("Relu", "")
        nodes = [helper.make_node(inner, ["a"], ["b"], domain=domain)]
        nodes.append(helper.make_node(inner, ["b"], ["c"], domain=domain))
        model.functions.append(
            helper.make_function("local", f"f{level}", ["a"], ["c"], nodes, opsets)
        )
    return model


def test_functions_are_counted_before_they_are_inlined(tmp_path: Path) -> None:
    error = refused(nested(24), tmp_path)
    assert error.code == "M002"
    assert f"{2**24:,}" in str(error)
    assert f"{functions.MOST_NODES:,}" in str(error)


@pytest.mark.parametrize("inside", [False, True])
def test_an_attribute_of_a_function_outside_of_functions_is_refused(
    tmp_path: Path, inside: bool
) -> None:
    node = helper.make_node("Gather", ["x", "i"], ["y"], name="pick")
    node.attribute.add(name="axis", ref_attr_name="place", type=onnx.AttributeProto.INT)
    graph = helper.make_graph([node], "g", [], [])
    if inside:
        outer = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([outer], "outer", [], [])
    error = refused(helper.make_model(graph), tmp_path)
    assert error.code == "M002" and "'pick'" in str(error) and "'place'" in str(error)


def test_few_functions_are_inlined(tmp_path: Path) -> None:
    assert open_reference(saved(nested(4), tmp_path)).plain.graph.num_nodes() == 2**4


def test_functions_that_call_each_other_are_refused(tmp_path: Path) -> None:
    model = nested(3)
    model.functions[2].node[0].op_type, model.functions[2].node[0].domain = "f0", "local"
    assert refused(model, tmp_path).code == "M002"


def test_sparse_constants_are_made_dense(tmp_path: Path) -> None:
    dense = np.zeros((6, 4), np.float32)
    dense[1, 2], dense[5, 0] = 3, -2
    for places in ([6, 20], [[1, 2], [5, 0]]):
        model = proto(DUMMY)
        values = numpy_helper.from_array(np.asarray([3, -2], np.float32), "w")
        indices = numpy_helper.from_array(np.asarray(places), "places")
        model.graph.sparse_initializer.append(
            helper.make_sparse_tensor(values, indices, dense.shape)
        )
        read = load(saved(model, tmp_path)).model
        np.testing.assert_array_equal(outputs(read, x=X)[0], outputs(model, x=X)[0])
        np.testing.assert_array_equal(outputs(read, x=X)[0], X @ dense)


@pytest.mark.parametrize("places", [[99], [[9, 9]], [-1], [1, 2]])
def test_sparse_constants_with_places_outside_are_refused(
    places: list[Any], tmp_path: Path
) -> None:
    model = proto(DUMMY)
    values = numpy_helper.from_array(np.asarray([3], np.float32), "w")
    indices = numpy_helper.from_array(np.asarray(places), "places")
    sparse = onnx.SparseTensorProto(values=values, indices=indices, dims=[6, 4])
    model.graph.sparse_initializer.append(sparse)
    assert refused(model, tmp_path).code == "M002"


def test_an_output_that_is_listed_twice_is_measured_once(tmp_path: Path) -> None:
    model = mlp(1)
    exact = figures(model, tmp_path)
    model.graph.output.append(model.graph.output[0])
    assert len(outputs(model, x=X)) == 2, "ONNX Runtime runs it"
    assert figures(model, tmp_path) == exact
    (note,) = (n for n in diagnosed(saved(model, tmp_path), X).notes if n.code == _REPEATED)
    assert note.figures["outputs"] == model.graph.output[0].name


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT32, 99])
@pytest.mark.parametrize("shape", [[1], [3, 5, 7, 9], [-1, 2**62]])
def test_what_a_file_says_of_inner_tensors_is_not_trusted(
    kind: int, shape: list[int], tmp_path: Path
) -> None:
    model = cnn(2)
    data = samples(2, 8, 3, 16, 16)
    exact = figures(model, tmp_path, data)
    for node in model.graph.node[:-1]:
        info = helper.make_tensor_value_info(node.output[0], kind, shape)
        model.graph.value_info.append(info)
    assert figures(model, tmp_path, data) == exact


@pytest.mark.parametrize("shape", [[1], [3, 5, 7, 9], ["N", 99]])
def test_a_false_shape_of_an_output_changes_nothing(shape: list[int | str], tmp_path: Path) -> None:
    model = mlp(1)
    exact = figures(model, tmp_path)
    name = model.graph.output[0].name
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    assert figures(model, tmp_path) == exact


def test_names_of_axes_of_an_output_are_kept(tmp_path: Path) -> None:
    output = open_reference(saved(mlp(1), tmp_path)).model.graph.outputs[0]
    assert output.shape is not None
    assert str(output.shape[0]) == "N"


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_nodes_does_not_matter(seed: int, tmp_path: Path) -> None:
    model = cnn(2)
    data = samples(2, 8, 3, 16, 16)
    exact = figures(model, tmp_path, data)
    nodes = [n.SerializeToString() for n in model.graph.node]
    del model.graph.node[:]
    for index in np.random.default_rng(seed).permutation(len(nodes)):
        model.graph.node.append(onnx.NodeProto.FromString(nodes[index]))
    assert outputs(model, x=data)[0].size, "ONNX Runtime sorts, too"
    assert figures(model, tmp_path, data)[0] == exact[0]
    assert set(figures(model, tmp_path, data)[1]) == set(exact[1])


def test_weights_that_are_no_numbers_of_a_network_stay_in_float(tmp_path: Path) -> None:
    model = mlp(1)
    weight = model.graph.initializer[0]
    array = numpy_helper.to_array(weight).copy()
    array[0, 0] = 1e38
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    found = open_reference(saved(model, tmp_path))
    placed = place(found.model, target("onnxruntime"))
    assert placed.left_in_float[weight.name].code == "left.huge"


@pytest.mark.parametrize("name", ["\0", "x" * 300, "missing/" * 600, "."])
def test_paths_that_cannot_be_looked_at_are_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as info:
        load(tmp_path / name)
    assert info.value.code == "M001"


def test_a_library_that_gives_up_is_not_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would log a traceback, and go on."""
    text = "g (float[N,6] x) => (float[N,4] y) { z = Gemm(x, w) y = Conv(z, w) }"
    model = proto(text, w=random(6, 4))
    levels = {n: logging.getLogger(n).level for n in logging.root.manager.loggerDict}
    with caplog.at_level(logging.DEBUG):
        refused(model, tmp_path)
    assert not caplog.records
    assert capfd.readouterr().err == ""
    assert {n: logging.getLogger(n).level for n in levels} == levels


NEAR_ZERO = (
    "g (float[N,6] x) => (float[N,4] y) "
    "{ h = MatMul(x, w) n = BatchNormalization(h, s, t, m, v) l = Add(n, far) y = Sigmoid(l) }"
)


def checked(folder: Path, far: float, head: str = NEAR_ZERO) -> float:
    one, none = np.ones(4, np.float32), np.zeros(4, np.float32)
    weights: dict[str, NDArray[Any]] = {"w": random(6, 4), "s": one, "t": none, "m": none}
    model = proto(head, v=one, far=np.full(4, far, np.float32), **weights)
    opened = open_reference(saved(model, folder))
    return check_equal(opened, open_source({"x": X}, input_specs(opened.model)), 8)


def _scaled(factor: float) -> Callable[..., object]:
    """A normalisation that also changes a weight."""
    sound = normalise

    def wrong(model: ir.Model, *, fold: bool) -> object:
        copy, changes = sound(model, fold=fold)
        value = copy.graph.initializers["far"]
        array = constant(value)
        assert array is not None
        value.const_value = ir.tensor(array.astype(np.float32) * np.float32(factor), name="far")
        return copy, changes

    return wrong


@pytest.mark.parametrize("far", [-12.0, -15.0, -18.0])
def test_probabilities_near_zero_are_judged_by_their_logits(
    far: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A millionth of a logit of -15 moves its probability by more than the tolerance."""
    monkeypatch.setattr(reference, "normalise", _scaled(1 + 2**-20))
    assert checked(tmp_path, far) < 1e-5


@pytest.mark.parametrize("far", [-10.0, -15.0])
def test_a_true_difference_near_zero_is_still_refused(
    far: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "normalise", _scaled(1.0001))
    with pytest.raises(ModelError) as info:
        checked(tmp_path, far)
    assert info.value.code == "M010"


def test_many_ways_back_from_an_output_are_walked_once(tmp_path: Path) -> None:
    """Sixty products of a value with itself have 2^60 ways."""
    body = " ".join(f"a{i + 1} = Mul(a{i}, a{i})" for i in range(60))
    head = f"g (float[N,6] x) => (float[N,6] y) {{ a0 = Tanh(x) {body} y = Sigmoid(a60) }}"
    opened = open_reference(saved(proto(head), tmp_path))
    source = open_source({"x": X}, input_specs(opened.model))
    assert _Closer(opened, next(iter(source.batches(8)))).error("y", 1.0) == 0
