"""Files without static activations: what is read of them, what is simulated, what leads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lostbits as lb
from dynamic_nets import WEIGHT_ONLY, batch, by_onnxruntime, embedding, layers, tokens
from lostbits.errors import ModelError, ReadError
from lostbits.foreign import own_run
from recurrent_nets import sequences, tagger
from small_nets import cnn, mlp, samples

NETS: dict[str, Callable[[], onnx.ModelProto]] = {
    "embedding": embedding,
    "layers": layers,
    "mlp": lambda: mlp(0),
    "cnn": lambda: cnn(0),
    "lstm": tagger,
}
DATA = {
    "embedding": tokens(),
    "layers": batch(),
    "mlp": samples(0, 24, 6),
    "cnn": samples(0, 12, 3, 16, 16),
    "lstm": sequences(count=16),
}


def file_sqnr(model: Path, quantized: Path, data: np.ndarray) -> float:
    """Of the file against the float model, a sample a run.

    As it is written: with all optimizations a product with dequantized weights has inputs of
    8 bits as well.
    """
    from lostbits.runtime.ort import ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    one, other = (ort.InferenceSession(str(p), options) for p in (model, quantized))
    name = one.get_inputs()[0].name
    rows = [{name: data[i : i + 1]} for i in range(len(data))]
    exact, found = (
        np.concatenate([s.run(None, row)[0].ravel() for row in rows]) for s in (one, other)
    )
    return float(10 * np.log10((exact**2).sum() / ((exact - found) ** 2).sum()))


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("net", sorted(NETS))
def test_inspect_lists_weights_and_says_that_activations_have_none(
    net: str, channels: bool, tmp_path: Path
) -> None:
    path, quantized = by_onnxruntime(NETS[net](), tmp_path, per_channel=channels)
    found = lb.inspect(quantized, model=path)
    assert found.parameters.dynamic
    assert [s.code for s in found.suspicions] == ["I026"]
    assert found.match is not None and not found.match.unmatched
    weights = {key for key in found.match.origin if key.endswith(":weight")}
    assert len(weights) == len(found.parameters.entries) > 1
    assert found.as_json()["dynamic"] == list(found.parameters.dynamic)


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("net", ["embedding", "layers", "mlp", "cnn"])
def test_the_simulation_is_the_file(net: str, channels: bool, tmp_path: Path) -> None:
    path, quantized = by_onnxruntime(NETS[net](), tmp_path, per_channel=channels)
    found = lb.diagnose(lb.load(path, data=DATA[net], plan=quantized))
    true = file_sqnr(path, quantized, DATA[net])
    assert found.plan is not None and found.plan.file_was_run
    distance = found.plan.sqnr_db_vs_file
    assert distance is None or distance > 60
    assert found.baseline.sqnr_db == pytest.approx(true, abs=0.05)
    assert found.plan.file_sqnr_db == pytest.approx(true, abs=0.05)
    assert found.verdict.code != "verdict.file"
    assert found.coverage.sites_matched == found.coverage.sites_total
    assert found.network.method == "aumann-shapley" and abs(found.network.residual) < 0.02
    assert "plan.dynamic" in {note.code for note in found.notes}


def test_where_the_simulation_is_another_the_file_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An LSTM rounds its states inside, which is not simulated.

    How far the two are apart is up to the processor: 48 dB with VNNI, less than 40 without.
    """
    monkeypatch.setattr(own_run, "_FAITHFUL_DB", 60.0)
    path, quantized = by_onnxruntime(tagger(), tmp_path)
    found = lb.diagnose(lb.load(path, data=DATA["lstm"], plan=quantized))
    assert found.plan is not None and found.plan.sqnr_db_vs_file is not None
    assert found.plan.sqnr_db_vs_file < 60
    assert found.verdict.code == "verdict.file"
    noise = found.verdict.figures["noise"]
    assert str(round(file_sqnr(path, quantized, DATA["lstm"]), 1)) in str(noise)
    assert {"W", "R"} <= {s.tensor for s in found.sites}


def test_nothing_is_built_on_scales_of_a_run(tmp_path: Path) -> None:
    path, quantized = by_onnxruntime(layers(), tmp_path)
    case = lb.load(path, data=batch(), plan=quantized)
    for verb in (lambda: lb.recover(case), lambda: lb.export(case, "qdq", tmp_path / "out")):
        with pytest.raises(ReadError) as info:
            verb()
        assert info.value.code == "I026"


@pytest.mark.parametrize("kind", sorted(WEIGHT_ONLY))
def test_weight_only_files_are_read_and_simulated(kind: str, tmp_path: Path) -> None:
    path, quantized = tmp_path / "model.onnx", tmp_path / "weights.onnx"
    onnx.save(layers(), path)
    onnx.save(WEIGHT_ONLY[kind](), quantized)
    inspected = lb.inspect(quantized, model=path)
    named = {e.tensor for e in inspected.parameters.entries}
    named |= {str(p.where).split("'")[1] for p in inspected.parameters.problems}
    assert named == {"up", "down"}
    assert not inspected.parameters.dynamic
    assert [s.code for s in inspected.suspicions] == ["I027"]
    found = lb.diagnose(lb.load(path, data=batch(), plan=quantized))
    assert found.baseline.sqnr_db == pytest.approx(file_sqnr(path, quantized, batch()), abs=0.05)
    assert found.verdict.code != "verdict.file"
    assert abs(found.network.residual) < 0.02


def test_no_verdict_without_a_matched_entry(tmp_path: Path) -> None:
    path, _ = by_onnxruntime(mlp(0), tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, quantized = by_onnxruntime(layers(), other)
    with pytest.raises(ReadError) as info:
        lb.load(path, data=DATA["mlp"], plan=quantized)
    assert info.value.code == "I028"


def test_a_dynamic_file_is_no_float_model(tmp_path: Path) -> None:
    for net in ("layers", "lstm"):
        _, quantized = by_onnxruntime(NETS[net](), tmp_path)
        with pytest.raises(ModelError) as info:
            lb.load(quantized, data=DATA[net], target="tensorrt")
        assert info.value.code == "M009"


def test_impossible_scales_are_named_by_their_kind(tmp_path: Path) -> None:
    lines = ("x: 7f800000", "r: 7fc00000", "h: 7dc097ce", "y: bc010204", "z: 00000000")
    cache = tmp_path / "calibration.cache"
    cache.write_text("\n".join(("TRT-8205-EntropyCalibration2", *lines, "w: 3c010204", "")))
    found = lb.inspect(cache)
    kinds: dict[Any, Any] = {
        str(p.where): (p.code, getattr(p.rule, "code", "")) for p in found.parameters.problems
    }
    assert [kind for _, kind in kinds.values()] == [
        "doubt.scale_infinite_rule",
        "doubt.scale_infinite_rule",
        "doubt.scale_infinite_rule",
        "doubt.scale_negative_rule",
        "doubt.scale_rule",
    ]
    assert {code for code, _ in kinds.values()} == {"I005"}
    assert [e.tensor for e in found.parameters.entries] == ["z", "w"]
    for row in found.as_json()["tensors"]:
        assert np.isfinite([*row["scale"], *row["lo"], *row["hi"]]).all()
