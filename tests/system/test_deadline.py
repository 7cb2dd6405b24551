"""A deadline: what is left of it, here and in another process."""

import math
import pickle
import time

import pytest

from lostbits.system.deadline import NEVER, Deadline


def test_a_deadline_passes() -> None:
    assert Deadline.after(60).left == pytest.approx(60, abs=1)
    assert not Deadline.after(60).passed and Deadline.after(0).passed
    assert not NEVER.passed and math.isinf(NEVER.left)


def test_a_part_of_what_is_left_is_sooner() -> None:
    assert Deadline.after(60).part(0.25).left == pytest.approx(15, abs=1)
    assert Deadline.after(60).sooner(20).left == pytest.approx(40, abs=1)
    assert NEVER.part(0.5) == NEVER


def test_another_process_is_told_the_seconds_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clock may stand elsewhere."""
    sent, now = pickle.dumps(Deadline.after(60)), time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 1e6)
    assert pickle.loads(sent).left == pytest.approx(60, abs=1)
    assert pickle.loads(pickle.dumps(NEVER)).left == math.inf
