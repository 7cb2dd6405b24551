"""Planted faults: what was found against what was planted, and predicted against measured gains.

The faults are those of tests/verbs/test_faults.py::

    python -m benchmarks.faults [--save]
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from benchmarks.prepared import ROOT
from benchmarks.results import parser, recorded
from benchmarks.table import Column

sys.path.insert(0, str(ROOT / "tests"))
from faulty_nets import FAULTS, Patient, patient, planted
from lostbits.results.diagnosis import Finding

KINDS = list(dict.fromkeys(fault.kind for fault in FAULTS))
GAINS = (
    Column("network"),
    Column("finding"),
    Column("setting"),
    Column("SQNR", "dB", ".1f"),
    Column("predicted", "dB", ".1f"),
    Column("measured", "dB", ".1f"),
)
SUMMARY = (
    Column("gain"),
    Column("ratio (least squares through zero)", "", ".2f"),
    Column("median difference", "dB", "+.1f"),
    Column("within 3 dB", "", ".0%"),
    Column("rank correlation", "", ".2f"),
    Column("positive"),
)
UNTREATED = 3  # findings of the demo network that are put to the test as well


def diagnosed(folder: Path) -> Iterator[tuple[Patient, Finding]]:
    """Every faulty network with its first finding."""
    for fault in FAULTS:
        ill = planted(fault, folder)
        yield ill, ill.findings()[0]


def confusion(pairs: list[tuple[Patient, Finding]], save: bool) -> None:
    """Planted kind against found reason; a finding at another tensor counts as such."""
    found = Counter((p.fault.kind, _answer(p, f)) for p, f in pairs if p.fault)
    hits = Counter(p.fault.kind for p, f in pairs if p.fault and p.fault.found_by(f))
    answers = sorted({answer for _, answer in found})
    columns = (Column("planted"), Column("found"), *map(Column, answers))
    with recorded("faults", columns, n=f"{len(pairs)} faults, first findings", save=save) as rows:
        for kind in KINDS:
            rows.add(kind, hits[kind], *(found[kind, answer] or None for answer in answers))


def _answer(ill: Patient, first: Finding) -> str:
    here = ill.fault is not None and first.tensor in ill.fault.tensors
    return first.reason if here else f"{first.reason}, elsewhere"


def gains(pairs: list[tuple[Patient, Finding]], save: bool) -> None:
    """What the setting of each finding's own command wins."""
    found = []
    with recorded("gains", GAINS, n=f"{len(pairs)} findings", keys=2, save=save) as rows:
        for ill, first in pairs:
            before = ill.sqnr()
            found.append((first.gain_db, ill.treated(first).sqnr() - before))
            setting = first.command.rpartition("=")[2].rstrip("'")
            name = str(ill.fault or "the demo as it is, for snpe")
            rows.add(name, f"{first.reason} of {first.tensor}", setting, before, *found[-1])
    predicted, measured = np.array(found).T
    off = measured - predicted
    with recorded("gains_summary", SUMMARY, n=f"{len(pairs)} findings", save=save) as rows:
        rows.add(
            "measured against predicted",
            float(predicted @ measured / (predicted @ predicted)),
            float(np.median(off)),
            float(np.mean(np.abs(off) <= 3)),
            float(spearmanr(predicted, measured).statistic),
            f"{np.count_nonzero(measured > 0)} of {measured.size}",
        )


def main() -> None:
    """Plant, diagnose, treat."""
    save = parser(__doc__).parse_args().save
    with tempfile.TemporaryDirectory() as folder:
        pairs = list(diagnosed(Path(folder)))
        confusion(pairs, save)
        demo = patient("digits", "snpe", Path(folder))
        gains([*pairs, *((demo, f) for f in demo.findings()[:UNTREATED])], save)


if __name__ == "__main__":
    main()
