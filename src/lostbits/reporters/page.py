"""report.html: the whole result as one page that works offline, in every language at once."""

import base64
import hashlib
from functools import partial
from typing import Any, ClassVar, final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lostbits.language import Language, catalogue, say
from lostbits.reporter import Reporter
from lostbits.reporters import first_screen
from lostbits.reporters.html import (
    commands,
    embedding,
    formats,
    network_map,
    outcome,
    plots,
    summary,
    tables,
)
from lostbits.reporters.html.tables import Row
from lostbits.reporters.html.wording import LANGUAGES, Wording
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.sites import STEPS

_SECTIONS = ("findings", "recovery", "map", "where", "layers", "sites", "trust", "target")
_SCRIPTS = (
    "echarts.common.min.js",
    "words.js",
    "charts.js",
    "figures.js",
    "table.js",
    "graph.js",
    "map.js",
    "detail.js",
    "second.js",
    "state.js",
    "main.js",
)


@final
class Html(Reporter):
    """One file for people: script, style and data stand inside it, and nothing is loaded."""

    name: ClassVar[str] = "html"
    file: ClassVar[str | None] = "report.html"

    def __init__(self, language: Language = Language.ENGLISH) -> None:
        self.language = language

    def speaking(self, language: Language) -> Reporter:
        """The page that opens with a language."""
        return Html(language)

    def render(self, result: Diagnosis) -> str:
        """The page; the same result gives the same bytes."""
        page, wording = _environment(), Wording(self.language)
        rows = tables.rows(result)
        chart = network_map.network_map(result, rows)
        data = plots.figures(result, rows, wording, chart)
        script = Markup("\n").join([_asset(page, name) for name in _SCRIPTS])

        def everything() -> Markup:
            """Called at the end of the page, when all of its words are known."""
            words = {"texts": wording.texts, "words": wording.scripted(), "languages": LANGUAGES}
            return embedding.json_text(data | words)

        return page.get_template("report.html").render(
            **_words(wording),
            **_computed(result, rows),
            result=result,
            rows=rows,
            map=chart,
            style=_asset(page, "style.css"),
            script=script,
            digest=_digest(script),
            data=everything,
        )


def _words(wording: Wording) -> dict[str, Any]:
    return {
        "t": wording.say,
        "own": wording.own,
        "parts": wording.parts,
        "attr": wording.attribute,
        "plain": wording.plain,
        "said": say,
        "known": catalogue(wording.language),
        "language": wording.language,
        "languages": [(each, catalogue(each)["language.name"]) for each in LANGUAGES],
    }


def _computed(result: Diagnosis, rows: list[Row]) -> dict[str, Any]:
    """What the text of the page names."""
    return {
        "columns": tables.columns(rows),
        "steps": STEPS,
        "terms": plots.TERMS,
        "floats": summary.by_reason(result.coverage.left_in_float),
        "loss": first_screen.loss(result),
        "prescription": next(iter(first_screen.next_commands(result)), None),
        "ledger": plots.ledger(result),
        "figures": outcome.key_figures(result),
        "warning": outcome.warning,
        "metric_of": outcome.metric_of,
        "laid_out": partial(commands.parts, usual=result.command),
        "base_name": summary.base_name,
        "nameless": tables.nameless,
        "explained": summary.explained,
        "sections": summary.sections(result),
        "pages": {name: f"{name}.html" for name in _SECTIONS},
        "reached": summary.reached(result, rows),
    }


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
