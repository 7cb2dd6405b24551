"""Planted faults: what was found against what was planted, and predicted against measured gains.

Prints the tables of docs/benchmarks.md; the faults are those of tests/test_faults.py::

    python benchmarks/faults.py
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from faulty_nets import FAULTS, Patient, patient, planted
from lostbits.diagnosis import Finding

KINDS = list(dict.fromkeys(fault.kind for fault in FAULTS))
UNTREATED = 3  # findings of the demo network that are put to the test as well


def diagnosed(folder: Path) -> Iterator[tuple[Patient, Finding]]:
    """Every faulty network with its first finding."""
    for fault in FAULTS:
        ill = planted(fault, folder)
        yield ill, ill.findings()[0]


def confusion(pairs: list[tuple[Patient, Finding]]) -> None:
    """Planted kind against found reason; a finding at another tensor counts as such."""
    found = Counter((p.fault.kind, _answer(p, f)) for p, f in pairs if p.fault)
    answers = sorted({answer for _, answer in found})
    hits = sum(p.fault is not None and p.fault.found_by(f) for p, f in pairs)
    print(f"\n## Planted against found: {hits} of {len(pairs)} first findings\n")
    print("| planted | " + " | ".join(answers) + " |")
    print("|---" * (len(answers) + 1) + "|")
    for kind in KINDS:
        print(f"| {kind} | " + " | ".join(str(found[kind, a] or "") for a in answers) + " |")


def _answer(ill: Patient, first: Finding) -> str:
    here = ill.fault is not None and first.tensor in ill.fault.tensors
    return first.reason if here else f"{first.reason}, elsewhere"


def calibration(pairs: list[tuple[Patient, Finding]]) -> None:
    """What the setting of each finding's own command wins."""
    print("\n## Predicted and measured gain of the finding's own `--set`\n")
    print("| network | finding | setting | SQNR dB | predicted dB | measured dB |")
    print("|---|---|---|---|---|---|")
    gains = []
    for ill, first in pairs:
        before = ill.sqnr()
        gains.append((first.gain_db, ill.treated(first).sqnr() - before))
        setting = first.command.rpartition("=")[2].rstrip("'")
        print(
            f"| {ill.fault or 'the demo as it is, for snpe'} | {first.reason} of {first.tensor} | "
            f"{setting} | {before:.1f} | {gains[-1][0]:.1f} | {gains[-1][1]:.1f} |"
        )
    predicted, measured = np.array(gains).T
    slope = float(predicted @ measured / (predicted @ predicted))
    print(
        f"\nMeasured over predicted: {slope:.2f} (least squares through zero); median difference "
        f"{np.median(measured - predicted):+.1f} dB, within 3 dB "
        f"{np.mean(np.abs(measured - predicted) <= 3):.0%}; rank correlation "
        f"{spearmanr(predicted, measured).statistic:.2f}; measured gain positive in "
        f"{np.count_nonzero(measured > 0)} of {measured.size}."
    )


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = list(diagnosed(Path(folder)))
        confusion(pairs)
        demo = patient("digits", "snpe", Path(folder))
        calibration([*pairs, *((demo, f) for f in demo.findings()[:UNTREATED])])


if __name__ == "__main__":
    main()
