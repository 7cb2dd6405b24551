"""Samples that set ranges against samples that are measured, and against what training saw."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import lostbits as lb
from lostbits.diagnoses.batch_norm_fit import statistics_fit
from lostbits.verbs.origin import origin_of

Images = NDArray[np.float32]


def images(seed: int, count: int = 24) -> Images:
    """Smooth images of unlike colours, 0 to 255."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 1, (count, 3, 4, 4)) * np.array([1.0, 0.7, 0.3])[:, None, None]
    smooth = np.repeat(np.repeat(coarse, 3, 2), 3, 3)
    return (255 * smooth).astype(np.float32)


def network(*, norm: bool = False) -> onnx.ModelProto:
    """It normalises its input itself; the convolution knows smooth images."""
    random = np.random.default_rng(0)
    weight = random.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
    weight -= 0.97 * weight.mean((2, 3), keepdims=True)  # edges, of which noise has many
    arrays: dict[str, Images] = {
        "mean": np.array([127, 89, 38], np.float32).reshape(1, 3, 1, 1),
        "std": np.array([74, 52, 22], np.float32).reshape(1, 3, 1, 1),
        "w": weight,
        "b": np.zeros(8, np.float32),
        "fc": random.normal(0, 1, (8, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normalised"]),
        helper.make_node("Conv", ["normalised", "w", "b"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("MatMul", ["f", "fc"], ["y"]),
    ]
    if norm:
        nodes[2:3] = [
            helper.make_node("Conv", ["normalised", "w", "b"], ["before"]),
            helper.make_node("BatchNormalization", ["before", "one", "b", "rm", "rv"], ["c"]),
        ]
        arrays |= {"one": np.ones(8, np.float32), "rm": np.zeros(8), "rv": np.ones(8)}
    tensors = [numpy_helper.from_array(np.asarray(a, np.float32), n) for n, a in arrays.items()]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 12, 12])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def trained(on: Images) -> onnx.ModelProto:
    """With the statistics of these images."""
    model = network(norm=True)
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.append(helper.make_tensor_value_info("before", TensorProto.FLOAT, None))
    values: Any = onnx.reference.ReferenceEvaluator(tapped).run(["before"], {"image": on})[0]
    known = {"rm": values.mean((0, 2, 3)), "rv": values.var((0, 2, 3))}
    for tensor in model.graph.initializer:
        if tensor.name in known:
            tensor.CopyFrom(numpy_helper.from_array(known[tensor.name], tensor.name))
    return model


NOISE = np.random.default_rng(9).uniform(0, 255, (24, 3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize(
    ("calibration", "mismatch"),
    [
        (images(1), "none"),
        (images(1) / 255, "inputs"),
        ((images(1) - 127) / 74, "inputs"),
        (NOISE, "tensors"),
    ],
    ids=["right", "0_1", "normalised", "noise"],
)
def test_calibration_of_another_kind_is_the_only_finding(
    calibration: Images, mismatch: str
) -> None:
    case = lb.load(network(), images(2), "tensorrt", calibration=calibration)
    found = lb.diagnose(case)
    assert found.samples is not None and found.samples.mismatch == mismatch
    assert found.data.use == "evaluation"
    if mismatch == "none":
        assert all(each.code != "F010" for each in found.findings)
        return
    (only,) = found.findings
    assert (only.code, only.reason) == ("F010", "samples")
    assert not found.treatable
    if mismatch == "inputs":
        assert only.tensor == "image"


def test_what_is_outside_is_counted_with_its_side() -> None:
    data = np.clip(images(2), 0, 100)
    data[:, :, 0, 0] = -9
    case = lb.load(network(), data, "tensorrt", calibration=np.clip(images(1), 0, 50))
    check = lb.diagnose(case).samples
    assert check is not None
    image = check.inputs[0]
    assert image.outside == pytest.approx(np.mean((data < 0) | (data > 50)))
    assert image.side == "both"


def test_data_alone_are_calibration_and_compared_with_nothing() -> None:
    found = lb.diagnose(lb.load(network(), images(1), "tensorrt"))
    assert found.samples is not None
    assert found.samples.inputs == [] and found.samples.mismatch == "none"
    assert found.data.use == "calibration"


def test_samples_without_anything_in_them_are_counted() -> None:
    data = images(1)
    data[[3, 7]] = 0
    found = lb.diagnose(lb.load(network(), data, "tensorrt"))
    assert found.samples is not None and found.samples.constant == {"image": 2}
    assert "samples.constant" in {note.code for note in found.notes}


def test_growth_is_that_of_the_halves() -> None:
    data = images(1)
    data[-1] *= 2
    found = lb.diagnose(lb.load(network(), data, "tensorrt"))
    assert found.samples is not None and found.samples.growth is not None
    assert found.samples.growth.samples == len(data)
    assert 0.2 < found.samples.growth.most < 0.3  # one half reaches half as far


@pytest.mark.parametrize(
    ("change", "better"),
    [
        (lambda x: x, ""),
        (lambda x: x[:, ::-1], "channels_reversed"),
        (lambda x: x / 255, "times_255"),
    ],
    ids=["as_trained", "colours", "scale"],
)
def test_statistics_of_training_tell_how_samples_were_prepared(change: Any, better: str) -> None:
    model = trained(images(1, 64))
    data = np.ascontiguousarray(change(images(2, 64)))
    case = lb.load(model, data, "tensorrt")
    plain = origin_of(case).reference.plain
    fit = statistics_fit(plain, origin_of(case).judged.source)
    assert fit is not None and fit.better == better
    assert (fit.distance < 0.1) == (better == "")


def test_a_file_without_normalizations_has_no_statistics() -> None:
    case = lb.load(network(), images(1), "tensorrt")
    assert statistics_fit(origin_of(case).reference.plain, origin_of(case).judged.source) is None
