"""The screen of a result: verdict, cause, fix; then where the error comes from, as tables."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from rich.console import Console, Group, RenderableType
from rich.text import Text

from lostbits.command_lines import shortened
from lostbits.diagnoses.result import WORST
from lostbits.language import Language, Message, say
from lostbits.reporter import Reporter
from lostbits.reporters import ledger, shares
from lostbits.reporters.first_screen import next_commands
from lostbits.reporters.headline import (
    expected,
    graded,
    judged_on,
    moved,
    outcome,
    reason,
    title,
    tried,
)
from lostbits.reporters.lines import WIDTH, pairs, told
from lostbits.results.diagnosis import Diagnosis, Finding

_FINDINGS = 3
# Notes that weaken a figure stand beside it: those of answers, and those of shares.
_OF_FIGURES = frozenset(
    {
        *("note.labels_one_above", "note.labels_one_below"),
        *("note.labels_at_chance", "note.labels_unused", "note.interrupted", "note.chosen", WORST),
        *("note.one_answer", "note.part_told", "samples.training", "samples.training_better"),
        *("plan.unfaithful", "plan.elsewhere"),
        *("samples.alike", "samples.few", "note.rows"),
    }
)  # fmt: skip
_OF_SHARES = frozenset({"note.residual", "note.permutations", "note.repaired"})


@final
@dataclass(frozen=True)
class Terminal(Reporter):
    """A summary for people; the command line prints it in colour where the terminal has some."""

    language: Language = Language.ENGLISH

    name: ClassVar[str] = "console"
    file: ClassVar[str | None] = None

    def speaking(self, language: Language) -> "Terminal":
        """Itself in another language."""
        return Terminal(language)

    def render(self, result: Diagnosis) -> str:
        """The summary without colour."""
        options: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
        console = Console(file=io.StringIO(), width=WIDTH, force_terminal=False, **options)
        console.print(screen(result, self.language), crop=False)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        return text


def screen(
    result: Diagnosis,
    language: Language = Language.ENGLISH,
    folder: Path | None = None,
    written: Sequence[Path] = (),
    before: Diagnosis | None = None,
) -> RenderableType:
    """The summary as something rich can print.

    Args:
        result: What was found.
        language: That it is told in.
        folder: Where the result was written, so that commands can refer to it; None: nowhere.
        written: Files that were.
        before: The result whose suggestion this one has tried.
    """
    said = _Screen(result, language, folder, written, before)
    return Group(*(said.recovered() if result.recovered is not None else said.diagnosed()))


@final
@dataclass(frozen=True)
class _Screen:
    """One result, told in one language."""

    result: Diagnosis
    language: Language
    folder: Path | None
    written: Sequence[Path]
    before: Diagnosis | None

    def diagnosed(self) -> Iterator[RenderableType]:
        """Outcome first, then where the error comes from."""
        result = self.result
        yield title(result, self.language)
        yield from pairs([*self._outcome(), *self._fix(), *self._files()])
        if not result.healthy:
            yield from self._explained()
        yield Text("")
        yield from self._notes(outside=_OF_FIGURES | _OF_SHARES)
        yield self._text(shares.trust(result), "dim")

    def recovered(self) -> Iterator[RenderableType]:
        """What came out, how, what was written; then what it was like before."""
        result = self.result
        yield title(result, self.language)
        yield from pairs([*self._gained(), *self._files(), *self._steps()])
        yield Text("")
        yield self._text(say("screen.attempts"), "bold")
        yield from ledger.rows(result, self.language)
        yield self._text(ledger.ending(result), "dim")
        yield Text("")
        yield self._text(say("screen.baseline"), "bold")
        was = graded(result.judgement, self.language)
        was.append("  " if was else "", style="default")
        yield was.append(told(reason(result.verdict), self.language))
        if not result.healthy and not result.network.open:
            yield from shares.tensors(result, self.language, most=5)
        yield Text("")
        yield from self._notes(outside=_OF_FIGURES | _OF_SHARES)
        yield self._text(shares.trust(result), "dim")

    def _outcome(self) -> Iterator[tuple[str, Text]]:
        result = self.result
        line = graded(result.judgement, self.language)
        line.append("  " if line else "", style="default")
        yield self._row("result", line.append(self._joined(outcome(result))))
        yield self._row("", self._text(judged_on(result, result.baseline), "dim"))
        if self.before is not None and (parts := tried(self.before, result)):
            yield self._row("tried", Text(self._joined(parts), style="bold"))
        yield from self._beside_figures()
        yield self._row("why", self._text(reason(result.verdict)))

    def _beside_figures(self) -> Iterator[tuple[str, Text]]:
        for note in self.result.notes:
            if note.code in _OF_FIGURES:
                yield self._row("note", self._text(note, "yellow"))

    def _fix(self) -> Iterator[tuple[str, Text]]:
        gain = expected(self.result.verdict)
        for command in next_commands(self.result):
            yield self._row("fix", self._command(command))
            if gain is not None:
                yield self._row("", self._text(say("screen.expected", gain=gain), "dim"))

    def _files(self) -> Iterator[tuple[str, Text]]:
        if not self.written:
            return
        names = [path.name for path in self.written if path.name != "result.json"]
        folder = str(self.written[0].parent)
        row = say("screen.in_folder", folder=folder, names=", ".join(names))
        yield self._row("details" if self.result.recovered is None else "files", self._text(row))

    def _gained(self) -> Iterator[tuple[str, Text]]:
        result, outcome = self.result, self.result.recovered
        assert outcome is not None
        line = graded(result.judgement_after, self.language)
        line.append("  " if line else "", style="default")
        yield self._row("result", line.append(self._joined(moved(outcome)), style="bold"))
        yield self._row("", self._text(judged_on(result, outcome.after), "dim"))
        yield from self._beside_figures()
        if outcome.added:
            yield self._row("added", self._text(ledger.added(outcome, result.target.name)))

    def _steps(self) -> Iterator[tuple[str, Text]]:
        for command in self.result.next_commands:
            yield self._row("next", self._command(command))

    def _explained(self) -> Iterator[RenderableType]:
        """Where the error comes from, and what to do: nothing that a healthy network needs."""
        result, language = self.result, self.language
        if not result.network.open:
            yield Text("")
            yield from shares.causes(result, language)
            yield Text("")
            yield shares.heading(result, language)
            yield from self._notes(inside=_OF_SHARES)
            yield from shares.tensors(result, language)
        if result.findings:
            yield Text("")
            yield self._text(say("screen.findings"), "bold")
        for number, finding in enumerate(result.findings[:_FINDINGS], 1):
            yield from pairs(list(self._finding(number, finding)))
        yield from shares.restored(result, language)

    def _finding(self, number: int, finding: Finding) -> Iterator[tuple[str, Text]]:
        style = "red" if finding.severity == "broken" else ""
        yield str(number), self._text(finding.text, style)
        if finding.dead is not None and finding.dead.host:
            yield "", self._text(say("findings.host"))
            yield from (("", self._command(line)) for line in finding.dead.host)
        yield "", self._command(finding.command)

    def _notes(
        self, inside: frozenset[str] | None = None, outside: frozenset[str] = frozenset()
    ) -> Iterator[Text]:
        for note in self.result.notes:
            if note.code not in outside and (inside is None or note.code in inside):
                yield self._text(note, "yellow")

    def _row(self, label: str, content: Text) -> tuple[str, Text]:
        return (told(say(f"screen.{label}"), self.language) if label else "", content)

    def _joined(self, parts: Sequence[Message]) -> str:
        return ", ".join(told(part, self.language) for part in parts)

    def _text(self, text: Message | str, style: str = "") -> Text:
        return Text(told(text, self.language), style=style)

    def _command(self, text: str) -> Text:
        """On one line, however long: it must survive being copied, and a pipe."""
        result = self.result
        if self.folder is not None:
            names = (result.command, result.target.name, str(self.folder))
            text = shortened(text, *names)
        return Text(told(text, self.language), style="green", no_wrap=True, overflow="ignore")
