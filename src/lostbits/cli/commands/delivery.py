"""What becomes of a result: printed, written, piped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self, final

import typer

from lostbits.case import Case
from lostbits.cli.terminal import listed, say, stdout
from lostbits.language import Language
from lostbits.reporters import Json
from lostbits.reporters.console import screen
from lostbits.results.diagnosis import Diagnosis
from lostbits.system.streams import pour
from lostbits.verbs import output
from lostbits.verbs import result_files as results
from lostbits.verbs.case_files import kept_files
from lostbits.verbs.overlay import overlay

_STANDARD_OUTPUT = "-"

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
JsonTo = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the result here too; - is standard output, where nothing else goes then.",
    ),
]
OverlayTo = Annotated[
    Path | None,
    typer.Option(
        "--overlay",
        metavar="FILE",
        help="Write node data for Model Explorer into FILE.json, and beside it a copy of the "
        "model, FILE.netron.onnx, that shows the figures in Netron.",
    ),
]


@final
@dataclass(frozen=True)
class Delivery:
    """Where a result goes.

    Attributes:
        formats: Reports that were asked for.
        language: Of the page.
        quiet: Whether nothing is printed.
        json: One more file for the result, or ``-``.
        overlay: File for other viewers, if any.
    """

    formats: tuple[str, ...]
    language: Language
    quiet: bool
    json: str | None
    overlay: Path | None = None

    @classmethod
    def of(
        cls,
        formats: str,
        language: Language,
        quiet: bool,
        json: str | None,
        overlay: Path | None = None,
    ) -> Self:
        """From the options; every report must exist.

        Raises:
            TargetError: T009.
            OutputError: O001 where the file for the result cannot be written.
        """
        names = tuple(listed(formats))
        for name in names:
            results.reporter(name)
        if json not in (None, _STANDARD_OUTPUT):
            output.check_replaceable(Path(json))
        if overlay is not None:
            output.check_replaceable(overlay)
        return cls(names, language, quiet or json == _STANDARD_OUTPUT, json, overlay)

    def __call__(self, result: Diagnosis, out: Path, case: Case | None = None) -> None:
        """Write, then print, what was asked for; an interrupted run ends with its own status.

        Args:
            result: That is delivered.
            out: Folder of its reports.
            case: That it is of, for an overlay.
        """
        written = results.write(result, out, self.formats, self.language)
        if self.overlay is not None and case is not None:
            written += overlay(case, result, self.overlay)
        self._pipe(result)
        if not self.quiet:
            self._show(result, written, out)
        if result.data.interrupted:
            raise typer.Exit(130)

    def _pipe(self, result: Diagnosis) -> None:
        if self.json is None:
            return
        content = results.content(Json(), result)
        if self.json == _STANDARD_OUTPUT:
            pour(content)
        else:
            output.replace_file(Path(self.json), content)

    def _show(self, result: Diagnosis, written: Sequence[Path], out: Path) -> None:
        if "console" not in self.formats:
            for path in written:
                say(str(path))
            return
        files = written if result.recovered is None else [*kept_files(out), *written]
        folder = out if "json" in self.formats else None
        shown = screen(result, self.language, folder, files, results.tried_of(out))
        stdout.print(shown, crop=False)
