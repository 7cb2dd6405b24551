"""The demonstration: the embedded network on real digits, diagnosed and recovered."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from lostbits.language import Message, say
from lostbits.results.diagnosis import Diagnosis, Recovery
from lostbits.verbs.diagnose import diagnose
from lostbits.verbs.load import load
from lostbits.verbs.recover import recover
from lostbits.workers.progress import Progress, silent

_ITERATIONS = 200


def demo(target: str, out: Path, command: str, progress: Progress = silent) -> Recovery:
    """Diagnose the embedded network on its held-out digits, and recover it."""
    paths = demo_files()
    data, calibration, labels = paths["data"], paths["calibration"], paths["labels"]
    case = load(paths["model"], data, target, calibration=calibration, progress=progress)
    found = diagnose(case, labels=labels, command=command, progress=progress)
    better = recover(
        case, labels=labels, out=out, iterations=_ITERATIONS, command=command, progress=progress
    )
    won, notes = better.report, [*found.notes, demo_note(found)]
    report = replace(
        found,
        ledger=won.ledger,
        recovered=won.recovered,
        judgement_after=won.judgement_after,
        next_commands=won.next_commands,
        notes=notes,
    )
    return replace(better, report=report)


def demo_note(found: Diagnosis) -> Message:
    """Whether the demo network's channels were rescaled to make it fragile."""
    if found.model.metadata.get("lostbits.demo.rescaled") == "true":
        return say("note.rescaled")
    return say("note.not_rescaled")


def demo_files() -> dict[str, Path]:
    """Paths of the embedded model and its data."""
    folder = Path(str(files("lostbits") / "demo"))
    return {
        "model": folder / "digits.onnx",
        "calibration": folder / "calibration.npz",
        "data": folder / "heldout.npz",
        "labels": folder / "labels.npy",
    }
