"""``lostbits inspect``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli.commands.options import ArithmeticName
from lostbits.cli.terminal import announcer, by_reason, guarded, say
from lostbits.reader import Entry
from lostbits.reporter import finite
from lostbits.system.streams import pour
from lostbits.system.text_lines import aligned
from lostbits.verbs.inspect import Inspection, summary, without_vnni
from lostbits.verbs.inspect import inspect as inspected
from lostbits.verbs.output import replace_file

_COLUMNS = ("tensor", "grid", "scale", "zero point", "range")


def inspect(
    file: Annotated[
        Path,
        typer.Argument(help="Quantized ONNX model, TensorRT cache, encodings, ranges or plan."),
    ],
    model: Annotated[
        Path | None, typer.Option(help="Float model to look for the names in.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Target whose rules apply. Default: the one that fits best.")
    ] = None,
    arithmetic: ArithmeticName = None,
    as_json: Annotated[
        str | None, typer.Option("--json", help="Write it as JSON to a file, or - to print it.")
    ] = None,
) -> None:
    """Read somebody else's parameters and say what they mean, and what is doubtful.

    Example: **lostbits inspect model_int8.onnx --model model.onnx**
    """
    with guarded():
        found = inspected(file, model, target, arithmetic)
        plain, places = finite(found.as_json())
        if places:
            announcer("yellow")(f"not finite, and null in JSON: {', '.join(places)}")
        content = (json.dumps(plain, indent=1, allow_nan=False) + "\n").encode()
        if as_json == "-":
            pour(content)
            return
        if as_json is not None:
            replace_file(Path(as_json), content)
        _show(found)
        if arithmetic is None and found.sums:
            say(str(without_vnni(found.sums)))


def _show(found: Inspection) -> None:
    content = found.parameters
    say(f"{found.path}: {found.title}; {len(content.entries)} tensors", "bold")
    if content.method is not None:
        say(f"calibrated by {content.method}, as the file says")
    for line in aligned([_header(found), *(_row(found, e) for e in content.entries)]):
        say(line)
    for tensor in content.floats:
        say(f"kept in float: {tensor}")
    for kind, remarks in (("problem", content.problems), ("suspicion", found.suspicions)):
        for remark in remarks:
            say(f"{kind} {remark}", "yellow")
    if found.match is not None:
        _show_match(found)


def _header(found: Inspection) -> tuple[str, ...]:
    return (*_COLUMNS, "site") if found.match is not None else _COLUMNS


def _row(found: Inspection, entry: Entry) -> tuple[str, ...]:
    cells = (entry.tensor, *summary(entry.affine))
    if found.match is None:
        return cells
    sites = [key.removeprefix(f"{entry.tensor}:") for key in found.sites(entry)]
    return (*cells, ", ".join(sites) or "none")


def _show_match(found: Inspection) -> None:
    match = found.match
    assert match is not None
    taken, total = len(set(match.origin.values())), len(found.parameters.entries)
    say(f"{taken} of {total} tensors belong to sites of target {found.target}", "bold")
    for tensor, reason in match.unmatched.items():
        say(f"unmatched {tensor}: {reason}", "yellow")
    for line in by_reason(match.missing):
        say(f"missing, {line}", "yellow")
