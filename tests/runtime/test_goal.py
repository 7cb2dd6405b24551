"""Goals and budgets as users write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostbits.errors import TargetError
from lostbits.runtime.goal import Goal, seconds
from lostbits.runtime.metrics import Baseline

FOUND = Baseline(sqnr_db=19.5, kl=0.02, agreement=0.9, accuracy_float=0.8, accuracy_quantized=0.75)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("sqnr_db>=19.5", True),
        ("sqnr_db>=19.6", False),
        ("agreement >= 0.9", True),
        ("accuracy>=0.76", False),
        ("accuracy_drop<=0.051", True),
        ("accuracy_drop<=0.04", False),
        ("kl<=0.02", True),
        ("kl<=1e-3", False),
    ],
)
def test_a_goal_is_met_or_not(text: str, met: bool) -> None:
    assert Goal.parse(text).met(FOUND) is met


@given(
    st.sampled_from(["sqnr_db", "kl", "agreement"]), st.sampled_from([">=", "<="]), st.floats(0, 99)
)
def test_a_goal_reads_what_it_writes(name: str, sign: str, bound: float) -> None:
    again = Goal.parse(str(Goal(name, sign, bound)))
    assert (again.name, again.sign) == (name, sign)
    assert math.isclose(again.bound, bound, rel_tol=1e-5)


def test_no_error_at_all_meets_any_ratio() -> None:
    assert Goal.parse("sqnr_db>=150").met(Baseline(sqnr_db=None, kl=None, agreement=None))


def test_a_misspelt_figure_is_named_with_its_neighbour() -> None:
    with pytest.raises(TargetError, match=r"T012: .*did you mean 'agreement'"):
        Goal.parse("agrement>=0.9")


_NO_NUMBERS = ["nan", "inf", "1e400", "-1e400", "", "1.2.3", "e", "½", "0x1", "9" * 400]


@pytest.mark.parametrize(
    "text",
    ["", "sqnr_db=20", "sqnr_db>20", "20", *(f"sqnr_db>={number}" for number in _NO_NUMBERS)],
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(TargetError, match="T012"):
        Goal.parse(text)


def test_a_figure_that_was_not_measured_is_no_goal() -> None:
    unlabelled = Baseline(sqnr_db=10.0, kl=None, agreement=None)
    with pytest.raises(TargetError, match=r"T013: .*--labels"):
        Goal.parse("accuracy>=0.7").met(unlabelled)


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("7", 7)]
)
def test_a_budget_is_a_time(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "ten minutes", "-5s", "5d", "nan", "inf", "1e400", "9" * 400, "½"]
)
def test_another_budget_is_refused(text: str) -> None:
    with pytest.raises(TargetError, match="T014"):
        seconds(text)
