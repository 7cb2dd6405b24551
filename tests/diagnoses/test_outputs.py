"""Every output by itself and by part, what stands for a selection, and padding left out."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lostbits as lb
from lostbits.diagnoses.result import WORST
from lostbits.errors import DataError, SimulationError, TargetError
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.output_figures import Kind
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from lostbits.verbs.origin import origin_of
from output_nets import (
    detector,
    nonzero_rows,
    pillars,
    segments,
    sentences,
    texts,
    top_candidates,
    turned_detector,
)
from runs import codes
from small_nets import mlp, samples
from text_models import proto, random

IMAGES = samples(3, 12, 3, 16, 16)


def loaded(model: onnx.ModelProto, data: Any = IMAGES, target: str = "snpe", **told: Any) -> Any:
    return lb.load(model, data=data, target=target, **told)


def both(case: Any, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First outputs of the float and of the quantized network, run by themselves."""
    models = case.model, quantized_model(case)
    runs = [Session(m, optimise=False).run({"x": data}) for m in models]
    return next(iter(runs[0].values())), next(iter(runs[1].values()))


def db(plain: np.ndarray, other: np.ndarray) -> float:
    plain, other = plain.astype(np.float64), other.astype(np.float64)
    return float(10 * np.log10((plain**2).sum() / ((other - plain) ** 2).sum()))


def test_a_part_has_the_figure_of_its_own_values() -> None:
    case = loaded(turned_detector(), IMAGES)
    found = lb.diagnose(case)
    plain, other = both(case, IMAGES)
    (output,) = found.baseline.outputs
    assert output.sqnr_db == pytest.approx(db(plain, other), abs=1e-3)
    for part, cut in zip(output.parts, (slice(4), slice(4, None)), strict=True):
        assert part.sqnr_db == pytest.approx(db(plain[..., cut], other[..., cut]), abs=1e-3)


def test_scores_beside_boxes_are_dead_and_their_error_is_attributed() -> None:
    """As case 02: 50 dB of the whole say nothing."""
    found = lb.diagnose(loaded(detector()))
    boxes, scores = found.baseline.outputs[0].parts
    assert found.baseline.outputs[0].kind is Kind.DETECTIONS
    assert scores.dead and not boxes.dead
    assert scores.sqnr_db == pytest.approx(0, abs=0.01) and (found.baseline.sqnr_db or 0) > 30
    assert found.baseline.worst == scores
    assert found.network.of == "output0[:, 4:]"
    assert found.network.attributions[0].tensor == "scores"
    assert found.network.total == pytest.approx(1, abs=1e-3)
    assert abs(found.network.residual) < 0.02
    assert WORST in [note.code for note in found.notes]


def test_attribution_of_all_is_what_it_was_without_parts() -> None:
    case = loaded(detector())
    found = lb.diagnose(case, of="all")
    assert found.network.of is None
    assert found.network.total == pytest.approx(10 ** (-(found.baseline.sqnr_db or 0) / 10))
    assert all(note.code != WORST for note in found.notes)


def test_where_no_part_is_far_below_all_outputs_are_attributed() -> None:
    assert lb.diagnose(loaded(detector(far=1.0))).network.of is None


@pytest.mark.parametrize("method", ["aumann-shapley", "permutation"])
@pytest.mark.parametrize(
    ("of", "cut"),
    [
        ("output0", slice(None)),
        ("output0[:4]", slice(4)),
        ("output0[:, 1:3]", slice(1, 3)),
        ("output0[5]", slice(5, 6)),
    ],
)
def test_attribution_of_a_named_part_sums_to_its_error(of: str, cut: slice, method: str) -> None:
    case = loaded(detector(far=2.0))
    found = lb.diagnose(case, of=of, method=method)
    plain, other = both(case, IMAGES)
    error = 10 ** (-db(plain[:, cut], other[:, cut]) / 10)
    assert found.network.total == pytest.approx(error, rel=1e-3)
    assert sum(found.network.values.values()) == pytest.approx(error, rel=0.03)


@pytest.mark.parametrize(
    ("of", "code"),
    [
        ("output1", "T040"),
        ("output1[4:]", "T040"),
        ("output0[4:4]", "T046"),
        ("output0[::2]", "T046"),
        ("output0[-1:]", "T046"),
        ("output0[]", "T046"),
        ("output0[2:, 4:]", "T046"),
        ("output0[9:]", "T046"),
        ("output0[:, :, :, 1]", "T046"),
    ],
)
def test_a_part_that_is_none_is_refused(of: str, code: str) -> None:
    with pytest.raises(TargetError, match=code):
        lb.diagnose(loaded(detector()), of=of)


@pytest.mark.parametrize("target", ["snpe", "onnxruntime", "tensorrt"])
@pytest.mark.parametrize("method", ["aumann-shapley", "permutation"])
def test_behind_topk_the_candidates_are_compared(target: str, method: str) -> None:
    """As case 40."""
    found = lb.diagnose(loaded(top_candidates(), target=target), method=method)
    assert [each.name for each in found.baseline.outputs] == ["boxes_all", "scores_all"]
    assert {each.kind for each in found.baseline.outputs} == {Kind.DETECTIONS}
    assert abs(found.network.residual) < 0.02
    (note,) = [note for note in found.notes if note.code == "note.chosen"]
    assert note.figures["outputs"] == "found"


@pytest.mark.parametrize(
    ("model", "compared"), [(nonzero_rows(), "scores_flat"), (segments(), "logits")]
)
def test_outputs_that_are_no_floats_are_compared_by_what_they_come_from(
    model: onnx.ModelProto, compared: str
) -> None:
    case = loaded(model)
    found = lb.diagnose(case)
    assert [each.name for each in found.baseline.outputs] == [compared]
    assert 5 < (found.baseline.sqnr_db or 0) < 80
    judged = Judge(case.model, origin_of(case).judged.source, compared=case.compared)(case)
    assert judged.sqnr_db == pytest.approx(found.baseline.sqnr_db, abs=0.01)


def test_a_recovery_is_judged_before_the_choice(tmp_path: Path) -> None:
    case = loaded(top_candidates(), samples(4, 24, 3, 16, 16))
    better = lb.recover(case, budget=20, methods=["ranges"])
    assert [each.name for each in better.before.outputs] == ["boxes_all", "scores_all"]
    assert [v.name for v in better.case.model.graph.outputs] == ["found"]
    again = lb.diagnose(better.case)
    assert [each.name for each in again.baseline.outputs] == ["boxes_all", "scores_all"]


def alone(data: dict[str, np.ndarray], form: str) -> list[dict[str, np.ndarray]]:
    """The sentences one by one, without what fills them up."""
    counts = (data["mask"] != 0) == (form != "zeros")
    return [
        {name: array[i][counts[i]][None] for name, array in data.items()}
        for i in range(len(counts))
    ]


@pytest.mark.parametrize("form", ["ones", "zeros", "where"])
@pytest.mark.parametrize("length", [False, True])
def test_padded_sentences_have_the_figures_of_sentences_alone(form: str, length: bool) -> None:
    data = texts()
    data |= {"mask": 1 - data["mask"]} if form == "zeros" else {}
    model = sentences(form, length)
    padded = lb.diagnose(loaded(model, data, calibration=data))
    single = lb.diagnose(loaded(model, alone(data, form), calibration=data))
    assert padded.baseline.sqnr_db == pytest.approx(single.baseline.sqnr_db, abs=1e-3)
    assert padded.baseline.agreement == single.baseline.agreement
    assert (padded.baseline.kl or 0) == pytest.approx(single.baseline.kl or 0, rel=1e-3)
    assert padded.network.total == pytest.approx(single.network.total, rel=1e-3)
    values = single.network.values
    most = max(abs(value) for value in values.values())
    for key, value in padded.network.values.items():
        assert value == pytest.approx(values[key], abs=0.03 * most)
    for one, other in zip(padded.sites, single.sites, strict=True):
        if one.role == "output":
            assert one.sqnr_db == pytest.approx(other.sqnr_db, abs=1e-3)
            assert one.mse == pytest.approx(other.mse, rel=1e-3)
    assert any(note.code == "note.masked" for note in padded.notes)


def test_a_part_of_padded_sentences_is_attributed_without_padding() -> None:
    data = texts()
    case = loaded(sentences(), data)
    found = lb.diagnose(case, of="tokens[:, :, 3:9]")
    models = case.model, quantized_model(case)
    plain, other = (Session(m, optimise=False).run(data)["tokens"] for m in models)
    pair = (x[data["mask"] != 0][:, 3:9] for x in (plain, other))
    assert found.network.total == pytest.approx(10 ** (-db(*pair) / 10), rel=1e-3)


def test_rows_that_are_empty_do_not_count() -> None:
    lengths = np.array([1, 6, 3, 2, 5, 4, 1, 2])
    data = {"x": samples(7, 8, 6, 3), "lengths": lengths}
    case = loaded(pillars(), data)
    found = lb.diagnose(case)
    models = case.model, quantized_model(case)
    plain, other = (Session(m, optimise=False).run(data)["y"] for m in models)
    some = np.arange(6) < lengths[:, None]
    assert found.baseline.sqnr_db == pytest.approx(db(plain[some], other[some]), abs=1e-3)
    assert found.network.total == pytest.approx(
        10 ** (-db(plain[some], other[some]) / 10), rel=0.01
    )
    (site,) = [site for site in found.sites if site.role == "output"]
    assert site.mse == pytest.approx(float(np.mean((quantized(case, plain) - plain)[some] ** 2)))


def quantized(case: Any, values: np.ndarray) -> np.ndarray:
    """Values on the grid of the output."""
    return np.asarray(case.plan["y:output"].fake_quantize(values))


def test_padding_would_count_without_its_mask() -> None:
    """What is left out is large here: other figures would not be equal by chance."""
    data = texts()
    case = loaded(sentences(), data)
    known = lb.diagnose(case).baseline.sqnr_db
    counts = np.ones_like(data["mask"])
    assert counts.sum() > 1.3 * data["mask"].sum()
    blind = loaded(sentences(), data, mask_outputs={"tokens": "!ids"})
    assert lb.diagnose(blind).baseline.sqnr_db != pytest.approx(known, abs=0.05)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    case = loaded(detector(), mask_outputs=[])
    assert case.compared[0].mask is None
    with pytest.raises(SimulationError, match="S020"):
        loaded(detector(), mask_outputs={"output0": "x"})


def test_labels_make_answers_of_anything_flat() -> None:
    data = samples(5, 16, 6)
    model = mlp(0)
    name = model.graph.output[0].name
    case = loaded(model, data, outputs={name: "other"})
    assert lb.diagnose(case).baseline.agreement is None
    labelled = lb.diagnose(case, labels=np.arange(16) % 4).baseline
    assert labelled.agreement is not None and labelled.accuracy_float is not None
    with pytest.raises(DataError, match="D022"):
        lb.diagnose(case, labels=np.full(16, 9))


@pytest.mark.parametrize(
    ("step", "code"),
    [(1, "note.labels_one_above"), (-1, "note.labels_one_below"), (0, None), (2, None)],
)
def test_labels_beside_the_answers_are_remarked(step: int, code: str | None) -> None:
    """Numbered from one, or without a background class, which the network has."""
    case = loaded(mlp(0), samples(5, 48, 6))
    (logits,) = Session(case.model).run({"x": samples(5, 48, 6)}).values()
    classes = logits.shape[-1]
    found = lb.diagnose(case, labels=(logits.argmax(-1) + step) % classes)
    codes = {note.code for note in found.notes if note.code.startswith("note.labels_one")}
    assert codes == ({code} if code else set())
    assert found.baseline.labels_off == (step if code else 0)
    assert found.judgement is not None
    assert code is None or found.judgement.by == "agreement"


def test_labels_that_count_from_one_are_told_so() -> None:
    case = loaded(mlp(0), samples(5, 16, 6))
    with pytest.raises(DataError) as info:
        lb.diagnose(case, labels=np.arange(16) % 4 + 1)
    assert info.value.form == "D022.from_one"


def test_a_file_says_what_outputs_mean(tmp_path: Path) -> None:
    file = tmp_path / "outputs.toml"
    file.write_text('output0 = "image"\n')
    assert loaded(detector(), outputs=file).compared[0].kind is Kind.IMAGE
    file.write_text('[output0]\nkind = "detections"\nmask = "none"\n')
    with pytest.raises(TargetError, match="T043"):
        loaded(detector(), outputs=file)
    file.write_text("[output0]\nkinds = 1\n")
    with pytest.raises(TargetError, match="T045"):
        loaded(detector(), outputs=str(file))
    with pytest.raises(TargetError, match="T044"):
        loaded(detector(), outputs=["output0"])


def test_axes_that_the_file_gets_wrong_are_counted_when_it_runs() -> None:
    """As text recognisers written as (1, length): along axis 1 every answer would be the same."""
    steps = "h = MatMul(x, w) y = Squeeze(h)"
    model = proto(f"net (float[N, 6, 8] x) => (float[A, L] y) {{ {steps} }}", w=random(8, 10))
    case = loaded(model, {"x": random(4, 6, 8)}, "onnxruntime")
    assert case.compared[0].kind == "sequence"
    assert lb.diagnose(case).baseline.answers == 4 * 6


def decoder() -> onnx.ModelProto:
    """One new token behind a cache of two heads; the mask counts both."""
    text = """net (float[N, S, 16] x, float[N, 2, P, 8] past, int64[N, T] mask)
        => (float[N, S, 16] y, float[N, 2, T, 8] present) {
        k = MatMul(x, wk) h = Reshape(k, heads) t = Transpose<perm=[0, 2, 1, 3]>(h)
        present = Concat<axis=2>(past, t) q = MatMul(x, wq) r = Reshape(q, heads)
        u = Transpose<perm=[0, 2, 1, 3]>(r) c = Transpose<perm=[0, 1, 3, 2]>(present)
        s = MatMul(u, c) m = Equal(mask, none) w = Unsqueeze(m, axes) a = Where(w, low, s)
        p = Softmax(a) o = MatMul(p, present) v = Transpose<perm=[0, 2, 1, 3]>(o)
        y = Reshape(v, whole) }"""
    more = {"heads": np.array([0, 0, 2, 8]), "whole": np.array([0, 0, 16]), "none": np.array(0)}
    more |= {"axes": np.array([1, 2]), "low": np.array(-1e4, np.float32)}
    return proto(text, wk=random(16, 16), wq=random(16, 16, seed=1), **more)


def test_a_mask_of_all_tokens_is_none_of_the_new_one() -> None:
    data = {"x": random(4, 1, 16), "past": random(4, 2, 5, 8), "mask": np.ones((4, 6), np.int64)}
    case = loaded(decoder(), data, "onnxruntime")
    assert [each.mask for each in case.compared] == [None, None]
    assert case.compared[1].kind == "other"  # two heads are no colours


def test_an_error_of_the_output_itself_is_not_blamed_on_later_layers() -> None:
    model = proto("net (float[N,6] x) => (float[N,4] y) { y = MatMul(x, w) }", w=random(6, 4))
    kept = ["x=float", "w=float"]
    case = lb.load(model, {"x": random(32, 6, seed=1)}, "qnn-htp", overrides=kept)
    told = codes(lb.diagnose(case, goal="sqnr_db>=60").verdict)
    assert "blame.resolution_output" in told and "blame.resolution" not in told
