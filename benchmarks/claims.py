"""What recover calls a gain, on samples that it has never seen, over random splits of the data.

Of each network 32 random samples are given to ``recover``, which keeps some of them apart to judge
by; every case that it keeps is then measured on all other samples::

    LOSTBITS_ZOO=FOLDER python -m benchmarks.claims [--only digits] [--splits 8] [--budget 60s]
                                                    [--save]
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

import lostbits
from benchmarks.results import Rows, parser, recorded
from benchmarks.subjects import Subject, some, subjects
from benchmarks.table import Column
from lostbits import Case
from lostbits.attempts.ledger import Entry
from lostbits.runtime.held_out_figures import Judge
from lostbits.verbs.origin import origin_of

COLUMNS = (
    Column("network"),
    Column("target"),
    Column("splits"),
    Column("kept attempts"),
    Column("gains on others too", "", ".0%"),
    Column("claimed, mean", "dB", "+.2f"),
    Column("on others, mean", "dB", "+.2f"),
    Column("worst on others", "dB", "+.2f"),
)
GIVEN = 32
MOST_OTHERS = 256


class Kept(NamedTuple):
    """One attempt that was kept: dB that it claims, and dB on samples that nobody saw."""

    claimed: float
    found: float


def main() -> None:
    """Split, recover, judge."""
    words = parser(__doc__)
    words.add_argument("--only", default="")
    words.add_argument("--splits", type=int, default=8)
    words.add_argument("--budget", default="60s")
    told = words.parse_args()
    n = f"{GIVEN} samples given to recover, all others measured, at most {MOST_OTHERS}"
    with recorded("claims", COLUMNS, n=n, keys=2, save=told.save) as rows:
        for subject in subjects(told.only):
            _add(rows, subject, told)


def _add(rows: Rows, subject: Subject, told: argparse.Namespace) -> None:
    kept = [each for seed in range(told.splits) for each in _of_split(subject, seed, told.budget)]
    if not kept:
        rows.add(subject.name, subject.target, told.splits, 0)
        return
    claimed, found = np.array(kept).T
    figures = np.mean(found > 0), claimed.mean(), found.mean(), found.min()
    rows.add(subject.name, subject.target, told.splits, len(kept), *map(float, figures))


def _of_split(subject: Subject, seed: int, budget: str) -> Iterator[Kept]:
    data = subject.samples()
    order = np.random.default_rng(seed).permutation(len(next(iter(data.values()))))
    given, others = order[:GIVEN], order[GIVEN : GIVEN + MOST_OTHERS]
    cases: list[tuple[Case, float]] = []

    def save(case: Case, ledger: Sequence[Entry]) -> None:
        if ledger and ledger[-1].kept:
            cases.append((case, ledger[-1].gain_db))

    with patch("lostbits.verbs.recover.saver", lambda _: save):
        case = lostbits.load(subject.model, some(data, given), subject.target, hold_out=True)
        lostbits.recover(case, budget=budget, seed=seed)
    yield from _judged(replace(case, origin=None), cases, _source(subject, some(data, others)))


def _source(subject: Subject, data: Any) -> Any:
    return origin_of(lostbits.load(subject.model, data, subject.target)).judged.source


def _judged(plan: Case, cases: Sequence[tuple[Case, float]], source: Any) -> Iterator[Kept]:
    """Each kept case against the one before it."""
    judge = Judge(plan.model, source, compared=plan.compared)
    before = judge(plan).sqnr_db
    for case, claimed in cases:
        after = judge(case).sqnr_db
        if before is not None and after is not None:
            yield Kept(claimed, after - before)
        before = after


if __name__ == "__main__":
    main()
