"""What the first screen says beyond the verdict, in the terminal and on the page."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, final

from lostbits import quoting
from lostbits.results.diagnosis import Diagnosis

# Options of ``diagnose`` that ``recover`` does not have, or that must differ.
_LEFT_OUT = {
    *("--plan", "--method", "--of", "--batch", "--permutations"),
    *("--out", "--format", "--lang", "--json", "--junit", "--baseline-out"),
    "--overlay",
}
_ATTRIBUTED = {("--metric", "nsr"), ("--metric", "kl")}
_FLAGS = {"--quiet"}


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
    try:
        words = quoting.words(command)
    except ValueError:
        return None
    if words[:2] != ["lostbits", "diagnose"]:
        return None
    options = list(_options(words[2:]))
    kept = [
        part
        for name, value in options
        if name not in _LEFT_OUT and (name, value) not in _ATTRIBUTED
        for part in ((name, value) if name else (value,))
    ]
    data = [] if any(name == "--data" for name, _ in options) else ["--data", "DATA"]
    return quoting.command(["lostbits", "recover", *kept, *data, "--out", "recovered"])


def _options(words: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Options with their values, and arguments under no name; flags are left out."""
    waiting = iter(words)
    for each in waiting:
        name, equals, value = each.partition("=")
        if each == "--":  # only arguments from here on; what is put together has options behind
            yield from (("", quoting.operand(argument)) for argument in waiting)
        elif not each.startswith("--"):
            yield "", each
        elif name not in _FLAGS:
            yield name, value if equals else next(waiting, "")
