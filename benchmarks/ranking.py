"""Rankings of sites on the restore curve: SQNR against the number of sites set to float.

Each ranking is made on samples of its own and measured on others. Its price is in passes of the
float network over the same samples::

    LOSTBITS_ZOO=FOLDER python -m benchmarks.ranking [--only digits,MiniLM] [--bits 8,3] [--save]
    python -m benchmarks.ranking --saved --save   # compares the rows that were saved before

``report`` is the order of the report's curve: a diagnosis, the repair of a network that has fallen,
and own effects. ``shares`` are those of the attribution. ``brute force`` ranks by one measured run
for each site: ``from float``, with that site alone quantized; ``from quantized``, with that site
alone in float. ``one gradient`` is the slope of the error at the quantized network, without any
step between (Taylor's first term).
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

import lostbits
from benchmarks.results import FOLDER, Rows, parser, read, recorded
from benchmarks.subjects import Subject, some, subjects
from benchmarks.table import Cell, Column
from lostbits import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.own_effects import OwnErrors, floats, most_felt
from lostbits.diagnoses.restore import COUNTS, Restored
from lostbits.diagnoses.settings import Settings
from lostbits.grid import Grid
from lostbits.runtime.compare_networks import observe
from lostbits.runtime.executor import Executor
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.metrics import Value
from lostbits.runtime.path_gradients import slopes
from lostbits.runtime.simulation import Simulation
from lostbits.target import Target
from lostbits.targets import target
from lostbits.verbs.origin import origin_of
from lostbits.workers.progress import silent

COLUMNS = (
    Column("network"),
    Column("target"),
    Column("bits"),
    Column("ranking"),
    Column("mean", "dB", ".1f"),
    *(Column(str(count), "dB", ".1f") for count in (0, *COUNTS)),
    Column("float passes", "", ".0f"),
)
AHEAD = (
    *COLUMNS[:3],
    Column("report", "dB", ".1f"),
    Column("price", "float passes", ".0f"),
    Column("best that costs less"),
    Column("it is ahead by", "dB", "+.1f"),
    Column("best brute force"),
    Column("brute force is ahead by", "dB", "+.1f"),
    Column("its price", "float passes", ".0f"),
)
BRUTE = "brute force"
_AT = (4, -1)  # where a row has its mean and its price
WORK, JUDGED = 16, 16
MOST_SITES = 130  # of brute force: a run for each of them
BEST = 200.0  # dB: what equals float counts as this
Scores = Mapping[str, float]


def main() -> None:
    """Rank, set to float, measure."""
    words = parser(__doc__)
    words.add_argument("--only", default="")
    words.add_argument("--bits", default="8,3")
    words.add_argument("--saved", action="store_true", help="measure nothing")
    told = words.parse_args()
    if not told.saved:
        _measure(told)
    saved = read(FOLDER / "ranking.json")
    with recorded("ranking_ahead", AHEAD, n=saved.n, keys=3, save=told.save) as rows:
        for key, members in groupby(saved.rows, key=lambda row: row.cells[:3]):
            rows.add(*key, *_ahead({str(row.cells[3]): row.cells for row in members}))


def _ahead(rankings: Mapping[str, Sequence[Cell]]) -> Iterator[Cell]:
    """The report's mean and price, and beside them the best of all others and of brute force."""
    mean, price = ({name: float(cells[at] or 0) for name, cells in rankings.items()} for at in _AT)
    yield from (mean["report"], price["report"])
    others = [n for n in mean if n != "report" and price[n] < price["report"]]
    for names in ([n for n in others if BRUTE not in n], [n for n in mean if BRUTE in n]):
        best = max(names, key=mean.__getitem__, default=None)
        yield from (None, None) if best is None else (best, mean[best] - mean["report"])
    yield None if best is None else price[best]


def _measure(told: argparse.Namespace) -> None:
    n = f"{WORK} samples to rank by, {JUDGED} others measured"
    with recorded("ranking", COLUMNS, n=n, keys=4, save=told.save) as rows:
        for subject in subjects(told.only):
            for bits in map(int, told.bits.split(",")):
                _rank(subject, bits, rows)


def _rank(subject: Subject, bits: int, rows: Rows) -> None:
    data, chosen = subject.samples(), _target(subject.target, bits)
    work, others = some(data, slice(WORK)), some(data, slice(WORK, WORK + JUDGED))
    bench = lostbits.load(subject.model, work, chosen)
    rankings = Rankings(replace(bench, origin=None), origin_of(bench).judged.source)
    judged = lostbits.load(subject.model, others, chosen, calibration=work)
    source = origin_of(judged).judged.source
    measured = Restored(rankings.case, Judge(judged.model, source, compared=judged.compared))
    orders = {"report": lambda: _report(bench), **rankings.members()}
    for name, ranking in orders.items():
        start = time.perf_counter()
        order = ranking()
        passes = (time.perf_counter() - start) / rankings.pass_seconds
        curve = [min(measured.decibels(order[:k]), BEST) for k in (0, *COUNTS)]
        rows.add(
            subject.name, subject.target, bits, name, float(np.mean(curve[1:])), *curve, passes
        )


def _target(name: str, bits: int) -> Target:
    """The target with so many bits of a weight."""
    base = target(name)
    if bits == base.weights.grid.bits:
        return base
    grid = Grid.of(bits, signed=base.weights.grid.signed)
    return replace(base, name=f"{name}-w{bits}", weights=replace(base.weights, grid=grid))


def _report(case: Case) -> Sequence[str]:
    """The order of the report's curve, which begins with what a fallen network needs repaired."""
    restore = lostbits.diagnose(case).restore
    assert restore is not None, "no restore curve was measured"
    return restore.order


class Rankings:
    """Other ways to rank the sites of a case, on the samples that attribution looks at too."""

    def __init__(self, case: Case, source: Source) -> None:
        self.case, self.source = case.over(len(source)), source
        self.keys = [site.key for site in case.attributed_sites]
        start = time.perf_counter()
        self.runs = Restored(self.case, Judge(case.model, source, compared=case.compared))
        self.pass_seconds = time.perf_counter() - start

    def members(self) -> dict[str, Callable[[], Sequence[str]]]:
        """By name; brute force only where a run for each site can be had."""
        cheap: dict[str, Callable[[], Sequence[str]]] = {
            "own effects": self.effects,
            "shares": self.shares,
            "local SQNR": self.local,
            "one gradient": self.gradient,
            "random": self.random,
        }
        if len(self.keys) > MOST_SITES:
            return cheap
        brute = {"brute force, from float": self.alone, "brute force, from quantized": self.freed}
        return {**cheap, **brute}

    def effects(self) -> list[str]:
        """What the report's curve takes, without the repair: no diagnosis, no measured run."""
        return most_felt(self.case, self.source)[0]

    def shares(self) -> list[str]:
        """Largest share of the attribution first."""
        run = Run(self.case, self.source, Settings(), None)
        run.diagnose(silent)
        values = run.network().values
        return self._sorted({key: values[key] for key in self.keys if key in values})

    def alone(self) -> list[str]:
        """Lowest SQNR first, where only that site is quantized."""
        everything = set(self.keys)
        return self._sorted({k: -self.runs.decibels(everything - {k}) for k in self.keys})

    def freed(self) -> list[str]:
        """Highest SQNR first, where only that site is in float."""
        return self._sorted({key: self.runs.decibels([key]) for key in self.keys})

    def local(self) -> list[str]:
        """Largest error against the power of its own tensor first."""
        return self._sorted(OwnErrors(self.case).of(self._part())[1])

    def gradient(self) -> list[str]:
        """Largest slope of the error at the quantized network first."""
        part, case = self._part(), self.case
        _, frozen = Simulation(case).run(part)
        executor = Executor(case.model, case.attributed_sites)
        plain = floats(observe(executor, part))
        value = Value("nsr", case.output_energy, case.samples)
        found = slopes(executor, part.feeds, frozen, 1.0, lambda y: value(plain, floats(y)))
        slope = {key: float(each.sum()) for (key, kind), each in found.items() if kind == "total"}
        return self._sorted({key: slope.get(key, 0.0) for key in self.keys})

    def random(self) -> list[str]:
        """Any order."""
        return [str(key) for key in np.random.default_rng(0).permutation(self.keys)]

    def _part(self) -> Batch:
        return next(iter(self.source.batches(len(self.source))))

    def _sorted(self, scores: Scores) -> list[str]:
        return sorted(scores, key=lambda key: (-scores[key], key))


if __name__ == "__main__":
    main()
