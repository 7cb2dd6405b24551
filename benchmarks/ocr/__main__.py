"""PP-OCRv4 recognition on rendered lines of text: the share of characters right.

Spaces do not count: the float network reads empty paper behind a line as one.

Run ``python -m benchmarks.prepare`` first, and ``python -m benchmarks.peers`` once for the
environment of the other tools, which are left out where there is none::

    python -m benchmarks.ocr [--targets onnxruntime,snpe] [--tools lostbits,...]
                             [--budget 120s] [--seed 8] [--save]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.environments import PEERS, last_line
from benchmarks.ocr.lines import lines
from benchmarks.ocr.text import alphabet, read, right
from benchmarks.peers.job import Floats, Job
from benchmarks.peers.judge import outputs
from benchmarks.peers.run import LIMIT, Done, run
from benchmarks.peers.tools import TITLES, simplified, title
from benchmarks.prepared import BENCH
from benchmarks.results import Rows, parser, recorded
from benchmarks.table import Cell, Column

MODEL = BENCH / "ppocr_v4_rec.onnx"
CALIBRATION, EVALUATION = 128, 256
SETTINGS = {"onnxruntime": "qnn-htp", "snpe": "snpe"}  # ours: the setting that others need
TOOLS = ("onnxruntime", "nncf", "lostbits-nearest", "lostbits")
COLUMNS = (
    Column("target"),
    Column("tool"),
    Column("characters right", "", ".2%"),
    Column("lines right", "", ".1%"),
    Column("quantizing", "s", ".0f"),
    Column("of all cores", "s", ".0f"),
)


def main() -> None:
    """Render, quantize, read and score."""
    arguments = _arguments()
    n = f"{CALIBRATION} lines to work on, {EVALUATION} others read"
    with (
        tempfile.TemporaryDirectory() as scratch,
        recorded("ocr", COLUMNS, n=n, keys=2, save=arguments.save) as rows,
    ):
        compare(rows, Path(scratch), arguments)


def compare(rows: Rows, folder: Path, arguments: argparse.Namespace) -> None:
    """Add one row for every target and tool."""
    images, texts = lines(CALIBRATION + EVALUATION, arguments.seed)
    data = folder / "calibration.npy"
    np.save(data, images[:CALIBRATION])
    model = simplified(MODEL, data, folder) if PEERS.python.exists() else MODEL
    judge = Judge(images[CALIBRATION:], texts[CALIBRATION:])
    rows.add("", "float", *judge(MODEL))
    base = Job("", "", model, data, folder, 0, arguments.budget)
    for target, tool in product(arguments.targets.split(","), arguments.tools.split(",")):
        ours = tool.startswith("lostbits")
        setting, out = target if ours else SETTINGS[target], folder / f"{tool}-{target}"
        given = MODEL if ours else model  # ours takes the file as users have it
        job = replace(base, tool=tool, setting=setting, model=given, out=out)
        rows.add(target, title(job), *judge.cells(run(job, arguments.limit)))


class Judge:
    """Reads the evaluation lines with a network."""

    def __init__(self, images: Floats, texts: list[str]) -> None:
        self.images, self.characters = images, alphabet(MODEL)
        self.texts = [text.replace(" ", "") for text in texts]

    def __call__(self, model: Path) -> tuple[float, float]:
        """Return the share of characters right and that of lines."""
        found = read(list(outputs(model, self.images)), self.characters)
        whole = np.mean([f == t for f, t in zip(found, self.texts, strict=True)])
        return right(found, self.texts), float(whole)

    def cells(self, done: Done) -> tuple[Cell, ...]:
        """Return the figures of one run, or why there are none."""
        if done.seconds is None:
            return (done.reason,)
        try:
            return *self(done.job.result), *done.seconds
        except Exception as error:  # whatever ONNX Runtime says of a file that it cannot run
            return (last_line(str(error)),)


def _arguments() -> argparse.Namespace:
    words = parser(__doc__)
    words.add_argument("--tools", default=",".join(TOOLS), help=", ".join(TITLES))
    words.add_argument("--targets", default=",".join(SETTINGS))
    words.add_argument("--budget", type=lambda s: float(s.removesuffix("s")), default=120.0)
    words.add_argument("--limit", type=float, default=LIMIT, help="seconds for one run")
    words.add_argument("--seed", type=int, default=8)
    return words.parse_args()


if __name__ == "__main__":
    main()
