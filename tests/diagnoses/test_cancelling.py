"""A weight and the correction in its bias are one entry, and nothing is lost by that."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lostbits as lb
from lostbits.case import constant_of
from lostbits.diagnoses.cancelling import corrected, merged
from lostbits.results.diagnosis import Attribution
from runs import assert_valid
from small_nets import cnn, coarse_weights, mlp, samples

DATA = samples(1, 32, 6)
Values = st.floats(-2, 2, allow_subnormal=False)


def part(tensor: str, role: str, value: float, cause: str = "round") -> Attribution:
    return Attribution(tensor, role, cause, value, value)  # type: ignore[arg-type]


@given(st.lists(st.tuples(Values, Values, Values), min_size=1, max_size=5))
def test_entries_sum_to_what_their_parts_do(layers: list[tuple[float, float, float]]) -> None:
    parts = [
        each
        for n, (w, c, b) in enumerate(layers)
        for each in (
            part(f"w{n}", "weight", w),
            part(f"w{n}", "weight", c, "clip"),
            part(f"b{n}", "bias", b),
        )
    ]
    pairs = {f"b{n}:bias": f"w{n}:weight" for n in range(0, len(layers), 2)}
    found = merged(parts, pairs)
    assert sum(p.value for p in found) == pytest.approx(sum(p.value for p in parts), abs=1e-9)
    assert sum(bool(p.parts) for p in found) == len(pairs)
    split = [each for p in found for each in p.parts or [p]]
    assert sorted(map(repr, split)) == sorted(map(repr, parts))
    assert [abs(p.value) for p in found] == sorted((abs(p.value) for p in found), reverse=True)


def test_the_entry_has_the_name_of_what_adds_to_the_error() -> None:
    pairs = {"b:bias": "w:weight"}
    (cancels,) = merged([part("w", "weight", 1.28), part("b", "bias", -1.27)], pairs)
    assert cancels.key == "w:weight" and cancels.value == pytest.approx(0.01)
    (adds,) = merged([part("w", "weight", -0.1), part("b", "bias", 0.9)], pairs)
    assert adds.key == "b:bias" and adds.value == pytest.approx(0.8)


@pytest.mark.parametrize("target", ["snpe", "tensorrt"])
def test_after_a_correction_no_two_entries_cancel(target: str, tmp_path: Path) -> None:
    """Coarse weights shift every output; the correction takes that back on other samples, too."""
    data = samples(1, 64, 3, 16, 16)
    rough = coarse_weights(lb.load(cnn(1), data[:16], target, calibration=data[16:32]))
    better = lb.recover(rough, methods=["bias_correction"], out=tmp_path).case
    found = lb.diagnose(lb.load(tmp_path, data[32:]))
    network = found.network
    joined = [entry for entry in network.attributions if entry.parts]
    assert joined and {p.role for e in joined for p in e.parts} == {"weight", "bias"}
    assert sum(a.share for a in network.attributions) == pytest.approx(1 + network.residual)
    assert sum(a.share for a in network.split) == pytest.approx(1 + network.residual)
    assert better.written
    heads = {a.key for a in network.attributions}
    assert not any({b, w} <= heads for b, w in corrected(better).items())
    assert_valid(found)


def test_a_bias_that_only_adds_is_named_itself() -> None:
    case = lb.load(mlp(1), DATA, "snpe")
    site = next(s for s in case.sites if s.role == "bias")
    wrong = constant_of(case.model, site) + np.float32(0.5)
    found = lb.diagnose(replace(case, written={site.tensor: wrong}))
    first = found.findings[0]
    assert (first.tensor, first.role, first.reason) == (site.tensor, "bias", "changed")
    assert first.text.code == "finding.changed_codes"


def test_a_case_without_corrections_has_single_entries() -> None:
    network = lb.diagnose(lb.load(mlp(1), DATA, "snpe")).network
    assert not any(entry.parts for entry in network.attributions)
    assert network.split == network.attributions
