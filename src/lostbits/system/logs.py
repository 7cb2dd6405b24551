"""What libraries log, kept from the screen."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silenced(library: str) -> Iterator[list[str]]:
    """Keep what a library logs meanwhile, and only meanwhile; gives the list that it goes to.

    A library that logs a traceback and goes on looks like a crash. Levels and handlers are the
    host's, so they are left alone.

    >>> log = logging.getLogger("somebody.else")
    >>> with silenced("somebody") as said:
    ...     log.warning("all %s", "lost")
    >>> said
    ['all lost']
    """
    said: list[str] = []

    def kept(record: logging.LogRecord) -> bool:
        said.append(record.getMessage())
        return False

    known = [n for n in logging.root.manager.loggerDict if f"{n}.".startswith(f"{library}.")]
    loggers = [logging.getLogger(name) for name in known]
    # Handlers too: a logger that is made meanwhile passes its records up to them.
    filtered = [*loggers, *{handler for logger in loggers for handler in logger.handlers}]
    for each in filtered:
        each.addFilter(kept)
    try:
        yield said
    finally:
        for each in filtered:
            each.removeFilter(kept)
