"""What the first screen says beyond the verdict, in the terminal and on the page."""

from typing import NamedTuple, final

from lostbits.command_lines import CommandLine, as_recovery
from lostbits.results.diagnosis import Diagnosis


@final
class Segment(NamedTuple):
    """A part of the loss: why, how much, and how long it is in the bar.

    Attributes:
        reason: Its name.
        share: Part of the output error; below zero where it cancels others.
        width: Part of the bar.
        roles: Parts of the output error by role of the tensors, largest first.
    """

    reason: str
    share: float
    width: float
    roles: list[tuple[str, float]]


def loss(result: Diagnosis) -> list[Segment]:
    """The loss split by its reason, largest first; together they are what was attributed.

    Where errors cancel, shares are of what they add up to before that, so that none is above all.
    Where the attribution does not close there are none.
    """
    if result.network.open:
        return []
    table: dict[str, dict[str, float]] = {}
    for a in result.network.attributions:
        roles = table.setdefault(a.reason or "resolution", {})
        roles[a.role] = roles.get(a.role, 0.0) + a.share
    shares = {reason: sum(roles.values()) for reason, roles in table.items()}
    whole = sum(max(share, 0.0) for share in shares.values()) or 1.0
    unit = max(whole, 1.0) if result.network.cancelling else 1.0
    ranked = sorted(shares, key=lambda reason: -shares[reason])
    return [
        Segment(
            reason,
            shares[reason] / unit,
            round(max(shares[reason], 0.0) / whole, 4),
            sorted(
                ((role, share / unit) for role, share in table[reason].items()),
                key=lambda item: -item[1],
            ),
        )
        for reason in ranked
    ]


def prescription(command: str) -> str | None:
    """The recovery that follows a diagnosis, as a command; None for what is no diagnosis.

    The command is whatever a caller of the library has put into the settings.

    >>> prescription("lostbits diagnose net.onnx --data d.npy --metric kl --target snpe")
    'lostbits recover net.onnx --data d.npy --target snpe --out recovered'
    """
    line = CommandLine.parse(command)
    if line is None or line.verb != "diagnose" or not line.value("--data"):
        return None
    return str(as_recovery(line).extended(("--out", "recovered")))


def next_commands(result: Diagnosis) -> list[str]:
    """What to run next; for a result of an older version, what follows from its command."""
    if result.next_commands or not result.treatable or result.recovered is not None:
        return result.next_commands
    command = prescription(result.command)
    return [] if command is None else [command]
