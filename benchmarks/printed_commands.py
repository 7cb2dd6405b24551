"""Whether every command that is printed runs as it stands, in the folder that it was printed in.

    python -m benchmarks.printed_commands

Each situation is a run of lostbits. All commands that its screen, its result.json and its page
print are run in the same folder. None may fail, and no result that was there before may be lost.
"""

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

import numpy as np
import onnx
from PIL import Image
from typer.testing import CliRunner

import lostbits as lb
from lostbits import quoting
from lostbits.cli import again
from lostbits.cli.app import app
from lostbits.command_lines import named
from lostbits.errors import messages
from lostbits.verbs.demo import demo_files

_PRINTED = re.compile(r"lostbits (?:diagnose|recover|export|verify|compare|report|explain) .+$")
_IN_PAGE = re.compile(r"<pre[^>]*>(lostbits .*?)</pre", re.DOTALL)
_FINE = (0, 1)  # done, or a bound that is not met: the command itself ran


@dataclass
class Session:
    """One folder in which commands are run.

    Attributes:
        folder: The working folder.
        failed: Commands that failed, with what they said.
        lost: Results that another command has taken the place of.
    """

    folder: Path
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def run(self, line: str) -> str:
        """What a command prints; the results that were there before must stay."""
        before = self._results()
        ran = CliRunner().invoke(app, quoting.words(line)[1:])
        if ran.exit_code not in _FINE:
            self.failed.append(f"{line}\n    {ran.exit_code}: {ran.output.strip()[-300:]}")
        after = self._results()
        self.lost += [
            f"{line}\n    {name}" for name, held in before.items() if after.get(name) != held
        ]
        return ran.stdout

    def _results(self) -> dict[str, object]:
        kept = ("result.json", "plan.json", "quantized.onnx")
        paths = (p for name in kept for p in self.folder.rglob(name))
        return {str(p.relative_to(self.folder)): _held(p) for p in sorted(paths)}


def _held(path: Path) -> object:
    """What must stay of a file; what is exported of a result is noted in it."""
    if path.name != "result.json":
        return path.read_bytes()
    result = json.loads(path.read_text(encoding="utf-8"))
    return {**result, "exports": [], "verify": []}


Situation = Callable[[Session], Iterator[str]]


def printed(text: str) -> list[str]:
    """Commands on a screen, each once."""
    found = (match[0] for line in text.splitlines() if (match := _PRINTED.search(line)))
    return list(dict.fromkeys(found))


def written(out: Path) -> list[str]:
    """Commands in result.json and report.html."""
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    found = [f["command"] for f in result["findings"]] + result["next_commands"]
    page = out / "report.html"
    if page.exists():
        found += [unescape(each) for each in _IN_PAGE.findall(page.read_text(encoding="utf-8"))]
    return [line for line in dict.fromkeys(found) if line.startswith("lostbits")]


def commands_of(session: Session, line: str, out: str) -> list[str]:
    """All that a run prints, in any form."""
    screen = session.run(line)
    own = {line, quoting.command(quoting.words(line))}
    return [each for each in [*printed(screen), *written(session.folder / out)] if each not in own]


def _diagnosed(options: str = "", model: str = "net.onnx", data: str = "data.npz") -> Situation:
    def situation(session: Session) -> Iterator[str]:
        line = f"lostbits diagnose {model} --data {data} --target snpe --out out {options}".strip()
        yield from commands_of(session, line, "out")

    return situation


def _recovered(session: Session) -> Iterator[str]:
    line = "lostbits recover net.onnx --data data.npz --target snpe --budget 20s --out out"
    yield from commands_of(session, line, "out")


def _tried(session: Session) -> Iterator[str]:
    """A finding's command, and then what that prints."""
    line = "lostbits diagnose net.onnx --data data.npz --target snpe --out out"
    tried = next(c for c in commands_of(session, line, "out") if " --set " in c or "--methods" in c)
    out = quoting.words(tried)[-1]
    yield from commands_of(session, tried, out)


def _from_python(session: Session) -> Iterator[str]:
    case = lb.load("net.onnx", "data.npz", "snpe")
    lb.write(lb.diagnose(case), "out", ["json", "html"])
    yield from written(session.folder / "out")


def _of_arrays(session: Session) -> Iterator[str]:
    """Samples without a path: what is printed are calls, which are run here."""
    with np.load("data.npz") as arrays:
        data = dict(arrays)
    model = onnx.load("net.onnx")
    found = lb.diagnose(lb.load(model, data, "snpe"))
    names = {"lb": lb, "model": model, "data": data}
    for call in [*(f.command for f in found.findings[:2]), *found.next_commands]:
        try:
            exec(call, names)
        except Exception as error:
            session.failed.append(f"{call}\n    {error}")
    yield from ()


def _plan(session: Session) -> Iterator[str]:
    session.run("lostbits export net.onnx --data data.npz --target snpe --to qdq --out theirs")
    plan = next((session.folder / "theirs").rglob("*.onnx"))
    options = f"--plan {plan.relative_to(session.folder)}"
    line = f"lostbits diagnose net.onnx --data data.npz {options} --out out"
    yield from commands_of(session, line, "out")


def _of_folder(session: Session) -> Iterator[str]:
    session.run("lostbits recover net.onnx --data data.npz --target snpe --budget 9s --out made")
    yield from commands_of(session, "lostbits diagnose made --data data.npz --out out", "out")


def _pictures(session: Session) -> Iterator[str]:
    """A folder of images with settings."""
    (session.folder / "photos").mkdir()
    rng, (_, channels, height, width) = np.random.default_rng(0), _shape()
    for number in range(8):
        pixels = rng.integers(0, 256, (height, width, channels), np.uint8).squeeze()
        Image.fromarray(pixels).save(session.folder / f"photos/{number}.png")
    Path("p.toml").write_text("scale = 0.00392\n", encoding="utf-8")
    yield from _diagnosed("--preprocess p.toml", data="photos")(session)


def _shape() -> Sequence[int]:
    with np.load("data.npz") as arrays:
        (held,) = arrays.values()
        return tuple(held.shape)


def _odd_names(session: Session) -> Iterator[str]:
    os.replace("net.onnx", "-my net.onnx")
    line = "lostbits diagnose --data data.npz --target snpe --out 'o u t' -- '-my net.onnx'"
    yield from commands_of(session, line, "o u t")


SITUATIONS: dict[str, Situation] = {
    "plain": _diagnosed(),
    "few samples": _diagnosed("--samples 4"),
    "labels": _diagnosed("--labels labels.npy --metric kl"),
    "calibration apart": _diagnosed("--calibration more.npz"),
    "a wish in effect": _tried,
    "a plan of somebody else": _plan,
    "a goal, quiet, one format": _diagnosed("--goal 'sqnr_db>=1' --format console,json"),
    "one output": _diagnosed("--of all --method permutation"),
    "after a recovery": _recovered,
    "the folder of a recovery": _of_folder,
    "from Python": _from_python,
    "arrays from Python": _of_arrays,
    "pictures": _pictures,
    "odd names": _odd_names,
}


def check(name: str, prepare: Callable[[Path], None], most: int | None = None) -> Session:
    """Run a situation in a folder of its own, and every command that it prints.

    Args:
        name: Of the situation.
        prepare: Puts net.onnx, data.npz, more.npz and labels.npy into a folder.
        most: Commands that are run; None for all.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        session = Session(Path(folder))
        prepare(session.folder)
        lines = distinct(SITUATIONS[name](session))
        session.lost.clear()  # what a situation itself writes anew is its own
        for line in lines[:most]:
            session.run(line)
        return session


def distinct(lines: Iterable[str]) -> list[str]:
    """Each command once: a screen prints with ``--again DIR`` what a result prints in full."""
    found: dict[object, str] = {}
    for line in lines:
        verb, *words = quoting.words(line)[1:]
        pairs = named(again.with_earlier(verb, words))
        found.setdefault((verb, tuple(sorted(pairs))), line)
    return list(found.values())


def told_commands() -> list[str]:
    """Whole commands in errors, which hold no gaps."""
    forms = (f for entry in messages.all_entries().values() for f in entry.forms.values())
    return [line for form in forms for line in printed(form.todo) if "{" not in line]


def demo_network(folder: Path) -> None:
    """The embedded network, with 32 samples of each kind."""
    files = demo_files()
    (folder / "net.onnx").write_bytes(files["model"].read_bytes())
    for kind, name in (("data", "data.npz"), ("calibration", "more.npz")):
        with np.load(files[kind]) as arrays:
            np.savez(folder / name, **{key: value[:32] for key, value in arrays.items()})
    np.save(folder / "labels.npy", np.load(files["labels"])[:32])


def main() -> None:
    """Print what failed and what was lost, by situation."""
    for name in SITUATIONS:
        session = check(name, demo_network)
        state = "ok" if not session.failed and not session.lost else "WRONG"
        print(f"{name}: {state}")
        for line in [*session.failed, *session.lost]:
            print(f"  {line}")


if __name__ == "__main__":
    main()
