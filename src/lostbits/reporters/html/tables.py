"""The rows of the page's tables, laid out and sorted."""

from collections.abc import Mapping
from typing import Any, NamedTuple, final

from lostbits.reporter import Result
from lostbits.reporters.html import formats
from lostbits.reporters.html.plots import STEPS

_HEAT = 3.0  # bits lost at which a cell has its full colour
_NO_CAUSE = {"round": 0.0, "clip": 0.0}


@final
class Cell(NamedTuple):
    """Text, what it sorts by, and how much of the cell is coloured (0 to 1).

    Attributes:
        word: Code of the text, where it is a word.
    """

    text: str
    value: float | str
    kind: str = "figure"
    fill: float = 0.0
    long: bool = False
    word: str = ""


# Codes of the headings; what they mean stands under the same names in the ``_hint`` section.
COLUMNS: tuple[str, ...] = (
    *(f"column.{name}" for name in ("tensor", "role", "node", "grid", "share", "sqnr")),
    "column.bits_left",
    *(f"step.{name}" for name in STEPS),
    *(f"column.{name}" for name in ("range", "mse", "round", "clip", "dead_zone", "codes")),
    "column.reached",
    "column.stability",
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
        Cell(site["role"], site["role"], "name", word=f"role.{site['role']}"),
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
    losses = [lost[step] for step in STEPS]
    return [Cell(formats.bits(v), v, "figure heat", formats.fill(v / _HEAT)) for v in losses]


def _codes(used: Mapping[str, float]) -> Cell:
    if "codes_used" not in used:
        return Cell(formats.NONE, "")
    text = f"{formats.count(used['codes_used'])} / {formats.count(used['codes_total'])}"
    return Cell(text, used["codes_used"] / used["codes_total"])
