"""A planted fault must be the first thing that a diagnosis names: its place and its reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx.reference
import pytest

from faulty_nets import FAULTS, Fault, images, mobile, patient, plain, planted, scaled

pytestmark = pytest.mark.slow

PLACEMENTS = 25
LEAST_HITS = 23  # nine in ten


def test_the_faults_are_as_many_and_as_varied_as_promised() -> None:
    assert len(set(map(str, FAULTS))) == PLACEMENTS
    kinds = [fault.kind for fault in FAULTS]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(kinds, 5)
    assert {fault.net for fault in FAULTS} == {"plain", "mobile", "digits"}


def test_planted_faults_are_found_first(tmp_path: Path) -> None:
    misses = []
    for fault in FAULTS:
        first = planted(fault, tmp_path).findings()[0]
        if not fault.found_by(first):
            misses.append(f"{fault}: {first.reason} of {first.tensor}, {first.share:.0%}")
    print("\n".join(misses))  # noqa: T201 (seen with pytest -s or -rP)
    assert len(FAULTS) - len(misses) >= LEAST_HITS, misses


@pytest.mark.parametrize(
    ("net", "platform"),
    sorted({(fault.net, fault.target) for fault in FAULTS}),
)
def test_healthy_networks_have_no_cause_that_dominates(
    net: str, platform: str, tmp_path: Path
) -> None:
    healthy = patient(net, platform, tmp_path)
    assert healthy.sqnr() > 30
    assert healthy.findings()[0].share < 0.5


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.pair], ids=str)
def test_a_scaled_channel_leaves_the_function_alone(fault: Fault) -> None:
    build = {"plain": plain, "mobile": mobile}[fault.net]
    assert fault.pair is not None
    models = build(), scaled(build(), fault.pair)
    before, after = (
        np.asarray(onnx.reference.ReferenceEvaluator(m).run(None, {"image": images()[:4]}))
        for m in models
    )
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["quarter", "sixteenfold", "three_bits"])
def test_the_command_of_a_finding_wins_what_it_promises_at_least_in_part(
    kind: str, tmp_path: Path
) -> None:
    fault = next(f for f in FAULTS if f.kind == kind)
    ill = planted(fault, tmp_path)
    first = ill.findings()[0]
    won = ill.treated(first).sqnr() - ill.sqnr()
    assert won > 0.5 * first.gain_db > 1


def test_findings_are_the_same_every_time(tmp_path: Path) -> None:
    ill = planted(FAULTS[0], tmp_path)
    first, second = ill.findings(), replace(ill).findings()
    assert [(f.code, f.tensor, f.cause) for f in first] == [
        (f.code, f.tensor, f.cause) for f in second
    ]
    assert [f.share for f in first] == pytest.approx([f.share for f in second], rel=1e-6)
