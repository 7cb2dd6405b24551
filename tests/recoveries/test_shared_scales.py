"""Parts that die behind a shared scale: named first, cured first, and alive in what is exported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lostbits as lb
from dead_nets import IMAGES, branches, detector, points, unlike_inputs
from lostbits.diagnoses.scale_remedies import worst_db
from lostbits.graph.scale_marks import Scaling, scaling
from runs import assert_valid
from small_nets import cnn, samples

# What each target cures the detector with, and what it can do beside that.
CURES = {
    "onnxruntime": ("float_output", {"float", "16bit"}),
    "qnn-htp": ("wide_scale", {"16bit", "split"}),
    "snpe": ("wide_scale", {"16bit", "split"}),
}


def load(folder: Path, model: onnx.ModelProto, data: Any, name: str, **options: Any) -> lb.Case:
    onnx.save(model, folder / "net.onnx")
    return lb.load(folder / "net.onnx", data, name, **options)


@pytest.mark.parametrize("name", CURES)
def test_the_finding_comes_first_and_its_remedies_are_measured(tmp_path: Path, name: str) -> None:
    found = lb.diagnose(load(tmp_path, detector(), IMAGES, name))
    first, *others = found.findings
    assert (first.code, first.severity, first.reason) == ("F010", "broken", "shared_scale")
    assert first.node.startswith("concat") and first.role == "output" and first.share > 0.9
    assert all(each.severity == "usual" for each in others)
    dead = first.dead
    assert dead is not None and (dead.channels, dead.constant) == (3, 3)
    assert {each.setting for each in dead.tried} == CURES[name][1]
    for each in dead.tried:
        assert each.before_db is not None and each.before_db < 1
        assert each.after_db is not None and each.after_db > 15
    lb.write(found, tmp_path / "out", ["json", "html"])
    assert_valid(json.loads((tmp_path / "out" / "result.json").read_text()))


@pytest.mark.parametrize("name", CURES)
def test_recover_cures_it_first_and_the_file_carries_it(tmp_path: Path, name: str) -> None:
    better = lb.recover(load(tmp_path, detector(), IMAGES, name), budget="20s", out=tmp_path / "r")
    first = better.ledger[0]
    assert (first.method, first.kept) == (CURES[name][0], True)
    assert worst_db(first.before) < 1 and worst_db(better.after) > 20
    again = lb.load(tmp_path / "r", IMAGES)
    marks = [scaling(node) for node in again.model.graph]
    assert sum(mark is not None for mark in marks) == 1
    proof = lb.verify(again, data=IMAGES)
    worst = min(p.sqnr_db for o in proof.vs_float.outputs for p in o.parts if p.sqnr_db is not None)
    assert worst > 20


@pytest.mark.parametrize("setting", ["16bit", "split", "float"])
def test_set_tries_what_the_finding_names(tmp_path: Path, setting: str) -> None:
    case = load(tmp_path, detector(), IMAGES, "snpe")
    output = str(case.model.graph.outputs[0].name)
    case = load(tmp_path, detector(), IMAGES, "snpe", overrides=[f"{output}={setting}"])
    found = lb.diagnose(case)
    assert worst_db(found.baseline) > 20 and "F010" not in {f.code for f in found.findings}
    assert f"{output}={setting}" in found.command


def test_set_refuses_what_no_concat_makes(tmp_path: Path) -> None:
    with pytest.raises(lb.LostbitsError, match="T005"):
        load(tmp_path, detector(), IMAGES, "snpe", overrides=["x=split"])


def test_a_split_output_is_exported_with_its_operands(tmp_path: Path) -> None:
    case = load(tmp_path, detector(), IMAGES, "qnn-htp")
    output = str(case.model.graph.outputs[0].name)
    case = load(tmp_path, detector(), IMAGES, "qnn-htp", overrides=[f"{output}=split"])
    encodings, qdq = lb.export(case, ["encodings-1.0.0", "qdq"], tmp_path / "files")
    assert "E022" in {problem.code for problem in encodings.lint}
    model = onnx.load(tmp_path / "files" / "encodings-1.0.0" / "model.onnx")
    named = [o.name for o in model.graph.output]
    assert len(named) == 2 and output not in named
    table = json.loads((tmp_path / "files" / "encodings-1.0.0" / "model.encodings").read_text())
    scales = {e["name"]: e["scale"][0] for e in table["activation_encodings"]}
    assert max(scales[n] for n in named) > 100 * min(scales[n] for n in named)
    whole = onnx.load(qdq.files[0].path)
    assert [o.name for o in whole.graph.output] == [output]


def test_operands_with_own_scales_cure_a_concat_between_layers(tmp_path: Path) -> None:
    case = load(tmp_path, branches(), IMAGES, "openvino")
    better = lb.recover(case, methods=["own_scales"], budget="20s")
    assert [e.method for e in better.ledger if e.kept] == ["own_scales"]
    marks = [scaling(node) for node in better.case.model.graph]
    assert marks.count(Scaling.OWN) == 1
    assert worst_db(better.after) > worst_db(better.before) + 3


@pytest.mark.parametrize("name", ["tensorrt", "qnn-htp"])
def test_an_input_of_unlike_channels_is_divided(tmp_path: Path, name: str) -> None:
    case = load(tmp_path, unlike_inputs(), points(), name)
    found = lb.diagnose(case)
    first = found.findings[0]
    assert (first.code, first.tensor) == ("F010", "x")
    assert first.dead is not None and len(first.dead.host) == 1
    better = lb.recover(case, methods=["input_scaling"], budget="20s", out=tmp_path / "r")
    assert worst_db(better.before) < 12 and worst_db(better.after) > 30
    again = lb.load(tmp_path / "r", points())
    assert worst_db(lb.diagnose(again).baseline) > 30


def test_a_divided_input_is_left_to_the_host_of_an_integer_platform(tmp_path: Path) -> None:
    case = load(tmp_path, unlike_inputs(), points(), "snpe")
    better = lb.recover(case, methods=["input_scaling"], budget="20s")
    (done,) = lb.export(better.case, "encodings-0.6.1", tmp_path / "files")
    (line,) = [p.found for p in done.lint if p.code == "E022"]
    model = onnx.load(tmp_path / "files" / "encodings-0.6.1" / "model.onnx")
    feeds: dict[str, Any] = {"x": points()}
    exec(str(line), {"np": np, "feeds": feeds})
    assert [i.name for i in model.graph.input] == list(feeds)


def test_a_usual_network_is_tried_with_none_of_them(tmp_path: Path) -> None:
    case = load(tmp_path, cnn(3), samples(4, 16, 3, 16, 16), "onnxruntime")
    names = ["float_output", "own_scales", "wide_scale", "split_output", "input_scaling"]
    better = lb.recover(case, methods=names, budget="20s")
    assert not better.ledger
