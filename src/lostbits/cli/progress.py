"""How far a run is, on one line: the step by its name, what it counts, and one clock for all."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from lostbits.cli import spoken
from lostbits.cli.sign import clear_sign
from lostbits.language import say
from lostbits.quoting import visible
from lostbits.workers.progress import ATTEMPT, FINISH
from lostbits.workers.progress import Progress as Listener

# Known stages, and what they count; another is shown by its own name, with numbers alone.
_UNITS = {
    "statistics": "sample",
    "outputs": "sample",
    "diagnosis": "sample",
    "permutations": "sample",
    "verification": "sample",
    "change": "sample",
    "layers": "layer",
    "layers apart": "layer",
    "blocks": "block",
}
_PER_SECOND = 4


@final
@dataclass
class Line:
    """The line, made anew whenever the screen asks for it.

    Attributes:
        budget: Seconds that the attempts may take; None where there is no such bound.
        clock: Seconds since the command began.
        step: Attempt that is under way, as text.
        stage: What is counted now, as text.
    """

    budget: float | None = None
    clock: Callable[[], float] = field(default_factory=lambda: _since(time.monotonic()))
    step: str = ""
    stage: str = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take in how far the work is, as ``workers.progress`` tells it."""
        if stage.startswith(ATTEMPT):
            name = stage.removeprefix(ATTEMPT)
            figures = {"number": str(done), "total": str(total), "name": visible(name)}
            self.step, self.stage = _told("progress.attempt", **figures), ""
            return
        if stage == FINISH:
            self.step, self.stage = _told("progress.finish"), ""
        elif done >= total:  # what follows reports nothing: all is never said while work is left
            self.stage = _told("progress.judging") if self.step else ""
        else:
            self.stage = _counted(stage, done, total)

    def __str__(self) -> str:
        shown = ", ".join(part for part in (self.step, self.stage) if part)
        return f"{shown or _told('progress.loading')}   {self._time()}"

    def __rich__(self) -> Text:
        return Text(str(self), style="dim", no_wrap=True, overflow="ellipsis")

    def _time(self) -> str:
        passed = self.clock()
        if self.budget is None:
            return _minutes(passed)
        left = self.budget - passed
        if left <= 0:  # what has begun is brought to its end
            return _told("progress.finishing", passed=_minutes(passed))
        return _told("progress.left", left=_minutes(left), budget=_minutes(self.budget))


def _counted(stage: str, done: int, total: int) -> str:
    """A stage by its name, unless what it counts says enough, and how far it is."""
    unit = _UNITS.get(stage)
    count = _told(f"progress.of_{unit or 'all'}", done=str(done), total=str(total))
    if unit in ("layer", "block"):
        return count
    return f"{_told(f'progress.{stage}') if unit else visible(stage)}, {count}"


def _since(start: float) -> Callable[[], float]:
    return lambda: time.monotonic() - start


def _minutes(seconds: float) -> str:
    """Minutes and seconds, or hours before them.

    >>> _minutes(41.9), _minutes(3601)
    ('0:41', '1:00:01')
    """
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60}:{rest % 60:02d}" if not hours else f"{rest // 60:02d}:{rest % 60:02d}"
    return f"{hours}:{minutes}" if hours else minutes


def _told(code: str, **figures: str) -> str:
    return say(code, **figures).told(spoken.language.get())


@contextmanager
def progress_line(
    console: Console, quiet: bool = False, budget: float | None = None
) -> Iterator[Listener]:
    """A line on a terminal that is gone when the work is done; nothing into a file.

    It is drawn by a thread of its own, so that the clock goes on while nothing is reported.
    """
    clear_sign()
    line = Line(budget)
    if quiet or not console.is_terminal:
        yield line
        return
    spinner = Spinner("dots", text=line)
    with Live(spinner, console=console, refresh_per_second=_PER_SECOND, transient=True):
        yield line
