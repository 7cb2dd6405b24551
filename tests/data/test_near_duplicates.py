"""Samples that are next to the same are found, and kept on one side where samples are parted."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lostbits.data import InputSpec, Source, near_duplicates, open_source
from lostbits.verbs.holdout import held_out
from lostbits.verbs.origin import Samples

RNG = np.random.default_rng(5)


def opened(*arrays: NDArray[Any]) -> Source:
    data = {f"x{number}": array for number, array in enumerate(arrays)}
    return open_source(
        data, [InputSpec(n, x.dtype, (None, *x.shape[1:]), masks=True) for n, x in data.items()]
    )


def groups(source: Source) -> list[int]:
    found = near_duplicates(source)
    assert found is not None
    return [*map(int, found)]


def pictures(count: int) -> NDArray[np.float32]:
    return RNG.normal(size=(count, 3, 12, 12)).astype(np.float32)


def parted(source: Source) -> tuple[Samples, Samples]:
    return held_out(Samples(source, range(len(source)), len(source)))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: 3 * x + 5,
        lambda x: x + RNG.normal(scale=0.05, size=x.shape),
    ],
    ids=["copy", "brightness", "noise"],
)
def test_what_is_next_to_the_same_is_one_group(change: Any) -> None:
    x = pictures(12)
    x[9] = change(x[2])
    assert groups(opened(x)) == [*range(9), 2, 10, 11]


def test_others_are_not() -> None:
    for x in (pictures(40), RNG.normal(size=(40, 2)), RNG.integers(0, 99, (40, 20))):
        assert groups(opened(x)) == [*range(40)]


def test_every_input_that_varies_must_be_alike() -> None:
    x, mask = pictures(10), np.ones((10, 20), np.int64)
    x[7] = x[1]
    assert groups(opened(x, mask))[7] == 1
    mask[7, 10:] = 0
    assert groups(opened(x, mask))[7] == 7


@pytest.mark.filterwarnings("error")
def test_masks_of_minus_infinity_are_values_like_others() -> None:
    x, mask = pictures(10), np.zeros((10, 40), np.float32)
    mask[:, 30:], x[7] = -np.inf, x[1]
    assert groups(opened(x, mask))[7] == 1
    mask[7, 20:] = np.finfo(np.float32).min
    assert groups(opened(x, mask))[7] == 7


def test_padding_is_not_what_makes_sentences_alike() -> None:
    tokens = np.zeros((6, 100), np.int64)
    tokens[:, :20] = RNG.integers(1, 999, (6, 20))
    tokens[4, :19] = tokens[0, :19]
    assert groups(opened(tokens)) == [0, 1, 2, 3, 0, 5]


def test_a_film_is_one_group_though_its_ends_differ() -> None:
    frames = pictures(10)
    for number in range(4, 8):
        frames[number] = frames[number - 1] + 0.1 * pictures(1)[0]
    assert groups(opened(frames)) == [0, 1, 2, 3, 3, 3, 3, 3, 8, 9]


def test_without_near_duplicates_the_last_samples_judge() -> None:
    judges, rest = parted(opened(pictures(64)))
    assert [*judges.numbers] == [*range(48, 64)] and [*rest.numbers] == [*range(48)]
    assert judges.notes == ()


def test_data_that_were_doubled_are_parted_by_whole_groups() -> None:
    x = pictures(32)
    judges, rest = parted(opened(np.concatenate([x, x])))
    assert {n % 32 for n in judges.numbers}.isdisjoint({n % 32 for n in rest.numbers})
    assert [*judges.numbers] == [*range(24, 32), *range(56, 64)]
    (note,) = judges.notes
    assert note.code == "note.near_duplicates"
    feeds = [batch.feeds["x0"] for batch in judges.source.batches(5)]
    assert np.array_equal(np.concatenate(feeds), x[[*range(24, 32), *range(24, 32)]])
    labels = judges.labels(np.arange(64))
    assert labels is not None and [*labels] == [*judges.numbers]


def test_one_film_cannot_be_parted_and_it_is_said() -> None:
    frames = np.repeat(pictures(1), 64, axis=0)
    judges, _ = parted(opened(frames))
    assert [*judges.numbers] == [*range(48, 64)]
    assert [note.code for note in judges.notes] == ["note.judges_seen"]


@given(st.sets(st.integers(0, 22), min_size=1), st.integers(1, 7), st.integers(0, 5))
def test_picked_samples_are_those_of_their_numbers(kept: set[int], size: int, first: int) -> None:
    x = np.arange(28, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    some = opened(x).slice(first, 28).slice(0, 23).pick(sorted(kept))
    found = np.concatenate([batch.feeds["x0"] for batch in some.batches(size)])
    assert np.array_equal(found, x[[first + n for n in sorted(kept)]])
    middle = some.slice(len(kept) // 2, len(kept))
    (again,) = np.concatenate([b.feeds["x0"] for b in middle.batches(99)])[:1]
    assert np.array_equal(again, x[first + sorted(kept)[len(kept) // 2]])
