"""Laws of every running sum: parts are the whole, and what a state restores goes on like it."""

import copy
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lostbits.diagnoses.layers import TERMS, LayerSum
from lostbits.diagnoses.left_sums import LeftSum
from lostbits.diagnoses.network import Attributed, Gap
from lostbits.diagnoses.permutation import Walked
from lostbits.diagnoses.sites import SiteSum
from lostbits.diagnoses.worker import Measured
from lostbits.graph.output_kinds import Kind
from lostbits.graph.outputs import Compared, Part
from lostbits.graph.site import Site
from lostbits.rounding import Gram
from lostbits.runtime.calibration import Counted
from lostbits.runtime.metrics import Comparison, Outputs
from lostbits.runtime.noise_gains import NoiseGains
from lostbits.runtime.saturating import Reach
from lostbits.statistic import RecordSum, RunningSum
from lostbits.statistics import Extrema, Histogram, Tally
from lostbits.workers.record import flattened, rebuilt

laws = settings(deadline=None, max_examples=25, derandomize=True)
SITES = (Site("x", "activation", "n", (), "x", 1), Site("y", "activation", "m", (), "y"))
Sum = RunningSum[Any]


def batch(number: int) -> NDArray[np.float32]:
    return np.random.default_rng(number).normal(0, 1 + number % 3, (4, 3, 5)).astype(np.float32)


def sizes(number: int) -> NDArray[np.float64]:
    return np.random.default_rng(number).uniform(0, 1, 9)


def site_sum(number: int) -> SiteSum:
    v = sizes(number)
    parts: list[float] = v[:5].tolist()
    return SiteSum(parts[0], parts[1], parts[2], parts[3], parts[4], 20, v[5:9].reshape(2, 2))


def left_sum(number: int) -> LeftSum:
    return LeftSum(np.arange(3) + number, 10 + number, 100 * number)


def layer_sum(number: int) -> LayerSum:
    v = sizes(number)
    return LayerSum("y", v[: len(TERMS)], v[: len(TERMS)] ** 2, v[6], v[7], v[:3], 5)


def unreached() -> Reach:
    return Reach(("scores", "mask+"), np.full(2, np.inf), np.full(2, -np.inf))


def reach(number: int) -> Reach:
    ends = unreached()
    ends.include("scores" if number % 3 else "mask+", (-1.0 - number, number % 7))
    return ends


def attributed(number: int) -> Attributed:
    v = sizes(number)
    keys = [("x:activation", "total"), ("w:weight", "total"), ("w:weight", "clip")]
    sums = {key: v[i : i + 3] for i, key in enumerate(keys[: 1 + number % 3])}
    return Attributed(float(v[0]), 8, 4, sums, {4 * number: Gap(float(v[1]), 1 + number % 4)})


PUT_TOGETHER = Compared("y", Kind.CLASSES, (Part("a", {1: (0, 1)}), Part("b", {1: (1, None)})))


def walked(number: int) -> Walked:
    return Walked(float(sizes(number)[0]), 8, 4, sizes(number)[:6])


def compared(number: int) -> Comparison:
    x, labels = batch(number)[:, :, 0], np.arange(400) % 3
    known = Outputs([PUT_TOGETHER], [None])
    span = range(4 * number, 4 * number + 4)
    return Comparison().update([x], [x + 0.1], span, labels, known)


def counted(number: int) -> Counted:
    x = batch(number)
    found = Counted.empty(SITES)
    found.tallies["x:activation"].update(x)
    found.tallies["y:activation"].update(x[:, 0])
    found.energies.append(sizes(number)[:2].reshape(1, 2))
    return found


def measured(number: int) -> Measured:
    sites = {"x:activation": site_sum(number), "y:activation": site_sum(number + 1)}
    layers = {name: layer_sum(number) for name in ("one", "two")[: 1 + number % 2]}
    return Measured(
        4,
        sites,
        layers,
        compared(number),
        attributed(number) if number % 2 else None,
        walked(number) if number % 3 else None,
        [f"node {number % 3}"],
        number % 2 == 0,
    )


def noise_gains(number: int) -> NoiseGains:
    v, weights = sizes(number), batch(number)[0].astype(np.float64)
    sites = {"x:activation": v[:4], "y:activation": v[4:]}
    return NoiseGains(4, sites, {"x:activation": v}, {"w:weight": weights}, [f"node {number % 2}"])


@dataclass(frozen=True)
class Member:
    """How a sum begins, and what it is of the batch of a number.

    Attributes:
        exact: Whether it is the same, to the last bit, in whatever groups parts are merged.
    """

    none: Callable[[], Sum]
    of: Callable[[int], Sum]
    exact: bool = False


LIMITS = np.full(3, -20.0), np.full(3, 20.0)


def histogram() -> Histogram:
    return Histogram(*LIMITS, 64, 1)


MEMBERS: dict[type[Sum], Member] = {
    Extrema: Member(lambda: Extrema(1), lambda n: Extrema(1).update(batch(n)), True),
    Histogram: Member(histogram, lambda n: histogram().update(batch(n)), True),
    Tally: Member(lambda: Tally(1), lambda n: Tally(1).update(batch(n)), True),
    Gram: Member(
        lambda: Gram(4, 5, paired=True),
        lambda n: Gram(4, 5, paired=True).update(batch(n), batch(n + 1)),
    ),
    Comparison: Member(Comparison, compared),
    SiteSum: Member(SiteSum, site_sum),
    LayerSum: Member(lambda: LayerSum("y"), layer_sum),
    LeftSum: Member(LeftSum, left_sum),
    Attributed: Member(Attributed, attributed),
    Walked: Member(lambda: Walked(0.0, 0, 0, np.zeros(6)), walked),
    Counted: Member(lambda: Counted.empty(SITES), counted, True),
    NoiseGains: Member(NoiseGains, noise_gains),
    Reach: Member(unreached, reach, True),
    Measured: Member(
        lambda: Measured(0, {s.key: SiteSum() for s in SITES}, {}, Comparison()), measured
    ),
}
members = pytest.mark.parametrize("kind", MEMBERS)


def members_of(contract: Any) -> set[Any]:
    """All classes of the package that fulfil a contract."""
    found = {contract}.union(*(members_of(c) for c in contract.__subclasses__()))
    return {c for c in found if c.__module__.startswith("lostbits.") and not c.__abstractmethods__}


def fold(kind: type[Sum], parts: Sequence[Sum]) -> Sum:
    whole = MEMBERS[kind].none()
    for part in parts:
        whole.merge(part)
    return whole


def assert_same(one: Sum, other: Sum, tolerance: float = 0.0) -> None:
    a, b = (flattened(each.state()) for each in (one, other))
    if tolerance:
        _assert_close(one.state(), other.state(), tolerance)
        return
    assert a.keys() == b.keys()
    for key, array in a.items():
        np.testing.assert_array_equal(b[key], array, strict=True)


def _assert_close(one: Any, other: Any, tolerance: float) -> None:
    """Alike in all but the last digits of floats."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            _assert_close(value, other[key], tolerance)
    elif isinstance(one, tuple | list):
        for pair in zip(one, other, strict=True):
            _assert_close(*pair, tolerance)
    elif isinstance(one, np.ndarray | float):
        np.testing.assert_allclose(other, one, rtol=tolerance)
    elif hasattr(one, "__dict__"):
        _assert_close(vars(one), vars(other), tolerance)
    else:
        assert one == other


def test_every_sum_is_held_to_the_laws() -> None:
    found = members_of(RunningSum) - {RecordSum}
    assert found == set(MEMBERS)


numbers = st.lists(st.integers(0, 90), min_size=1, max_size=6, unique=True).map(sorted)


@members
@laws
@given(parts=numbers, cut=st.integers(0, 6))
def test_parts_merged_in_order_are_the_whole(kind: type[Sum], parts: list[int], cut: int) -> None:
    member = MEMBERS[kind]
    whole = fold(kind, [member.of(n) for n in parts])
    halves = [fold(kind, [member.of(n) for n in half]) for half in (parts[:cut], parts[cut:])]
    assert_same(fold(kind, halves), whole, 0.0 if member.exact else 1e-12)
    assert_same(member.none().merge(whole), whole)
    assert_same(copy.deepcopy(whole).merge(member.none()), whole)


@pytest.mark.slow
@members
@laws
@given(parts=numbers, more=st.integers(91, 99))
def test_what_is_restored_is_the_same_and_goes_on_alike(
    kind: type[Sum], parts: list[int], more: int
) -> None:
    """Through a file, and through what sends it to another process."""
    member = MEMBERS[kind]
    whole = fold(kind, [member.of(n) for n in parts])
    state = rebuilt(kind.form, {k: a.copy() for k, a in flattened(whole.state()).items()})
    again, sent = member.none().restore(state), pickle.loads(pickle.dumps(whole))
    for copied in (again, sent):
        assert_same(copied, whole)
    whole.merge(member.of(more))
    for copied in (again, sent):
        assert_same(copied.merge(member.of(more)), whole)


@members
@laws
@given(parts=numbers, more=st.integers(91, 99))
def test_what_was_given_is_never_changed(kind: type[Sum], parts: list[int], more: int) -> None:
    """Not by what comes later, either."""
    member = MEMBERS[kind]
    given_ = [member.of(n) for n in parts]
    before = copy.deepcopy(given_)
    fold(kind, [*given_, member.of(more)])
    for one, other in zip(given_, before, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize(
    ("sums", "state"),
    [
        (Extrema(1), {"lo": np.zeros(3), "hi": np.zeros(2)}),
        (Histogram(*LIMITS, 64, 1), Histogram(*LIMITS, 32, 1).state()),
        (Histogram(*LIMITS, 64, 1), Histogram(LIMITS[0] / 2, LIMITS[1], 64, 1).state()),
        (Tally(1), Tally(1).update(batch(0)).state()._replace(zeros=np.zeros(2, np.int64))),
        (Gram(4, 5), Gram(4, 5, paired=True).state()),
        (Gram(4, 5, paired=True), Gram(4, 5).state()),
        (Gram(4, 5), Gram(4, 6).state()),
        (Counted.empty(SITES), Counted.empty(SITES[:1]).state()),
    ],
)
def test_the_state_of_another_sum_is_refused_and_changes_nothing(sums: Sum, state: Any) -> None:
    before = copy.deepcopy(sums)
    with pytest.raises(ValueError, match=r".+"):
        sums.restore(state)
    assert_same(sums, before)


def test_a_later_gap_of_a_batch_holds() -> None:
    """A batch that was refined is counted once, by its finer rule."""
    whole = Attributed(gaps={0: Gap(0.5, 1)}).merge(Attributed(gaps={0: Gap(0.1, 2)}))
    assert whole.gaps == {0: Gap(0.1, 2)}
