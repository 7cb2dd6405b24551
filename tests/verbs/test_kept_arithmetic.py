"""A recovered folder remembers how the kernels compute that its plan was made for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bright_nets import bright, bright_net
from lostbits.arithmetics import ALL, TFLITE
from lostbits.errors import LostbitsError
from lostbits.target import Arithmetic
from lostbits.targets.kept_arithmetic import from_kept_form, kept_form
from lostbits.verbs.diagnose import diagnose
from lostbits.verbs.load import load
from lostbits.verbs.recover import recover
from lostbits.verbs.verify import verify

OWN = replace(TFLITE, name="npu-20", accumulator_bits=20, overflow="saturate")


@pytest.mark.parametrize("own", [*ALL, OWN], ids=lambda own: own.name)
def test_an_arithmetic_is_kept_whole(own: Arithmetic) -> None:
    again = from_kept_form(kept_form(own), "plan.json")
    assert replace(again, title="") == replace(own, title="")
    assert str(again.title) == str(own.title)


def test_one_that_is_not_known_is_refused() -> None:
    with pytest.raises(LostbitsError) as caught:
        from_kept_form("x87", "plan.json")
    assert caught.value.code == "T050"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kept") / "out"
    case = load(bright_net(), bright(), "onnxruntime", arithmetic=OWN)
    recover(case, methods=["ranges"], budget="60s", out=out)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("how", ["folder", "plan"])
def test_later_verbs_use_it(how: str, folder: Path) -> None:
    model = folder if how == "folder" else folder / "float.onnx"
    plan: Any = {} if how == "folder" else {"plan": folder / "plan.json", "target": "onnxruntime"}
    case = load(model, bright(), **plan)
    assert case.target.arithmetic is not None
    assert replace(case.target.arithmetic, title="") == replace(OWN, title="")
    report = diagnose(case).arithmetic
    assert report is not None
    assert report.name == "npu-20"


@pytest.mark.slow
def test_another_one_can_be_asked_for(folder: Path) -> None:
    case = load(folder, bright(), arithmetic="x86-vnni")
    assert case.target.arithmetic is not None
    assert case.target.arithmetic.name == "x86-vnni"
    plan = folder / "plan.json"
    case = load(folder / "float.onnx", bright(), "openvino", plan=plan)
    assert case.target.arithmetic is None  # it was not made for that target


@pytest.mark.slow
def test_verify_says_what_it_compares_with(folder: Path) -> None:
    row = verify(load(folder, bright()), "onnxruntime")
    assert [note.code for note in row.notes] == ["dump.planned_for"]
    assert verify(load(bright_net(), bright(), "onnxruntime")).notes == []
