"""Where the output error comes from, as tables that fit a terminal: causes, tensors, restoring."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from lostbits.language import Language, Message, say
from lostbits.reporters.first_screen import loss
from lostbits.reporters.lines import bar, bars, name_of, short, table, told
from lostbits.results.diagnosis import Attribution, Diagnosis
from lostbits.results.sites import SiteReport

_ROWS = 8
_NAME = 34  # columns
_BAR = 30
_HEADS = ("tensor", "role", "share", "lost", "left")
_LEAST_BITS = 0.05


def causes(result: Diagnosis, language: Language) -> Iterator[RenderableType]:
    """The error by its cause, each part as long as it is large."""
    title = told(say("screen.causes"), language)
    if result.network.cancelling:
        title += told(say("screen.before_cancelling"), language)
    yield Text(title, style="bold")
    parts = loss(result)
    drawn = bars([part.share for part in parts], _BAR)
    rows = [
        (_percent(part.share), told(say(f"reason.{part.reason}"), language), Text(line, "cyan"))
        for part, line in zip(parts, drawn, strict=True)
    ]
    yield from table(("", "", ""), rows, ("right", "left", "left"))


def heading(result: Diagnosis, language: Language) -> Text:
    """Of which output the error is."""
    of = result.network.of
    said = say("screen.tensors") if of is None else say("screen.tensors_of", output=of)
    return Text(told(said, language), style="bold")


def tensors(result: Diagnosis, language: Language, most: int = _ROWS) -> list[Text]:
    """Tensors with their shares, the bits that they lost, and what is left of them."""
    sites = {site.key: site for site in result.sites}
    rows = result.network.attributions
    cells = [_row(row, sites.get(row.key), language) for row in rows[:most]]
    if rest := rows[most:]:
        others = told(say("screen.others", count=str(len(rest))), language)
        cells.append((others, "", _percent(sum(row.share for row in rest)), "", ""))
    heads = [told(say(f"screen.{name}"), language) for name in _HEADS]
    return table(heads, cells, ("left", "left", "right", "left", "right"))


def _row(row: Attribution, site: SiteReport | None, language: Language) -> tuple[str, ...]:
    role = told(say(f"role.{row.role}"), language)
    name = short(name_of(site, row.tensor), _NAME)
    left = "" if site is None else f"{max(site.effective_bits, 0.0):.1f}"
    return name, role, _percent(row.share), _lost(site, language), left


def _lost(site: SiteReport | None, language: Language) -> str:
    """The step that costs most bits, and how many."""
    if site is None or site.lost_bits is None:
        return ""
    name, most = max(site.lost_bits.steps.items(), key=lambda step: step[1])
    if most < _LEAST_BITS:
        return "·"
    return f"{most:.1f} {told(say(f'step.{name}'), language)}"


def _percent(share: float) -> str:
    """A share; what rounds to nothing has no sign."""
    text = f"{share:.1%}"
    return text.lstrip("-") if not text.strip("-0.%") else text


def restored(result: Diagnosis, language: Language) -> Iterator[RenderableType]:
    """The restore curve as bars: SQNR against the number of sites in float."""
    if result.restore is None:
        return
    points = result.restore.points
    most = max([1.0, *(p.sqnr_db for p in points if p.sqnr_db is not None)])
    count = told(say("page.samples", count=str(result.restore.samples)), language)
    yield Text("")
    yield Text(f"{told(say('restore.title'), language)} ({count})", style="bold")
    rows = [
        (
            str(point.sites),
            _figure(point.sqnr_db, "{:.1f}"),
            _figure(point.agreement, "{:.1%}"),
            Text(bar(max(point.sqnr_db or 0.0, 0.0), _BAR, most), "cyan"),
        )
        for point in points
    ]
    heads = [told(say(code), language) for code in ("screen.sites", "column.sqnr")]
    heads += [told(say("recovery.agreement"), language), ""]
    yield from table(heads, rows, ("right", "right", "right", "left"))


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def trust(result: Diagnosis) -> Message:
    """How much of the network and of the error the figures stand for, and what they took."""
    coverage = result.coverage
    return say(
        "screen.trust",
        matched=str(coverage.sites_matched),
        total=str(coverage.sites_total),
        sum=f"{1 + result.network.residual:.1%}",
        samples=str(result.data.samples),
        use=say(f"use.{result.data.use}"),
        seconds=f"{sum(result.seconds.values()):.1f}",
        memory=f"{result.peak_memory_bytes / 2**20:.0f}",
    )
