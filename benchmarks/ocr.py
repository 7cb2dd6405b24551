"""PP-OCRv4 recognition on rendered lines of text: the share of characters right.

Spaces do not count: the float network reads empty paper behind a line as one.

Run ``python benchmarks/prepare.py`` first, and ``python benchmarks/peers.py`` once for the
environment of the other tools, which are left out where there is none::

    python benchmarks/ocr.py [--targets onnxruntime,snpe] [--tools lostbits,...]
                             [--budget 120s] [--seed 8]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from environments import PEERS, last_line
from ocr_lines import lines
from ocr_text import alphabet, read, right
from peers import simplified
from peers_job import Floats, Job
from peers_judge import outputs
from peers_run import LIMIT, Done, run

MODEL = Path(__file__).resolve().parent.parent / "build" / "bench" / "ppocr_v4_rec.onnx"
CALIBRATION, EVALUATION = 128, 256
SETTINGS = {
    "onnxruntime": "qnn-htp",
    "snpe": "snpe",
}  # target of ours: the setting that others need
KINDS = {
    "onnxruntime": "`onnxruntime`",
    "qnn-htp": "the same: per-channel U8S8",
    "snpe": "`snpe`: per-tensor U8U8",
}
TITLES = {
    "lostbits-nearest": "lostbits, the target's own rules",
    "lostbits": "lostbits recover",
    "onnxruntime": "ONNX Runtime, min-max",
    "nncf": "NNCF",
}


def main() -> None:
    """Render, quantize, read and score."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        table(Path(scratch), arguments)


def table(folder: Path, arguments: argparse.Namespace) -> None:
    """Print one row for every tool and target."""
    images, texts = lines(CALIBRATION + EVALUATION, arguments.seed)
    data = folder / "calibration.npy"
    np.save(data, images[:CALIBRATION])
    model = simplified(MODEL, data, folder) if PEERS.python.exists() else MODEL
    judge = Judge(images[CALIBRATION:], texts[CALIBRATION:])
    print("| tool | target | characters right | lines right | s | CPU s |")
    print(f"|---|---|---|---|---|---|\n| float | | {judge(MODEL)} | | |", flush=True)
    base = Job("", "", model, data, folder, 0, arguments.budget)
    for target, tool in product(arguments.targets.split(","), arguments.tools.split(",")):
        ours = tool.startswith("lostbits")
        setting, out = target if ours else SETTINGS[target], folder / f"{tool}-{target}"
        given = MODEL if ours else model  # ours takes the file as users have it
        job = replace(base, tool=tool, setting=setting, model=given, out=out)
        print(judge.row(run(job, arguments.limit)), flush=True)


class Judge:
    """Reads the evaluation lines with a network."""

    def __init__(self, images: Floats, texts: list[str]) -> None:
        self.images, self.characters = images, alphabet(MODEL)
        self.texts = [text.replace(" ", "") for text in texts]

    def __call__(self, model: Path) -> str:
        """Return the share of characters right and that of lines, as two cells."""
        found = read(list(outputs(model, self.images)), self.characters)
        whole = np.mean([f == t for f, t in zip(found, self.texts, strict=True)])
        return f"{right(found, self.texts):.2%} | {whole:.1%}"

    def row(self, done: Done) -> str:
        """Return the row of one run."""
        head = f"| {TITLES[done.job.tool]} | {KINDS[done.job.setting]} | "
        if done.seconds is None:
            return f"{head}{done.reason} | | | |"
        try:
            wall, cores = done.seconds
            return f"{head}{self(done.job.result)} | {wall:.0f} | {cores:.0f} |"
        except Exception as error:  # whatever ONNX Runtime says of a file that it cannot run
            return f"{head}{last_line(str(error))} | | | |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", default=",".join(TITLES))
    parser.add_argument("--targets", default=",".join(SETTINGS))
    parser.add_argument("--budget", type=lambda s: float(s.removesuffix("s")), default=120.0)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one run")
    parser.add_argument("--seed", type=int, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    main()
