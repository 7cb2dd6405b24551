"""A short run of the fuzzer: some tries of every class, always the same, through the command line.

The long one is benchmarks/fuzz.py, with seeds that nobody has seen.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fuzzing.corpus import Corpus
from benchmarks.fuzzing.server import CLI
from benchmarks.fuzzing.tries import CLASSES, made
from benchmarks.fuzzing.workplace import Workplace

pytestmark = pytest.mark.slow

# Tries of each class: together about half a minute on one core.
TRIES = {
    "models": 14,
    "external": 8,
    "data": 12,
    "parameters": 14,
    "results": 8,
    "caches": 5,
    "options": 5,
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    place = Workplace(tmp_path_factory.mktemp("fuzz"), 1)
    yield place
    place.close()


@pytest.mark.parametrize("kind", CLASSES)
def test_no_input_breaks_the_command_line(workplace: Workplace, kind: str) -> None:
    requests = [(kind, f"test {number}", CLI) for number in range(TRIES[kind])]
    reports = list(workplace.reports(requests))
    assert len(reports) == TRIES[kind]
    bad = [(r.seed, r.argv, r.what, [(f.kind, f.where) for f in r.faults]) for r in reports]
    assert not [each for each in bad if each[-1]]
    assert len({r.what for r in reports}) > 1


@pytest.mark.parametrize("kind", ["models", "data", "options"])
def test_a_seed_makes_the_same_try_every_time(tmp_path: Path, kind: str) -> None:
    corpus = Corpus(tmp_path)
    tries = [made(corpus, kind, f"same {number}") for number in range(12)]
    assert tries == [made(corpus, kind, f"same {number}") for number in range(12)]
    assert len({one.argv for one in tries}) > 3
