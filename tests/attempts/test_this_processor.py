"""Weights that suit the processor that a recovery runs on."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bright_nets import bright, bright_net
from lostbits.attempts import this_processor
from lostbits.results.diagnosis import Recovery
from lostbits.results.recovery import Attempt
from lostbits.verbs.load import load
from lostbits.verbs.recover import recover
from lostbits.verbs.verify import verify

pytestmark = pytest.mark.slow

METHODS = ["ranges", "unsigned_weights", "fewer_bits"]


def recovered(monkeypatch: Any, target: Any, vnni: bool, **options: Any) -> Recovery:
    monkeypatch.setattr(this_processor, "has_vnni", lambda: vnni)
    case = load(bright_net(), bright(), target, **options)
    return recover(case, budget="60s", methods=METHODS)


def of_processor(found: Recovery) -> list[Attempt]:
    return [a for a in found.ledger if a.scope == this_processor.PROCESSOR]


def test_without_vnni_weights_become_unsigned_and_stay_the_same_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = recovered(monkeypatch, "onnxruntime", vnni=False)
    (attempt,) = of_processor(found)
    assert attempt.method == "unsigned_weights" and attempt.kept
    assert attempt.gain_db > 3
    weights = [site for site in found.case.sites if site.role == "weight" and "conv" in site.node]
    assert {found.case.plan[site.key].grid.name for site in weights} == {"uint8"}
    plain = recovered(monkeypatch, "onnxruntime", vnni=True)
    for site in weights:
        own, other = (c.quantized_constant(site) for c in (found.case, plain.case))
        np.testing.assert_array_equal(own, other)
    row = verify(found.case, "onnxruntime", bright())  # on the real processor, whichever it is
    assert row.sqnr_db_vs_simulation is None or row.sqnr_db_vs_simulation > 100


def test_with_vnni_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not of_processor(recovered(monkeypatch, "onnxruntime", vnni=True))


@pytest.mark.parametrize("target", ["snpe", "qnn-htp"])
def test_a_device_is_not_this_processor(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not of_processor(recovered(monkeypatch, target, vnni=False))


def test_an_arithmetic_that_was_asked_for_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    found = recovered(monkeypatch, "onnxruntime", vnni=False, arithmetic="x86-vnni")
    assert not of_processor(found)


def test_openvino_gets_fewer_bits_where_they_help(monkeypatch: pytest.MonkeyPatch) -> None:
    (attempt,) = of_processor(recovered(monkeypatch, "openvino", vnni=False))
    assert attempt.method == "fewer_bits"
    assert attempt.kept == (attempt.gain_db > 0.05)


def test_what_is_written_has_the_codes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(this_processor, "has_vnni", lambda: False)
    case = load(bright_net(), bright(), "onnxruntime")
    recover(case, budget="60s", methods=METHODS, out=tmp_path / "out")
    graph = onnx.load(tmp_path / "out" / "quantized.onnx").graph
    kinds = {t.data_type for t in graph.initializer if len(t.dims) == 4}
    assert kinds == {onnx.TensorProto.UINT8}
