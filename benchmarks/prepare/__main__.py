"""Download and make the networks and the data that the benchmarks use.

What already exists is kept; nothing is installed::

    python -m benchmarks.prepare [--out build/bench]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.prepare.check import check
from benchmarks.prepare.efficientnet import prepare_efficientnet
from benchmarks.prepare.ocr import prepare_ocr
from benchmarks.prepare.photographs import prepare_photographs
from benchmarks.prepared import BENCH


def main() -> None:
    """Make whatever is missing in the out folder, then check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=BENCH, help="folder for the networks and data")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    prepare_efficientnet(out)
    prepare_photographs(out)
    prepare_ocr(out)
    check(out)


if __name__ == "__main__":
    main()
