"""A comparison, told: as lines for the terminal, as JSON, as a page."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lostbits.language import Language, Message, catalogue, say
from lostbits.quoting import visible
from lostbits.reporter import finite, strict_json
from lostbits.reporters.schema import plain
from lostbits.results.comparison import Comparison, OutputChange
from lostbits.results.sites import Standing
from lostbits.runtime.metrics import Baseline
from lostbits.system.text_lines import aligned, wrapped

SHOWN = 12  # rows of each table in the terminal
_NAME = 34  # letters of a tensor's name that fit beside four figures
Row = Sequence[str]


def lines(found: Comparison, language: Language = Language.ENGLISH) -> list[tuple[str, str]]:
    """Lines of at most 80 columns, each with its style; names that are too long lose the middle."""
    told = [*_headline(found, language), *_figures(found, language)]
    if found.output is not None:
        told += [("", ""), *_output(found.output, language)]
    told += [("", ""), *_parameters(found, language)]
    told += [(line, "yellow") for note in found.unsaid for line in wrapped(note.told(language))]
    for check in found.checks:
        style = "green" if check.met else "bold red"
        told += [(line, style) for line in wrapped(check.text.told(language))]
    return told


def _headline(found: Comparison, language: Language) -> Iterable[tuple[str, str]]:
    text = found.text if found.output is None else found.output.text
    return [(line, "bold") for line in wrapped(text.told(language))]


def _heads(codes: Sequence[str], language: Language) -> list[str]:
    return [catalogue(language)[f"comparison.{code}"] for code in codes]


def _more(count: int, language: Language) -> str:
    return say("comparison.more", count=str(count)).told(language)


def _figures(found: Comparison, language: Language) -> list[tuple[str, str]]:
    rows = figures(found, language)
    table = [_heads(("figure", "old_side", "new_side", "change"), language), *rows]
    return [("", ""), *((line, "") for line in aligned(table))] if rows else []


def figures(
    found: Comparison, language: Language = Language.ENGLISH
) -> list[tuple[str, str, str, str]]:
    """Rows of name, old, new, and change; figures that neither side has are left out."""
    if found.old is None and found.new is None:
        return []
    kinds: list[tuple[str, str, Callable[[Baseline], float | None]]] = [
        ("sqnr", "{:.2f}", lambda b: b.sqnr_db),
        ("agreement", "{:.1%}", lambda b: b.agreement),
        ("accuracy", "{:.1%}", lambda b: b.accuracy_quantized),
        ("kl", "{:.3g}", lambda b: b.kl),
        ("worst", "{:.2f}", lambda b: None if b.worst is None else b.worst.sqnr_db),
    ]
    sides = [None if side is None else side.figures for side in (found.old, found.new)]
    rows = []
    for code, form, figure in kinds:
        old, new = (None if side is None else figure(side) for side in sides)
        if old is not None or new is not None:
            moved = None if old is None or new is None else new - old
            signed, (name,) = form.replace("{:", "{:+"), _heads([code], language)
            rows.append((name, _put(old, form), _put(new, form), _put(moved, signed)))
    return rows


def _put(value: float | None, form: str) -> str:
    return "-" if value is None or not math.isfinite(value) else form.format(value)


def _output(change: OutputChange, language: Language) -> Iterable[tuple[str, str]]:
    """Who made the change, and what is left over."""
    heads = _heads(("tensor", "role", "part", "part_of_old", "sqnr"), language)
    rows = [(_short(row[0]), *row[1:5]) for row in tensors(change, language)]
    if not rows:
        return
    for line in aligned([heads, *rows[:SHOWN]]):
        yield line, ""
    if rows[SHOWN:]:
        yield _more(len(rows) - SHOWN, language), ""
    sums = {"sum": f"{1 + change.residual:.2%}", "residual": f"{change.residual:+.2%}"}
    way = say(f"comparison.by_{change.way}")
    for line in wrapped(say("comparison.shares", way=way, **sums).told(language)):
        yield line, "dim"


def tensors(
    change: OutputChange, language: Language = Language.ENGLISH
) -> list[tuple[str, str, str, str, str, Message]]:
    """Rows of tensor, role, share of the change, share of the old error, SQNR, what became of it.

    Where too much is missing there are no shares of the change.
    """
    base = change.before or change.after
    return [
        (
            t.tensor,
            catalogue(language)[f"role.{t.role}"],
            f"{t.share:.1%}" if change.closed else "-",
            f"{t.value / base:+.1%}" if base else "-",
            f"{_own(t.before, language)} -> {_own(t.after, language)}",
            t.what,
        )
        for t in change.tensors
    ]


def _own(standing: Standing | None, language: Language) -> str:
    if standing is None:
        return catalogue(language)["comparison.float"]
    if standing.sqnr_db is None:
        return catalogue(language)["comparison.exact"]
    return f"{standing.sqnr_db:.1f}"


def _parameters(found: Comparison, language: Language) -> Iterable[tuple[str, str]]:
    """Tensors whose parameters differ."""
    if found.output is not None:
        yield from ((line, "bold") for line in wrapped(found.text.told(language)))
    heads = _heads(("tensor", "codes", "grid", "range_old", "range_new"), language)
    rows = [heads, *parameters(found)]
    for line in aligned([(_short(r[0], 22), *r[1:]) for r in rows[: SHOWN + 1]]):
        if found.changed:
            yield line, ""
    if found.changed[SHOWN:]:
        yield _more(len(found.changed) - SHOWN, language), ""
    for code, names in (("old", found.only_old), ("new", found.only_new)):
        if names:
            more = say("comparison.and_more", count=str(len(names) - SHOWN))
            told = {"names": ", ".join(names[:SHOWN]), "more": more if names[SHOWN:] else ""}
            text = say(f"comparison.names_{code}", **told).told(language)
            yield from ((line, "yellow") for line in wrapped(text))


def parameters(found: Comparison) -> list[tuple[str, str, str, str, str]]:
    """Rows of tensor, codes, grid, and the ranges before and after."""
    return [
        (
            c.tensor,
            f"{c.codes:.3g}",
            c.grids[0] if len(set(c.grids)) == 1 else ">".join(c.grids),
            *(f"{lo:.4g}..{hi:.4g}" for lo, hi in zip(c.lo, c.hi, strict=True)),  # type: ignore[misc]
        )
        for c in found.changed
    ]


def _short(name: str, most: int = _NAME) -> str:
    """A name without its middle, where it is too long; JSON and page have it whole."""
    name = visible(name)
    half = (most - 3) // 2
    return name if len(name) <= most else f"{name[:half]}...{name[-half:]}"


def json_text(found: Comparison) -> str:
    """The whole comparison; numbers that are not finite are null, as in result.json."""
    content: dict[str, Any] = plain(found)
    ordered = {"format": content.pop("format"), **content}
    return strict_json(finite(ordered)[0])


def page(found: Comparison, language: Language = Language.ENGLISH) -> str:
    """One file for people, which loads nothing and runs no script."""
    loader = PackageLoader("lostbits", "reporters/html")
    env = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    words = catalogue(language)
    return env.get_template("comparison.html").render(
        found=found,
        figures=figures(found, language),
        tensors=[] if found.output is None else tensors(found.output, language),
        parameters=parameters(found),
        told=lambda message: visible(message.told(language)),
        t=lambda code: words[code],
        language=language,
        style=Markup(loader.get_source(env, "style.css")[0]),
    )
