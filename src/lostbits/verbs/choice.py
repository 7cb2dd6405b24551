"""The recoveries that a user names, makes, or forbids."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace

from lostbits.errors import RecoveryError, close_match
from lostbits.recoveries import MEMBERS
from lostbits.recovery import Recovery


def choose(
    methods: Sequence[str | Recovery], iterations: int | None = None
) -> tuple[Recovery, ...]:
    """The recoveries that ``--methods`` leaves, in the order in which they are listed.

    Args:
        methods: Names, or recoveries with settings of the caller's; or names with a minus sign, for
            all others.
        iterations: Of those that are named and learn; see ``Effort``.

    Raises:
        RecoveryError: R004 for an unknown name, R005 when none is left or signs are mixed, R007 for
            two of one name.
        MemberError: See ``lostbits.members``.
    """
    forbidden = {m[1:] for m in methods if isinstance(m, str) and m.startswith("-")}
    for name in forbidden - set(MEMBERS.names):
        raise MEMBERS.unknown(name, close_match(name, MEMBERS.names))
    chosen = [m for m in methods if not (isinstance(m, str) and m.startswith("-"))]
    if forbidden and chosen:
        raise _no_choice(methods)
    named = chosen or [r for r in MEMBERS.all() if r.name not in forbidden]
    found = [_found(each, iterations, made=each in chosen) for each in named]
    if not found:
        raise _no_choice(methods)
    _check_once([recovery.name for recovery in found])
    order = {name: number for number, name in enumerate(MEMBERS.names)}
    return tuple(sorted(found, key=lambda r: order.get(r.name, len(order))))


def _found(given: str | Recovery, iterations: int | None, *, made: bool) -> Recovery:
    """The member; the caller's settings of one that is made stay as they are."""
    found = MEMBERS.find(given)
    own = made and found is given
    learns = any(f.name == "iterations" for f in fields(found)) if is_dataclass(found) else False
    if own or iterations is None or not learns:
        return found
    return replace(found, iterations=iterations)  # type: ignore[type-var]


def _check_once(names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise RecoveryError("R007", f"--methods {name}", f"{count} of them")


def _no_choice(methods: Sequence[str | Recovery]) -> RecoveryError:
    return RecoveryError(
        "R005",
        f"--methods {','.join(m if isinstance(m, str) else m.name for m in methods)}",
        "both, or none left",
    )
