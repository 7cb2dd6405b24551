"""report.html: the whole result as one page that works offline."""

import base64
import hashlib
from typing import ClassVar, final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lostbits.reporter import Reporter, Result
from lostbits.reporters.html import embedding, formats, plots, tables

_SCRIPTS = ("echarts.common.min.js", "charts.js", "figures.js", "table.js", "detail.js", "main.js")


@final
class Html(Reporter):
    """One file for people: script, style and data stand inside it, and nothing is loaded."""

    name: ClassVar[str] = "html"
    file: ClassVar[str | None] = "report.html"

    def render(self, result: Result) -> str:
        """The page; the same result gives the same bytes."""
        page = _environment()
        script = Markup("\n").join([_asset(page, name) for name in _SCRIPTS])
        rows = tables.rows(result)
        return page.get_template("report.html").render(
            result=result,
            rows=rows,
            columns=tables.COLUMNS,
            floats=tables.by_reason(result["coverage"]["left_in_float"]),
            steps=plots.STEPS,
            terms=plots.TERMS,
            reached=tables.reached(result, rows),
            data=embedding.json_text(plots.figures(result, rows)),
            style=_asset(page, "style.css"),
            script=script,
            digest=_digest(script),
        )


def _environment() -> Environment:
    page = Environment(
        loader=PackageLoader("lostbits", "reporters/html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(formats.FILTERS)
    return page


def _asset(page: Environment, name: str) -> Markup:
    """A file of the package as it is, for inside ``<script>`` or ``<style>``."""
    assert page.loader is not None
    return Markup(page.loader.get_source(page, name)[0])


def _digest(script: str) -> str:
    """By which the page's security policy lets this very text run, and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
