"""What the verbs of one command share: who works, where sums are kept, and who is told."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypedDict

from lostbits.cli.commands.options import resources
from lostbits.cli.terminal import announcer, progress_bars
from lostbits.workers.pool import Pool
from lostbits.workers.pools import pool as pool_of
from lostbits.workers.progress import Progress
from lostbits.workers.work_folder import Work


class Shared(TypedDict):
    """Arguments of ``load`` that other verbs go on with."""

    workers: Pool
    threads: int
    memory: str | None
    cache: Work
    announce: Callable[[str], None]
    progress: Progress


Used = tuple[int, int, str | None, str | None]  # values of --workers, --threads, --ray, --memory


@contextmanager
def sharing(used: Used, work: Work, *, quiet: bool) -> Iterator[Shared]:
    """What is shared, with workers that are let go and bars that are gone at the end."""
    _, threads, _, memory = used
    with pool_of(resources(*used)) as pool, progress_bars(quiet) as progress:
        yield {
            "workers": pool,
            "threads": threads,
            "memory": memory,
            "cache": work,
            "announce": announcer(quiet=quiet),
            "progress": progress,
        }
