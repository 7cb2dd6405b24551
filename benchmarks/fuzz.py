"""Break models, data, parameter files, results and caches for some minutes, and count what happens.

Needs nothing but the tests' dependencies. The same seed makes the same tries in the same order::

    python -m benchmarks.fuzz --minutes 30 --seed 7
    python -m benchmarks.fuzz --minutes 5 --seed 7 --only models --only caches
    python -m benchmarks.fuzz --replay build/fuzz/7/models-7-12

What broke lies in build/fuzz/SEED: a folder for each try, with its files as they were, its command
and what it said. Exit status 1 says that something did.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from benchmarks.fuzzing.counts import Counts
from benchmarks.fuzzing.server import CLI
from benchmarks.fuzzing.tries import CLASSES, Try, kind_of
from benchmarks.fuzzing.workplace import Report, Workplace, saved_try

_BUILD = Path(__file__).parents[1] / "build" / "fuzz"


def tries(seed: str, until: float, only: list[str]) -> Iterator[tuple[str, str, str]]:
    """Class and seed of one try after the other, as long as there is time."""
    for number in count():
        if time.monotonic() > until:
            return
        each = f"{seed} {number}"
        yield kind_of(each, only), each, CLI


def main(minutes: float, seed: str, only: list[str], jobs: int) -> int:
    """Print the table; 1 if anything was bad."""
    counts, saved = Counts(), _BUILD / seed
    with tempfile.TemporaryDirectory(prefix="fuzz-") as root:
        workplace = Workplace(Path(root), jobs, saved)
        for report in workplace.reports(tries(seed, time.monotonic() + 60 * minutes, only)):
            for fault in counts.add(report):
                print(
                    f"{report.kind} {report.seed}: {fault.kind}: {fault.where[:150]!r}", flush=True
                )
        workplace.close()
    print(f"\n## Seed {seed}, {minutes:g} minutes\n\n{counts.table()}\n\n{counts.causes()}\n")
    print(f"Refused by\n{counts.refusals()}\n")
    print(f"Against the bar: {counts.against_the_bar()}. What broke: {saved}")
    return int(any(counts.kinds))


def replay(folder: Path) -> int:
    """Run a saved try again, and print what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as root:
        workplace = Workplace(Path(root), 1)
        request: tuple[str, str | Try, str] = ("replay", saved_try(folder), CLI)
        (report,) = workplace.reports([request])
        workplace.close()
    return _shown(report)


def _shown(report: Report) -> int:
    print(f"lostbits {' '.join(report.argv)}\nstatus {report.status}, {report.seconds:.1f} s")
    for fault in report.faults:
        print(f"\n{fault.kind}: {fault.where}\n{fault.text}")
    return int(bool(report.faults))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", default="0")
    parser.add_argument("--only", action="append", choices=list(CLASSES), default=[])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--replay", type=Path)
    given = parser.parse_args()
    if given.replay:
        sys.exit(replay(given.replay))
    sys.exit(main(given.minutes, given.seed, given.only, given.jobs))
