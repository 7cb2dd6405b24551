"""What is remembered of attempts, those that came to nothing included."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from lostbits.errors import LostbitsError, RecoveryError, described, origin
from lostbits.language import Message, say
from lostbits.recovery import Change, Recovery
from lostbits.runtime.judged import NO_ERROR
from lostbits.runtime.metrics import Baseline
from lostbits.system.memory import lacks_memory

# Numbers that are none: of a layer's loss, of its inputs, of the outputs, of an attribution.
_OF_AN_ATTEMPT = ("R001", "R002", "S005", "S008")


@final
@dataclass(frozen=True)
class Entry:
    """One attempt, as the ledger keeps it."""

    method: str
    scope: str
    predicted_gain_db: float
    before: Baseline
    after: Baseline
    kept: bool
    seconds: float
    note: Message
    skipped: Mapping[str, Message]

    @property
    def gain_db(self) -> float:
        """What it won, or lost, on held-out samples."""
        return decibels_of(self.after) - decibels_of(self.before)


def failed(recovery: Recovery, error: Exception) -> Change:
    """What the ledger says of an attempt that came to nothing; all that was won before it stays.

    Raises:
        Exception: The same again, if it is about more than this attempt.
    """
    if isinstance(error, LostbitsError):
        if error.code not in _OF_AN_ATTEMPT:
            raise error
        return Change(recovery.name, say("ledger.failed", why=str(error)))
    if lacks_memory(error):
        raise error
    bug = RecoveryError(
        "R006",
        f"recovery {recovery.name!r}",
        f"{described(error)} ({origin(error)})",
        name=recovery.name,
    )
    return Change(recovery.name, say("ledger.failed", why=str(bug)))


def decibels_of(found: Baseline) -> float:
    """SQNR with no error at all at the end of the scale."""
    return NO_ERROR if found.sqnr_db is None else found.sqnr_db
