"""Weights and biases that suit the arithmetic of kernels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lostbits.arithmetics import X86_AVX2, X86_VNNI
from lostbits.case import Case, constant_of
from lostbits.kernels.reaches import layer_reaches
from lostbits.recoveries.kernel_sums import FewerBits, HalfStep, UnsignedWeights
from lostbits.recovery import Diagnosed, applied
from lostbits.runtime.simulation import quantized_model
from lostbits.target import Arithmetic
from lostbits.targets import target, with_arithmetic
from lostbits.verbs.diagnose import diagnose
from lostbits.verbs.load import load
from small_nets import cnn, samples

pytestmark = pytest.mark.slow

CUTTING = replace(X86_VNNI, name="cutting", requantization="fixed", rounding="floor")
MEMBERS: list[Any] = [UnsignedWeights(), FewerBits(), HalfStep()]


def case_of(own: Arithmetic | None) -> Case:
    rules = with_arithmetic(target("onnxruntime"), own)
    return load(cnn(0), samples(0, 8, 3, 16, 16), rules)


def leaving(case: Case) -> list[str]:
    own = case.target.arithmetic
    assert own is not None
    layers = layer_reaches(quantized_model(case), own).values()
    return [each.node for each in layers if each.reach.leaves]


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
@pytest.mark.parametrize("own", [None, X86_VNNI], ids=["ideal", "vnni"])
def test_nothing_is_tried_where_sums_are_wide(member: Any, own: Arithmetic | None) -> None:
    proposal = member.consider(case_of(own))
    diagnosed = Diagnosed(diagnose(case_of(own)).network, ())
    assert proposal.gain(diagnosed) == 0
    assert proposal.change().empty


@pytest.mark.parametrize("member", MEMBERS[:2], ids=lambda member: member.name)
def test_no_pair_can_leave_int16_any_more(member: Any) -> None:
    case = case_of(X86_AVX2)
    assert leaving(case)
    made = applied(case, member.consider(case).change())
    assert not leaving(made)


def test_unsigned_weights_are_the_same_numbers() -> None:
    case = case_of(X86_AVX2)
    change = UnsignedWeights().consider(case).change()
    made = applied(case, change)
    for key, affine in change.plan.items():
        site = next(s for s in case.sites if s.key == key)
        assert affine is not None
        assert affine.grid.name == "uint8"
        assert (affine.zero_point == 128).all()
        np.testing.assert_array_equal(made.quantized_constant(site), case.quantized_constant(site))


def test_half_a_step_makes_a_cut_a_rounding() -> None:
    case = case_of(CUTTING)
    made = applied(case, HalfStep().consider(case).change())
    before, after = diagnose(case).baseline.sqnr_db, diagnose(made).baseline.sqnr_db
    nearest = diagnose(case_of(X86_VNNI)).baseline.sqnr_db
    assert before is not None
    assert after is not None
    assert nearest is not None
    assert after > before + 1
    assert after > nearest - 1.5


def test_half_a_step_is_that_of_the_result() -> None:
    case = case_of(CUTTING)
    written = HalfStep().consider(case).change().written
    stem = next(s for s in case.placed.biases if s.node == "conv0")
    result = next(s for s in case.sites if s.streams and s.node.startswith("clip"))
    moved = written[stem.tensor] - constant_of(case.model, stem)
    np.testing.assert_allclose(moved, float(case.plan[result.key].scale) / 2, rtol=1e-3)
