"""The first screen: verdict, findings, and where the loss sits, as rich tables."""

import io
import math
from typing import Any, ClassVar, final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lostbits.diagnoses.result import WORST
from lostbits.language import Message, say
from lostbits.quoting import visible
from lostbits.reporter import Reporter
from lostbits.reporters.first_screen import loss, prescription
from lostbits.results.diagnosis import Diagnosis, Finding
from lostbits.results.judgement import Judgement
from lostbits.results.recovery import Outcome
from lostbits.results.sites import STEPS

_ROWS = 10
_FINDINGS = 5
_COLORS = {"good": "bold green", "degraded": "bold yellow", "broken": "bold red"}
_WIDTH, _MOST = 30, 2.0  # letters of the bar of all of the loss, and bars that are longer


@final
class Terminal(Reporter):
    """A summary for people; the command line prints it in colour where the terminal has some."""

    name: ClassVar[str] = "console"
    file: ClassVar[str | None] = None

    def render(self, result: Diagnosis) -> str:
        """The summary without colour."""
        options: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
        console = Console(file=io.StringIO(), width=110, force_terminal=False, **options)
        console.print(screen(result), crop=False)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return text


def screen(result: Diagnosis) -> RenderableType:
    """The summary as something rich can print."""
    grades = _grade(result)
    worst = [note for note in result.notes if note.code == WORST]
    parts: list[RenderableType] = [*grades[:1], _text(result.verdict, style="bold")]
    parts += [_text(note, style="bold yellow") for note in worst]
    parts.append(Text(""))
    if not result.healthy:
        parts += _explained(result)
    parts += [Text(_trust(result), style="dim")]
    if result.recovered is not None:
        parts += [Text(""), *_recovery(result, result.recovered), *grades[1:]]
    elif result.treatable:
        parts += _next(result)
    parts += [_text(note, style="yellow") for note in result.notes if note not in worst]
    return Group(*parts)


def _grade(result: Diagnosis) -> list[RenderableType]:
    """The verdict in a word and its colour, by which figure, and of which samples."""
    found = (result.judgement, result.judgement_after)
    return [_graded(each, result.judged_on.use) for each in found if each and each.grade]


def _graded(found: Judgement, use: str) -> Text:
    assert found.grade is not None
    line = Text(visible(str(say(f"grade.{found.grade}"))), style=_COLORS[found.grade])
    return line.append(f"  {visible(str(found.why))}; {use} samples", style="default")


def _explained(result: Diagnosis) -> list[RenderableType]:
    """Where the loss sits and what to do: nothing that the owner of a healthy network needs."""
    parts: list[RenderableType] = [] if result.network.open else [_loss(result), Text("")]
    for number, finding in enumerate(result.findings[:_FINDINGS], 1):
        parts += [_finding(number, finding), Text("")]
    if not result.network.open:
        parts += [_attributions(result), Text("")]
    return [*parts, *_restored(result), _lost_bits(result), Text("")]


def _restored(result: Diagnosis) -> list[RenderableType]:
    """The restore curve as bars: SQNR against the number of sites in float."""
    if result.restore is None:
        return []
    points = result.restore.points
    known = [p.sqnr_db for p in points if p.sqnr_db is not None]
    most = max([1.0, *known])
    samples = str(result.restore.samples)
    title = f"{say('restore.title')} ({samples} {result.data.use} samples)"
    table = Table(title=title, title_justify="left", box=None)
    for name in (str(say("restore.sites")), "SQNR dB", "agreement", ""):
        table.add_column(name, justify="right" if name else "left")
    for point in points:
        cells = (_figure(point.sqnr_db, "{:.1f}"), _figure(point.agreement, "{:.1%}"))
        length = max(point.sqnr_db or 0.0, 0.0) / most / _MOST
        table.add_row(str(point.sites), *cells, Text(_bar(length), style="cyan"))
    return [table, Text("")]


def _text(text: str | Message, style: str = "") -> Text:
    """Text of a result as it is: no markup in it, and no letter that moves the cursor."""
    return Text(visible(str(text)), style=style)


def _bar(share: float) -> str:
    """As long as a share is large, and no longer than the line; none for what is not finite."""
    return "█" * round(_WIDTH * min(abs(share), _MOST)) if math.isfinite(share) else ""


def _loss(result: Diagnosis) -> Table:
    """The loss by its cause, each part as long as it is large."""
    title = "The loss, split by its cause"
    if result.network.cancelling:
        title += " (parts of what errors add up to before they cancel)"
    table = Table(title=title, title_justify="left", box=None)
    table.add_column("", justify="right")
    table.add_column("")
    table.add_column("", overflow="fold")
    for part in loss(result):
        reason, bar = str(say(f"reason.{part.reason}")), Text(_bar(part.width), style="cyan")
        table.add_row(f"{part.share:.1%}", reason, bar)
    return table


def _next(result: Diagnosis) -> list[RenderableType]:
    """The command that treats all of it."""
    command = prescription(result.command)
    if command is None:
        return []
    return [Text(""), Text("What to run next", style="bold"), _command(command)]


def _command(text: str) -> Text:
    """On one line, however long: it must survive being copied, and a pipe."""
    return Text(f"   {visible(text)}", style="green", no_wrap=True, overflow="ignore")


def _recovery(result: Diagnosis, outcome: Outcome) -> list[RenderableType]:
    """The ledger, and what came of it."""
    table = Table(title="What was tried", title_justify="left", expand=False)
    for name in ("attempt", "predicted dB", "measured dB", "SQNR dB", "agreement", ""):
        table.add_column(name, justify="left" if name in ("attempt", "") else "right")
    for row in result.ledger:
        table.add_row(
            _text(row.method),
            f"{row.predicted_gain_db:+.1f}",
            f"{row.gain_db:+.1f}",
            _figure(row.after.sqnr_db, "{:.1f}"),
            _figure(row.after.agreement, "{:.1%}"),
            Text("kept", style="green") if row.kept else Text("dropped", style="dim"),
        )
    notes = [_text(f"{row.method}: {row.note}", style="dim") for row in result.ledger]
    return [table, *notes, _text(outcome.text, style="bold")]


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _finding(number: int, finding: Finding) -> RenderableType:
    title = Text(f"{number}. ", style="bold cyan")
    broken = finding.severity == "broken"
    title.append(visible(str(finding.text)), style="bold red" if broken else "default")
    host = [] if finding.dead is None else finding.dead.host
    lines = [_text(say("findings.host")), *(_command(line) for line in host)] if host else []
    return Group(title, *lines, _command(finding.command))


def _attributions(result: Diagnosis) -> Table:
    of = "the output" if result.network.of is None else visible(result.network.of)
    title = Text(f"Where the error of {of} comes from")
    table = Table(title=title, title_justify="left", expand=False)
    for name, justify in (
        ("tensor", "left"),
        ("role", "left"),
        ("cause", "left"),
        ("share", "right"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("")
    rows = result.network.attributions
    for row in rows[:_ROWS]:
        role = say("role.corrected") if row.parts else row.role
        cells = (_text(name) for name in (row.tensor, role, row.cause))
        table.add_row(*cells, f"{row.share:.1%}", _bar(row.share))
    rest = sum(row.share for row in rows[_ROWS:])
    if rows[_ROWS:]:
        table.add_row(f"{len(rows) - _ROWS} others", "", "", f"{rest:.1%}", "")
    return table


def _lost_bits(result: Diagnosis) -> Table:
    table = Table(title="Bits lost by the tensors that matter most", title_justify="left")
    table.add_column("tensor", overflow="fold")
    for name in ("grid", *STEPS, "left"):
        table.add_column(name.replace("_", "\n"), justify="right")
    sites = {site.key: site for site in result.sites}
    leading = dict.fromkeys(a.key for a in result.network.attributions)
    # A float bias of other values than the model's carries error, and is no site.
    for site in [sites[key] for key in leading if key in sites][:_ROWS]:
        lost = site.lost_bits
        steps = [""] * len(STEPS) if lost is None else [_bits(v) for v in lost.steps.values()]
        tensor = _text(site.tensor)
        table.add_row(tensor, site.grid, *steps, f"{site.effective_bits:.1f}")
    return table


def _bits(value: float) -> str:
    return f"-{value:.1f}" if value >= 0.05 else "·"


def _trust(result: Diagnosis) -> str:
    coverage, network = result.coverage, result.network
    return (
        f"{coverage.sites_matched} of {coverage.sites_total} sites matched; attributed "
        f"{1 + network.residual:.1%} of the output error ({network.method}, "
        f"residual {network.residual:+.2%}); {result.data.samples} {result.data.use} samples; "
        f"{sum(result.seconds.values()):.1f} s; "
        f"peak memory {result.peak_memory_bytes / 2**20:.0f} MiB"
    )
