"""Download and make the networks and the data that the benchmarks use.

Run `python benchmarks/prepare.py`. What already exists is kept; nothing is installed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from prepare_check import check
from prepare_efficientnet import prepare_efficientnet
from prepare_ocr import prepare_ocr
from prepare_photographs import prepare_photographs

OUT = Path(__file__).resolve().parent.parent / "build" / "bench"


def main() -> None:
    """Make whatever is missing in the out folder, then check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the networks and data")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    prepare_efficientnet(out)
    prepare_photographs(out)
    prepare_ocr(out)
    check(out)


if __name__ == "__main__":
    main()
