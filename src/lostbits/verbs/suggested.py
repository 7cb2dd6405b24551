"""Commands that a result suggests: each runs as it stands, and its results go to a fresh folder."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NamedTuple, final

from lostbits.case import Case
from lostbits.command_lines import (
    LEAST_TO_RECOVER,
    CommandLine,
    as_diagnosis,
    as_recovery,
)
from lostbits.exporter import violations
from lostbits.exporters import exporter
from lostbits.quoting import operand
from lostbits.results.diagnosis import Diagnosis, Finding
from lostbits.verbs.export import chosen_exporters
from lostbits.verbs.origin import Provenance
from lostbits.verbs.result_files import TRIED

_OUT = "lostbits-out"  # where a diagnosis goes by itself
_RECOVERED, _EXPORTED = "recovered", "exported"
_ENCODINGS = {"snpe": "encodings-1.0.0", "qnn-htp": "encodings-1.0.0", "cnrt": "cambricon"}
_USUAL_BACKEND = "onnxruntime"
_OF_VERIFY = frozenset({"--data", "--samples", "--labels", "--preprocess"})


@final
class Told(NamedTuple):
    """What a command says that a result came from.

    Attributes:
        line: As a diagnosis: samples and settings, no place for results.
        out: Where results went.
        target: Name or file of the target, as it was given or found.
    """

    line: CommandLine
    out: str
    target: str


def with_commands(found: Diagnosis, origin: Provenance) -> Diagnosis:
    """The diagnosis, whose findings and next steps have commands that run.

    Args:
        found: As it was assembled; its findings' commands say what to try.
        origin: What it was made of.
    """
    told = _told(found.command, origin)
    folders = _fresh_folders(told, len(found.findings))
    findings = [
        replace(each, command=_tried(each, origin, told, folder))
        for each, folder in zip(found.findings, folders, strict=True)
    ]
    found = replace(found, findings=findings)
    return replace(found, next_commands=list(_next(found, origin, told)))


def after_recovery(case: Case, command: str, out: Path) -> list[str]:
    """What to run when a recovery has written its folder: exports, and a run on a runtime."""
    line = CommandLine.parse(command)
    folder = operand(str(out))
    formats = ",".join(_formats(case))
    exports = ("export", (folder,), (("--to", formats), ("--out", fresh(f"{out}-{_EXPORTED}"))))
    lines = [CommandLine(*exports)] if formats else []
    if line is not None and line.value("--data"):
        judges = as_diagnosis(line)
        given = tuple(option for option in judges.options if option[0] in _OF_VERIFY)
        lines.append(CommandLine("verify", (folder,), (("--backend", _USUAL_BACKEND), *given)))
    return [str(each) for each in lines]


def fresh(path: str) -> str:
    """The path, or it with the first number behind it that nothing has yet."""
    names = (path if number == 1 else f"{path}-{number}" for number in count(1))
    return next(name for name in names if not _exists(name))


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long, or without access: whatever uses it says so
        return False


def _told(command: str, origin: Provenance) -> Told:
    line = CommandLine.parse(command) or CommandLine("diagnose", (), ())
    target = line.value("--target") or origin.target.name
    plain = as_diagnosis(line)
    if not plain.value("--target"):
        plain = plain.extended(("--target", target))
    return Told(_of_model(plain, origin), line.value("--out") or _OUT, target)


def _of_model(line: CommandLine, origin: Provenance) -> CommandLine:
    """A folder takes no wish beside its own plan: its model and its plan are named instead."""
    if origin.folder is None:
        return line
    folder = origin.folder
    model, plan = (operand(str(folder / name)) for name in ("float.onnx", "plan.json"))
    return replace(line, arguments=(model,)).extended(("--plan", plan))


def _fresh_folders(told: Told, number: int) -> list[str]:
    """One for each command, so that none of them takes the place of another's result."""
    names = (f"{told.out}/{TRIED}-{n}" for n in count(1))
    free = (name for name in names if not _exists(name))
    return [next(free) for _ in range(number)]


def _tried(finding: Finding, origin: Provenance, told: Told, folder: str) -> str:
    line = CommandLine.parse(finding.command)
    if not told.line.value("--data"):
        return _in_python(line, origin)
    wishes = _wishes(line)
    methods = None if line is None else line.value("--methods")
    if methods is not None and _judges(origin) >= LEAST_TO_RECOVER:
        whole = as_recovery(told.line).extended(("--methods", methods))
        return str(whole.extended(("--out", folder)))
    plain = (
        told.line if line is None or line.value("--plan") else told.line.without(_dropped(origin))
    )
    if line is not None and line.value("--calibration") is None:
        plain = plain.without({"--calibration"})
    return str(plain.wishing(wishes).extended(("--out", folder)))


def _dropped(origin: Provenance) -> frozenset[str]:
    """A plan that the finding's command leaves out is what it finds fault with."""
    return frozenset() if origin.folder is not None else frozenset({"--plan"})


def _wishes(line: CommandLine | None) -> list[str]:
    return [value for name, value in line.options if name == "--set"] if line else []


def _in_python(line: CommandLine | None, origin: Provenance) -> str:
    """Where samples have no path, a call in place of a command, of ``model`` and ``data``."""
    given = f"model, data, {origin.target.name!r}"
    if origin.arithmetic:
        given += f", arithmetic={origin.arithmetic!r}"
    methods, plan = (line and line.value(name) for name in ("--methods", "--plan"))
    if methods is not None:
        return f"lb.recover(lb.load({given}), methods={methods.split(',')!r})"
    if plan:
        given += f", plan={plan!r}"
    return f"lb.diagnose(lb.load({given}, overrides={_wishes(line)!r}))"


def _judges(origin: Provenance) -> int:
    return 0 if origin.data is None else origin.data.whole


def _next(found: Diagnosis, origin: Provenance, told: Told) -> Iterator[str]:
    if not told.line.value("--data"):
        if found.treatable:
            yield f"better = lb.recover(lb.load(model, data, {origin.target.name!r}))"
    elif found.treatable and _judges(origin) >= LEAST_TO_RECOVER:
        yield str(as_recovery(told.line).extended(("--out", fresh(_RECOVERED))))


def _formats(case: Case) -> list[str]:
    """Formats of the target that hold its plan."""
    names = ["qdq", *filter(None, [_ENCODINGS.get(case.target.name)])]
    return [name for name in names if _holds(name, case)]


def _holds(name: str, case: Case) -> bool:
    (member,) = chosen_exporters([name], case.target)
    return bool(member.sites(case)) and not violations(case, exporter(member))
