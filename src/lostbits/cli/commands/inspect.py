"""``lostbits inspect``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lostbits.cli import spoken
from lostbits.cli.commands.language_option import Lang
from lostbits.cli.commands.options import ArithmeticName
from lostbits.cli.terminal import announcer, by_reason, guarded, say, told, word
from lostbits.language import Language
from lostbits.language import say as words
from lostbits.reader import Entry
from lostbits.reporter import finite
from lostbits.system.streams import pour
from lostbits.system.text_lines import aligned
from lostbits.verbs.inspect import Inspection, summary, without_vnni
from lostbits.verbs.inspect import inspect as inspected
from lostbits.verbs.output import replace_file

_COLUMNS = ("column.tensor", "column.grid", "fact.scale", "fact.zero_point", "words.range")


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
    lang: Lang = Language.ENGLISH,
) -> None:
    """Read somebody else's parameters and say what they mean, and what is doubtful.

    Example: **lostbits inspect model_int8.onnx --model model.onnx**
    """
    with guarded():
        found = inspected(file, model, target, arithmetic)
        plain, places = finite(found.as_json())
        if places:
            announcer("yellow")(word("inspected.not_finite", places=", ".join(places)))
        content = (json.dumps(plain, indent=1, allow_nan=False) + "\n").encode()
        if as_json == "-":
            pour(content)
            return
        if as_json is not None:
            replace_file(Path(as_json), content)
        _show(found)
        if arithmetic is None and found.sums:
            say(without_vnni(found.sums))


def _show(found: Inspection) -> None:
    content, language = found.parameters, spoken.language.get()
    about = {
        "path": str(found.path),
        "title": told(found.title),
        "count": str(len(content.entries)),
    }
    say(words("inspected.head", **about), "bold")
    if content.method is not None:
        say(words("inspected.method", method=content.method))
    for line in aligned([_header(found), *(_row(found, e) for e in content.entries)]):
        say(line)
    for tensor in content.floats:
        say(words("inspected.float", tensor=tensor))
    for code, remarks in (("problem", content.problems), ("suspicion", found.suspicions)):
        for remark in remarks:
            say(words(f"inspected.{code}", text=remark.told(language)), "yellow")
    if found.match is not None:
        _show_match(found)


def _header(found: Inspection) -> tuple[str, ...]:
    columns = tuple(map(word, _COLUMNS))
    return (*columns, word("inspected.site")) if found.match is not None else columns


def _row(found: Inspection, entry: Entry) -> tuple[str, ...]:
    cells = (entry.tensor, *summary(entry.affine))
    if found.match is None:
        return cells
    sites = [key.removeprefix(f"{entry.tensor}:") for key in found.sites(entry)]
    return (*cells, ", ".join(sites) or word("inspected.no_site"))


def _show_match(found: Inspection) -> None:
    match = found.match
    assert match is not None
    taken, total = len(set(match.origin.values())), len(found.parameters.entries)
    counts = {"taken": str(taken), "total": str(total), "target": found.target or ""}
    say(words("inspected.match", **counts), "bold")
    for tensor, reason in match.unmatched.items():
        say(words("inspected.unmatched", tensor=tensor, why=reason), "yellow")
    for line in by_reason(match.missing):
        say(words("inspected.missing", line=line), "yellow")
