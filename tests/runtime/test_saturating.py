"""Values by meaning: masks take their range from what can change a Softmax."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import lostbits as lb
from lostbits.case import Case
from lostbits.errors import LostbitsError
from lostbits.graph.saturation import Saturation
from lostbits.runtime.executor import Executor
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Frozen, quantized_model, replayed
from mask_nets import FORMS, LOWEST, attention, data
from text_models import outputs, proto, random

MASKS = (-1e4, -1e9, LOWEST, -np.inf)


def case_of(model: onnx.ModelProto, feeds: dict[str, Any], target: str = "qnn-htp") -> Case:
    return lb.load(model, feeds, target)


def held_output(case: Case, feeds: dict[str, Any]) -> np.ndarray[Any, Any]:
    """What the float network makes of values that are held within their ends."""
    streamed = [s for s in case.sites if s.streams]
    nothing = Frozen({s.key: torch.zeros(()) for s in streamed}, {}, saturations=case.saturations)
    return Executor(case.model, case.sites).run(feeds, replayed(nothing))[0].numpy()


def wanted(form: str, least: float) -> bool:
    """Zero times infinity is no number: this form cannot write it."""
    return not (form in ("added", "scaled_behind") and np.isinf(least))


@pytest.mark.parametrize("least", MASKS)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_held_changes_nothing(form: str, least: float) -> None:
    if not wanted(form, least):
        return
    model, feeds = attention(form, least), data()
    case = case_of(model, feeds)
    assert case.plan["m:activation"].lo > -60
    np.testing.assert_allclose(held_output(case, feeds), outputs(model, **feeds)[0], atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", ["qnn-htp", "onnxruntime", "tensorrt"])
def test_all_masks_end_at_the_same_accuracy(form: str, target: str) -> None:
    feeds, found = data(), []
    for least in MASKS:
        if wanted(form, least):
            result = lb.diagnose(case_of(attention(form, least), feeds, target))
            assert abs(result.network.residual) < 0.02
            found.append(result.baseline.sqnr_db)
    assert found == pytest.approx([found[0]] * len(found), abs=0.3)
    assert found[0] is not None and found[0] > 15


@pytest.mark.parametrize("least", MASKS)
def test_a_file_computes_what_was_simulated(least: float) -> None:
    """QuantizeLinear makes the end of the grid of whatever is beyond it, infinities included."""
    feeds = data()
    case = case_of(attention("chosen", least), feeds)
    result = lb.diagnose(case)
    exact, other = (
        Session(m, optimise=False).run(feeds)["y"] for m in (case.model, quantized_model(case))
    )
    noise = float(((exact - other) ** 2).sum())
    assert 10 * np.log10(float((exact**2).sum()) / noise) == pytest.approx(result.baseline.sqnr_db)


def test_masks_are_named(tmp_path: Path) -> None:
    notes = lb.diagnose(case_of(attention("chosen_then_added", LOWEST), data())).notes
    (masks,) = [n for n in notes if n.code == "note.masks"]
    assert "m (" in str(masks) and "w (" in str(masks)


def test_a_mask_may_be_an_input() -> None:
    model = proto(
        """net (float[N, 4, 6] x, float[N, 1, 4] mask) => (float[N, 4, 6] y) {
        t = Transpose <perm = [0, 2, 1]> (x)
        s = MatMul (x, t)
        m = Add (s, mask)
        p = Softmax (m)
        y = MatMul (p, x)
    }"""
    )
    for least in (-1e9, LOWEST, -np.inf):
        mask = np.where(np.arange(4) < np.array([[[2]], [[4]], [[3]], [[1]]]), 0, least)
        feeds = {"x": random(4, 4, 6), "mask": mask.astype(np.float32)}
        result = lb.diagnose(case_of(model, feeds))
        assert result.baseline.sqnr_db is not None and result.baseline.sqnr_db > 20


def test_a_causal_mask_may_be_a_constant_of_infinities() -> None:
    mask = np.triu(np.full((6, 6), -np.inf), 1).astype(np.float32)
    model = proto(
        """net (float[N, 6, 5] x) => (float[N, 6, 5] y) {
        t = Transpose <perm = [0, 2, 1]> (x)
        s = MatMul (x, t)
        m = Add (s, mask)
        p = Softmax (m)
        y = MatMul (p, x)
    }""",
        mask=mask,
    )
    feeds = {"x": random(8, 6, 5)}
    case = case_of(model, feeds)
    assert case.plan["mask:weight"].lo > -100
    result = lb.diagnose(case)
    assert result.baseline.sqnr_db is not None and result.baseline.sqnr_db > 20


SATURATING = {
    "Sigmoid (v)": (-17.33, 17.33),
    "Tanh (v)": (-9.02, 9.02),
    "Erf (v)": (-3.93, 3.93),
    "HardSigmoid <alpha = 0.25, beta = 0.5> (v)": (-2.0, 2.0),
    "Clip (v, low, high)": (-1.5, 2.5),
}


@pytest.mark.parametrize("call", SATURATING)
def test_ops_that_saturate_end_ranges(call: str) -> None:
    model = proto(
        f"""net (float[N, 3] x) => (float[N, 3] y) {{
        v = Mul (x, big)
        y = {call}
    }}""",
        big=np.array([5, 20, 100], np.float32),
        low=np.array(-1.5, np.float32),
        high=np.array(2.5, np.float32),
    )
    feeds = {"x": random(64, 3)}
    case = case_of(model, feeds, "snpe")
    lo, hi = SATURATING[call]
    affine = case.plan.get("v:activation", None)
    assert case.saturations["v"] == Saturation(lo, hi)
    if affine is not None:
        assert (affine.lo, affine.hi) == pytest.approx((lo, hi), rel=0.02)
    np.testing.assert_allclose(held_output(case, feeds), outputs(model, **feeds)[0], atol=1e-6)


def test_what_others_read_too_keeps_its_range() -> None:
    model = proto(
        """net (float[N, 3] x) => (float[N, 3] y) {
        v = Mul (x, big)
        g = Sigmoid (v)
        y = Mul (v, g)
    }""",
        big=np.full(3, 100, np.float32),
    )
    assert "v" not in case_of(model, {"x": random(16, 3)}).saturations


def test_a_network_that_runs_away_is_named_by_its_first_layer() -> None:
    model = proto(
        """net (float[N, 3] x) => (float[N, 3] y) {
        e = Exp (x)
        r = Reciprocal (e)
        v = Mul (e, big)
        y = Mul (v, r)
    }""",
        big=np.full(3, 2, np.float32),
    )
    x = np.full((4, 3), 100, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LostbitsError, match="S003: tensor 'e'"):
            case_of(model, {"x": x}, "onnxruntime")


@pytest.mark.parametrize("target", ["qnn-htp", "onnxruntime"])
def test_a_row_of_which_all_is_masked_is_no_error(target: str) -> None:
    """Its Softmax is not a number, which the exported guard makes zero of."""
    feeds = data()
    feeds["a"][3] = 0
    result = lb.diagnose(case_of(attention("chosen", -np.inf), feeds, target))
    assert result.baseline.sqnr_db is not None
