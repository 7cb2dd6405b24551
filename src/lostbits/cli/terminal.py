"""What all commands share: consoles, options, progress bars, and what an interrupt says."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lostbits.cli import spoken
from lostbits.cli.progress import progress_line
from lostbits.language import Figure, Message, phrase
from lostbits.quoting import visible
from lostbits.verbs import output
from lostbits.workers.progress import Progress as Listener
from lostbits.workers.work_folder import NAME as WORK

# Nothing is read as markup: names of tensors may hold brackets and colons.
stdout = Console(markup=False, emoji=False, highlight=False)
stderr = Console(markup=False, emoji=False, highlight=False, stderr=True)

Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Samples = Annotated[int | None, typer.Option(min=2, help="Use only the first N samples.")]
PreprocessFile = Annotated[
    Path | None, typer.Option("--preprocess", help="TOML file: how images become tensors.")
]
DATA_HELP = ".npz, .npy, a folder of those or of images, input_list.txt, or module:callable."


@contextmanager
def guarded(out: Path | None = None) -> Iterator[None]:
    """Say what an interrupt has left on disk, and end with status 130.

    Args:
        out: The folder of results, where there is one.
    """
    with output.recorded() as written:
        try:
            yield
        except KeyboardInterrupt as error:
            announcer("yellow")(_left(written, out))
            raise typer.Exit(130) from error


def _left(written: Sequence[Path], out: Path | None) -> str:
    """What is on disk, in a line."""
    files = f"written: {', '.join(map(str, written))}" if written else "nothing was written"
    if out is None or not (out / WORK).is_dir():
        return f"interrupted; {files}"
    kept = f"what is finished is kept in {out / WORK}, and the same command goes on there"
    return f"interrupted; {files}; {kept}"


def progress_bars(
    quiet: bool = False, budget: float | None = None
) -> AbstractContextManager[Listener]:
    """How far the work is, on standard error; see ``cli.progress``."""
    return progress_line(stderr, quiet, budget)


def announcer(style: str = "dim", quiet: bool = False) -> Callable[[str], None]:
    """Prints a line on standard error, unless quiet."""

    def announce(text: str) -> None:
        if not quiet:
            stderr.print(visible(text), style=style, soft_wrap=True)

    return announce


def say(text: Figure, style: str = "") -> None:
    """A line of output that is never wrapped or interpreted: paths and names must stay whole."""
    stdout.print(visible(told(text)), style=style, soft_wrap=True)


def told(text: Figure) -> str:
    """A message or a phrase in the language that is spoken; any other text stays as it is."""
    language = spoken.language.get()
    return text.told(language) if isinstance(text, Message) else phrase(text, language)


def word(code: str, /, **figures: Figure) -> str:
    """A text of the catalogues in that language."""
    return told(Message(code, figures))


def by_reason(reasons: Mapping[str, Figure], shown: int = 3) -> list[str]:
    """One line a reason, with how many names have it and the first of them."""
    lines = []
    for reason, count in Counter(reasons.values()).most_common():
        names = [name for name, why in reasons.items() if why == reason][:shown]
        listed = ", ".join([*names, *["..."][: count > shown]])
        lines.append(word("list.by_reason", count=str(count), why=told(reason), names=listed))
    return lines


def listed(text: str) -> list[str]:
    """The parts of a comma-separated option."""
    return [part.strip() for part in text.split(",") if part.strip()]
