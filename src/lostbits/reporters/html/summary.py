"""The sums that the text of the page names."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lostbits.reporter import Result

_FIRST = 5


def by_reason(left: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """Tensors left in float, under the reason why."""
    table: dict[str, list[str]] = {}
    for entry in left:
        table.setdefault(entry["reason"], []).append(entry["tensor"])
    return table


def reached(result: Result, ranked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums that the text of the page names."""
    shares = [sum(row["causes"].values()) for row in ranked]
    keys = {(row["site"]["tensor"], row["site"]["role"]): row["index"] for row in ranked}
    return {
        "attributed": 1 + result["network"]["residual"],
        "matched": result["coverage"]["sites_matched"] / max(result["coverage"]["sites_total"], 1),
        "first": min(_FIRST, len(shares)),
        "first_share": sum(shares[:_FIRST]),
        "causes": {c: sum(row["causes"][c] for row in ranked) for c in ("round", "clip")},
        "finding_sites": [keys.get((f["tensor"], f["role"])) for f in result["findings"]],
        "seconds": sum(result["seconds"].values()),
        "halves": _halves(result["sites"]),
    }


def _halves(sites: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """How much the two halves of the samples agree, over all sites that can tell."""
    ratios = {s["tensor"]: s["stability"]["ratio"] for s in sites if s["stability"]}
    if not ratios:
        return None
    least = min(ratios, key=lambda tensor: ratios[tensor])
    return {
        "median": statistics.median(ratios.values()),
        "least": ratios[least],
        "tensor": least,
        "count": len(ratios),
    }
