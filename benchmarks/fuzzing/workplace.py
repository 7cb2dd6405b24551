"""Processes that try, side by side, and what they report."""

import json
import os
import shutil
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmarks.fuzzing.bounds import Bounds
from benchmarks.fuzzing.corpus import BRIEF, DATA, MODEL, Corpus, files_of
from benchmarks.fuzzing.networks import ALL as NETWORKS
from benchmarks.fuzzing.oracle import Fault, code_of, faults
from benchmarks.fuzzing.playground import Playground
from benchmarks.fuzzing.server import CLI, Run, run, warm
from benchmarks.fuzzing.tree import Tree, lay_out, taken
from benchmarks.fuzzing.tries import Try, made

# One thread each, asked for before anything is imported: a server must not have another.
_SURROUNDINGS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONUTF8": "1",
    "NO_COLOR": "1",
}
_SHORT = ("--budget", "3s", "--threads", "1")
_SPAWN = get_context("spawn")
# A class, the seed of a try or the try itself, and the program that is tried.
Request = tuple[str, str | Try, str]


@dataclass(frozen=True)
class Report:
    """What came of a try.

    Attributes:
        kind: Its class.
        seed: That it was made by.
        what: What was edited.
        argv: The command.
        status: Exit status, or minus a signal.
        code: Of the message that it was refused with; empty otherwise.
        seconds: On the wall.
        faults: What must not have been; none if all is well.
    """

    kind: str
    seed: str
    what: str
    argv: tuple[str, ...]
    status: int
    code: str
    seconds: float
    faults: tuple[Fault, ...]


def judged(one: Try, root: Path, bounds: Bounds, program: str = CLI) -> tuple[Run, list[Fault]]:
    """Run a try in a playground at ``root``, and say what was wrong."""
    ground = Playground.of(one.tree, root)
    ended = run(one.argv, root, bounds, program)
    verb = one.argv[0] if one.argv else ""
    return ended, faults(ended, ground, verb, one.misspelt)


@contextmanager
def _surroundings() -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= _SURROUNDINGS
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def _commands(root: Path) -> list[tuple[str, ...]]:
    """What loads the compiled loops and whatever else is loaded when it is first needed."""
    words = (str(root / "work" / MODEL), "--data", str(root / "work" / DATA))
    return [
        ("diagnose", *words, *BRIEF, "--out", str(root / "diagnosis"), "--quiet"),
        ("recover", *words, *_SHORT, "--out", str(root / "recovery"), "--quiet"),
    ]


def serve(
    connection: Connection, root: Path, saved: Path | None, bounds: Bounds, warmed: bool
) -> None:
    """Answer one request after the other, until there is none."""
    ground = Playground.of(files_of(NETWORKS["convolutions"]()), root / "ground").root
    warm(_commands(ground) if warmed else ())
    connection.send(None)  # ready
    corpus = Corpus(root)
    while (request := connection.recv()) is not None:
        connection.send(_answer(request, corpus, ground, saved, bounds))


def _answer(
    request: Request, corpus: Corpus, ground: Path, saved: Path | None, bounds: Bounds
) -> Report:
    kind, given, program = request
    name = given if isinstance(given, str) else "given"
    try:
        one = made(corpus, kind, given) if isinstance(given, str) else given
        ended, found = judged(one, ground, bounds, program)
    except Exception:  # of the fuzzer itself: to be seen in the table, not to end a long run
        text = traceback.format_exc()
        fault = Fault("the fuzzer broke", text.splitlines()[-1], text)
        return Report(kind, name, "", ("",), 0, "", 0.0, (fault,))
    code, seconds = code_of(ended), ended.usage.wall
    report = Report(kind, name, one.what, one.argv, ended.status, code, seconds, tuple(found))
    if found and saved is not None:
        save(report, one.tree, ended, saved / f"{kind}-{name.replace(' ', '-')}")
    return report


def save(report: Report, tree: Tree, ended: Run, folder: Path) -> None:
    """Keep what broke: the files as they were, the command, and what it said."""
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(tree, folder / "files")
    (folder / "stdout").write_bytes(ended.output)
    (folder / "stderr").write_bytes(ended.errors)
    (folder / "try.json").write_text(json.dumps(asdict(report), indent=1) + "\n")


def saved_try(folder: Path) -> Try:
    """A try that was saved."""
    facts = json.loads((folder / "try.json").read_text())
    words, tree = tuple(facts["argv"]), taken(folder / "files")
    return Try(facts["what"], words, tree, misspelt=facts["kind"] == "options")


class Workplace:
    """Servers that share the tries; to be closed.

    Args:
        root: A folder for playgrounds.
        jobs: How many servers.
        saved: Where what broke is kept; None keeps nothing.
        bounds: Of each run.
        warmed: Whether servers run some commands first, which takes seconds and saves a second of
            each try.
    """

    def __init__(
        self,
        root: Path,
        jobs: int,
        saved: Path | None = None,
        bounds: Bounds | None = None,
        warmed: bool = True,
    ) -> None:
        self._ends: list[Connection] = []
        self._processes = []
        with _surroundings():
            for number in range(jobs):
                mine, theirs = _SPAWN.Pipe()
                given = (theirs, root / str(number), saved, bounds or Bounds(), warmed)
                process = _SPAWN.Process(target=serve, args=given)
                process.start()
                theirs.close()
                self._ends.append(mine)
                self._processes.append(process)
        for end in self._ends:
            end.recv()

    def reports(self, requests: Iterable[Request]) -> Iterator[Report]:
        """What comes of each request (class, seed or a try, program), as they are done."""
        rest = iter(requests)
        busy = [end for end in self._ends if self._given(end, rest)]
        while busy:
            for end in wait(busy):
                assert isinstance(end, Connection)
                yield end.recv()
                if not self._given(end, rest):
                    busy.remove(end)

    def _given(self, end: Connection, rest: Iterator[Request]) -> bool:
        request = next(rest, None)
        if request is not None:
            end.send(request)
        return request is not None

    def close(self) -> None:
        """Let the servers end."""
        for end in self._ends:
            end.send(None)
        for process in self._processes:
            process.join()
