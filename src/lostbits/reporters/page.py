"""report.html: the whole result as one page that works offline."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lostbits.reporter import Reporter, Result

_SCRIPTS = ("echarts.common.min.js", "charts.js", "figures.js", "table.js", "main.js")
_STEPS = ("shape", "granularity", "symmetry", "scale_format", "range_choice")
_BARS = 25  # tensors that the chart names one by one
_DIGITS = 6  # significant digits of what is only plotted
_MISSING = "–"
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


@final
class Html(Reporter):
    """One file for people: scripts, style and data stand inside, and nothing is loaded."""

    name: ClassVar[str] = "html"
    file: ClassVar[str | None] = "report.html"

    def render(self, result: Result) -> str:
        """The page; the same result gives the same bytes."""
        page = _environment()
        return page.get_template("report.html").render(
            result=result,
            rows=_rows(result),
            data=_embedded(_plots(result)),
            roles=_by_role(result),
            floats=_by_reason(result["coverage"]["left_in_float"]),
            summary=_summary(result),
            style=_asset(page, "style.css"),
            scripts=[_asset(page, name) for name in _SCRIPTS],
            hashes=[_hash(_asset(page, name)) for name in _SCRIPTS],
        )


def _environment() -> Environment:
    page = Environment(
        loader=PackageLoader("lostbits", "reporters/html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(_FILTERS)
    return page


def _asset(page: Environment, name: str) -> Markup:
    """A file of the package as it is, for inside ``<script>`` or ``<style>``."""
    assert page.loader is not None
    return Markup("\n") + Markup(page.loader.get_source(page, name)[0])


def _hash(script: Markup) -> str:
    """What the page's security policy lets run: this very text."""
    return base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode()


def _embedded(data: Any) -> Markup:
    """JSON that no name inside can end, and that is all ASCII markup to an HTML parser."""
    text = json.dumps(_short(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.translate(_ESCAPES))


def _short(data: Any) -> Any:
    """The same with floats cut to what a plot can show."""
    match data:
        case float():
            cut = float(f"{data:.{_DIGITS}g}")
            return int(cut) if cut.is_integer() and abs(cut) < 1e15 else cut
        case dict():
            return {k: _short(v) for k, v in data.items()}
        case list() | tuple():
            return [_short(v) for v in data]
        case _:
            return data


# What is plotted.


def _plots(result: Result) -> dict[str, Any]:
    """Everything that the scripts draw, one entry a figure, one a site."""
    sites = [_site(row, result) for row in _rows(result)]
    return {
        "attribution": _attribution(result),
        "roles": _by_role(result),
        "layers": _layers(result),
        "sites": sites,
    }


def _key(entry: Mapping[str, Any]) -> str:
    return f"{entry['tensor']}:{entry['role']}"


def _shares(result: Result) -> dict[str, dict[str, float]]:
    """Share of the output error by site and cause."""
    table: dict[str, dict[str, float]] = {}
    for a in result["network"]["attributions"]:
        table.setdefault(_key(a), {"round": 0.0, "clip": 0.0})[a["cause"]] += a["share"]
    return table


def _rows(result: Result) -> list[dict[str, Any]]:
    """The sites as the table lists them: those that cost most come first."""
    shares = _shares(result)
    rows = [
        {**site, "causes": shares.get(_key(site)), "share": sum(shares.get(_key(site), {}).values())}
        for site in result["sites"]
    ]
    rows.sort(key=lambda row: -row["share"])
    return [{**row, "index": index} for index, row in enumerate(rows)]


def _attribution(result: Result) -> dict[str, Any]:
    """The largest tensors, and the rest as one bar."""
    rows = sorted(_rows(result), key=lambda row: -abs(row["share"]))
    first, rest = rows[:_BARS], rows[_BARS:]
    bars = [
        {"name": r["tensor"], "role": r["role"], "index": r["index"], **(r["causes"] or _NOTHING)}
        for r in first
    ]
    if rest:
        sums = {cause: sum((r["causes"] or _NOTHING)[cause] for r in rest) for cause in _NOTHING}
        bars.append({"name": f"{len(rest)} others", "role": "", "index": None, **sums})
    return {"bars": bars}


def _by_role(result: Result) -> list[dict[str, Any]]:
    """Shares by role, largest first."""
    table: dict[str, dict[str, float]] = {}
    for a in result["network"]["attributions"]:
        table.setdefault(a["role"], {"round": 0.0, "clip": 0.0})[a["cause"]] += a["share"]
    entries = [{"name": f"{role}s", **causes} for role, causes in table.items()]
    if entries and any(e["name"] == "activitys" for e in entries):  # pragma: no cover
        raise AssertionError
    return sorted(entries, key=lambda e: -(e["round"] + e["clip"]))
