"""What a run must and must not have done, whatever it was given."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from benchmarks.fuzzing.hostile import POISON
from benchmarks.fuzzing.playground import FURNITURE, SECRET_WORD, Playground
from benchmarks.fuzzing.server import UNPICKLED, Run
from benchmarks.fuzzing.tree import changes, state

STATUSES = (0, 1, 2)  # done; a goal or a gate was not met; refused
BUG = 70  # the last resort of the command line

_CODED = re.compile(r"^[A-Z]\d{3}: ")
_FRAME = re.compile(r'File "[^"]*?(lostbits/[^"]+\.py)", line (\d+), in (\S+)')
_LAST = re.compile(r"^(?:\w+\.)*(\w+)(?:: .*)?$")
_NOISE = re.compile(
    r"Traceback|Exception ignored|Warning: |\[[EWF]:onnxruntime|Fatal Python error|\[libprotobuf"
)
# Control characters, and those that turn the direction of writing.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PAYLOAD = b"<script>document.title='poisoned'</script>", b"<img src=x onerror=document"
_OURS = ("result.json", "report.html")  # what a command may put in the place of the user's own
_WHOLE = {"diagnose", "inspect", "report", "verify"}  # verbs that write nothing when they refuse


@dataclass(frozen=True)
class Fault:
    """Something that must not be.

    Attributes:
        kind: In a word or two.
        where: What tells one cause from another: the class of an exception and its frame.
        text: What was found.
    """

    kind: str
    where: str
    text: str = ""


def faults(run: Run, ground: Playground, verb: str, misspelt: bool = False) -> list[Fault]:
    """All that is wrong with a run; none for a command that did or refused its work properly.

    Args:
        run: What became of it.
        ground: Where.
        verb: Of the command.
        misspelt: Whether its words may be none that the command line knows, which it answers with
            a box of its own.
    """
    after = state(ground.root)
    looks = (
        _of_end(run),
        _of_streams(run, verb, misspelt),
        _of_files(run, ground, changes(ground.before, after), verb),
        _of_leaks(run, ground),
        _of_results(ground),
    )
    return [fault for look in looks for fault in look]


def _of_end(run: Run) -> Iterator[Fault]:
    errors = run.errors.decode("utf-8", "replace")
    if run.stopped is not None:
        where = _deepest(run.stack) or _deepest(errors) or "seen at its end"
        yield Fault(run.stopped, where, run.stack or errors)
    elif run.status < 0:
        yield Fault("crash", f"signal {-run.status}", errors[-2000:])
    elif run.status == BUG:
        yield Fault("status 70", _bug(errors), errors)
    elif run.status not in STATUSES:
        yield Fault("status", str(run.status), errors[-2000:])
    elif run.status == 1 and "Traceback (most recent call last)" in errors:
        yield Fault("traceback", cause(errors), errors)


def code_of(run: Run) -> str:
    """The code that a command was refused with; empty for one that was not."""
    lines = run.errors.decode("utf-8", "replace").splitlines() if run.status == 2 else []
    return next((line[:4] for line in lines if _CODED.match(line)), "")


def cause(errors: str) -> str:
    r"""The class of the last exception, and our innermost frame below it.

    >>> cause('File "/x/lostbits/a.py", line 7, in f\\nnumpy.AxisError: axis 3')
    'AxisError lostbits/a.py:7 f'
    """
    lines = [line for line in errors.splitlines() if line and not line.startswith(" ")]
    ends = [found[1] for line in lines if (found := _LAST.match(line))]
    return f"{ends[-1] if ends else 'unknown'} {_deepest(errors)}".rstrip()


def _deepest(stack: str) -> str:
    """The innermost of our own frames: the last of a traceback, the first of a dumped stack."""
    dumped = re.findall(r'File "[^"]*?(lostbits/[^"]+\.py)", line (\d+) in (\S+)', stack)
    frames = [dumped[0]] if dumped else _FRAME.findall(stack)[-1:]
    return "".join(f"{file}:{line} {function}" for file, line, function in frames)


def _bug(errors: str) -> str:
    """The cause, from the trace that the message says was saved."""
    for word in re.findall(r"/[^\s'\",:;]+", errors):
        path = Path(word.rstrip("."))
        if path.is_file():
            return cause(path.read_text(encoding="utf-8", errors="replace"))
    return errors.strip().splitlines()[-1][:200] if errors.strip() else "nothing said"


def _of_streams(run: Run, verb: str, misspelt: bool) -> Iterator[Fault]:
    for name, content in (("stdout", run.output), ("stderr", run.errors)):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            yield Fault("no UTF-8", name, str(error))
            continue
        if found := _UNSEEN.search(text):
            yield Fault("control character", f"{name} of {verb}", _around(text, found))
        traced = run.status in (1, BUG) and run.stopped is None and "Traceback" in text
        if not traced and (found := _NOISE.search(text)):
            yield Fault("noise", _gist(text[found.start() :]), text[-3000:])
    if run.status == 2 and run.stopped is None:
        yield from _of_refusal(run.errors.decode("utf-8", "replace"), misspelt)


def _of_refusal(errors: str, misspelt: bool) -> Iterator[Fault]:
    lines = [line for line in errors.splitlines() if line.strip()]
    coded = [line for line in lines if _CODED.match(line)]
    if any(line.startswith("╭") for line in lines):
        if not misspelt:
            yield Fault("usage box", " ".join(lines[-2:])[:80], errors)
    elif not coded:
        yield Fault("no code", lines[-1][:80] if lines else "nothing said", errors)
    elif len(coded) > 1 or lines[-1] is not coded[0]:
        yield Fault("several lines", coded[0][:60], errors)


def _around(text: str, found: re.Match[str]) -> str:
    return repr(text[max(0, found.start() - 80) : found.end() + 80])


def _gist(text: str) -> str:
    """The first line without what differs from run to run."""
    return re.sub(r"0x[0-9a-f]+|\d+|/\S+/", "#", text.splitlines()[0])[:120]


def _of_files(run: Run, ground: Playground, changed: dict[str, str], verb: str) -> Iterator[Fault]:
    for name, how in sorted(changed.items()):
        part, _, rest = name.partition("/")
        if how == "made" and Path(name).name.startswith(POISON):
            yield Fault("something ran", name)
        elif part == "out":
            yield from _of_output(run, rest, how, verb)
        elif part == "tmp":
            if run.status != BUG and run.stopped is None:
                yield Fault("left in TMPDIR", re.sub(r"\w{8}(?=/|$)", "*", rest)[:60], name)
        else:
            yield Fault(f"{how} outside --out", f"{part}/{Path(rest).suffix}", name)


def _of_output(run: Run, name: str, how: str, verb: str) -> Iterator[Fault]:
    mine = f"out/{name}" in FURNITURE
    if (mine and how != "made") or (how == "gone" and name != "cache" and not _own(name)):
        yield Fault(f"user's file {how}", name)
    if name.endswith(".part") and run.stopped is None and how == "made":
        yield Fault("part left", Path(name).name[-20:], name)
    if run.status == 2 and verb in _WHOLE and how != "gone" and name in _OURS:
        yield Fault("half written", name, "refused, but a result was written")


def _own(name: str) -> bool:
    """Whether a file that lay in ``out`` may be one that a run before has made."""
    return name in _OURS or ".lostbits" in name or name.startswith("cache/")


def _of_leaks(run: Run, ground: Playground) -> Iterator[Fault]:
    unpickled = [what for kind, what in run.events if kind == UNPICKLED]
    if unpickled:
        yield Fault(UNPICKLED, "", ", ".join(dict.fromkeys(unpickled)))
    for kind, what in dict.fromkeys(run.events):
        if kind != UNPICKLED:
            yield Fault(kind, re.sub(r"^.*/(?=[^/]*$)", "", what)[:80], what)
    for path in ground.peeked():
        yield Fault("read outside", path)
    for command in run.left:
        yield Fault("process left", command[:80])
    shown = SECRET_WORD.encode()
    places = {"stdout": run.output, "stderr": run.errors}
    places |= {str(p): p.read_bytes() for p in _written(ground, "*")}
    for place, content in places.items():
        if shown in content or b"root:x:0:0" in content:
            yield Fault("secret shown", Path(place).name)


def _written(ground: Playground, pattern: str) -> list[Path]:
    """Files in ``out`` that are not as they were."""
    paths = [p for p in (ground.root / "out").rglob(pattern) if p.is_file() and not p.is_symlink()]
    old = ground.before
    return [p for p in paths if _changed(p, old.get(str(p.relative_to(ground.root))))]


def _changed(path: Path, before: tuple[int, ...] | None) -> bool:
    facts = path.lstat()
    return before is None or before[1:] != (facts.st_size, facts.st_mtime_ns, facts.st_ino)


def _of_results(ground: Playground) -> Iterator[Fault]:
    for path in _written(ground, "*.json"):
        yield from _of_json(path)
    for path in _written(ground, "report.html"):
        content = path.read_bytes()
        for payload in _PAYLOAD:
            if payload in content:
                yield Fault("script in page", payload.decode())


def _of_json(path: Path) -> Iterator[Fault]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except ValueError as error:
        yield Fault("no strict JSON", f"{path.name}: {error}"[:100])
        return
    misfits = _validator().iter_errors(found) if path.name == "result.json" else iter(())
    for misfit in islice(misfits, 1):
        where = re.sub(r"\d+", "#", misfit.json_path)
        yield Fault("result not of its schema", where[:100], misfit.message[:500])


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


@cache
def _validator() -> Draft202012Validator:
    package = Path(str(import_module("lostbits").__file__)).parent
    return Draft202012Validator(json.loads((package / "result.schema.json").read_text()))
