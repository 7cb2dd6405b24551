"""The rows of the page's tables, laid out and sorted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, final

from lostbits.reporter import Result
from lostbits.reporters.html import formats
from lostbits.reporters.html.plots import STEPS

_FIRST = 5
_HEAT = 3.0  # bits lost at which a cell has its full colour
_NO_CAUSE = {"round": 0.0, "clip": 0.0}


@final
class Column(NamedTuple):
    """Head of a column, and what it means in a few words."""

    label: str
    hint: str


@final
class Cell(NamedTuple):
    """Text, what it sorts by, and how much of the cell is coloured (0 to 1)."""

    text: str
    value: float | str
    kind: str = "figure"
    fill: float = 0.0
    long: bool = False


COLUMNS: tuple[Column, ...] = (
    Column("tensor", "name in the model"),
    Column("role", "what the tensor is to its layer"),
    Column("node", "the layer that makes an activation, or reads a constant"),
    Column("grid", "integer codes that hold it"),
    Column("share", "part of the output error that this tensor carries"),
    Column(
        "SQNR dB", "signal over quantization noise of the tensor itself; 6 dB are about one bit"
    ),
    Column("bits left", "effective bits: those of the grid minus all that is lost"),
    *(Column(step.label, step.hint) for step in STEPS),
    Column("range in use", "values outside are clipped"),
    Column("MSE", "mean squared error, in the tensor's own unit squared"),
    Column("round", "part of the MSE from rounding values inside the range"),
    Column("clip", "part of the MSE from cutting off values outside the range"),
    Column("dead zone", "part of the rounding MSE from small values that became zero"),
    Column("codes used", "integer codes that occur at all"),
    Column("range reached", "part of the range that data reach"),
    Column("stability", "smaller over larger error of the two halves of the samples; 1 is stable"),
)


def rows(result: Result) -> list[dict[str, Any]]:
    """The sites, those that cost most first, each with its share by cause and its cells."""
    causes: dict[tuple[str, str], dict[str, float]] = {}
    for a in result["network"]["attributions"]:
        causes.setdefault((a["tensor"], a["role"]), dict(_NO_CAUSE))[a["cause"]] += a["share"]
    found = [
        {"site": s, "causes": causes.get((s["tensor"], s["role"]), _NO_CAUSE)}
        for s in result["sites"]
    ]
    found.sort(key=lambda row: -sum(row["causes"].values()))
    return [{**row, "index": i, "cells": _cells(**row)} for i, row in enumerate(found)]


def _cells(site: Mapping[str, Any], causes: Mapping[str, float]) -> list[Cell]:
    share = sum(causes.values())
    return [
        Cell(site["role"], site["role"], "name"),
        Cell(site["node"] or formats.NONE, site["node"], "name long", long=True),
        Cell(site["grid"], site["bits"], "name"),
        Cell(formats.percent(share), share, "figure bar", formats.fill(share)),
        _figure(site["sqnr_db"], formats.decibel),
        Cell(f"{site['effective_bits']:.1f}", site["effective_bits"]),
        *_lost(site["lost_bits"]),
        Cell(formats.span(site["lo"], site["hi"]), site["hi"] - site["lo"]),
        *(
            _figure(site[k], formats.brief)
            for k in ("mse", "mse_round", "mse_clip", "mse_dead_zone")
        ),
        _codes(site["utilisation"]),
        _figure(site["utilisation"].get("range_share"), formats.percent),
        _figure((site["stability"] or {}).get("ratio"), formats.brief),
    ]


def _figure(value: float | None, text: Any) -> Cell:
    return Cell(text(value), "" if value is None else value)


def _lost(lost: Mapping[str, float] | None) -> list[Cell]:
    if lost is None:
        return [Cell(formats.NONE, "")] * len(STEPS)
    losses = [lost[step.name] for step in STEPS]
    return [Cell(formats.bits(v), v, "figure heat", formats.fill(v / _HEAT)) for v in losses]


def _codes(used: Mapping[str, float]) -> Cell:
    if "codes_used" not in used:
        return Cell(formats.NONE, "")
    text = f"{formats.count(used['codes_used'])} of {formats.count(used['codes_total'])}"
    return Cell(text, used["codes_used"] / used["codes_total"])


def by_reason(left: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """Tensors left in float, under the reason why."""
    table: dict[str, list[str]] = {}
    for entry in left:
        table.setdefault(entry["reason"], []).append(entry["tensor"])
    return table


def reached(result: Result, ranked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums that the text of the page names."""
    shares = [sum(row["causes"].values()) for row in ranked]
    causes = {c: sum(row["causes"][c] for row in ranked) for c in _NO_CAUSE}
    keys = {(row["site"]["tensor"], row["site"]["role"]): row["index"] for row in ranked}
    return {
        "attributed": 1 + result["network"]["residual"],
        "matched": result["coverage"]["sites_matched"] / max(result["coverage"]["sites_total"], 1),
        "first": min(_FIRST, len(shares)),
        "first_share": sum(shares[:_FIRST]),
        "causes": causes,
        "finding_sites": [keys.get((f["tensor"], f["role"])) for f in result["findings"]],
        "seconds": sum(result["seconds"].values()),
    }
