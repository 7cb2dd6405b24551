"""Every figure of a result is a number, or there is no result."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass

from lostbits.errors import SimulationError

_NAMES = ("tensor", "node", "method")  # fields that say what a row is about


def check_finite(result: object) -> None:
    """Nothing, if every figure is finite; what has none, such as an SQNR without error, is None.

    Raises:
        SimulationError: S008 for the first one that is not, with the tensor or layer it is of.
    """
    for where, value in _odd(result, "result", ""):
        raise not_finite(where, str(value))


def not_finite(where: str, found: str) -> SimulationError:
    """S008."""
    return SimulationError("S008", where, found)


def _odd(value: object, field: str, about: str) -> Iterator[tuple[str, float]]:
    """Figures that are not finite, with the field they stand in and what they are about."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield f"{field} of {about!r}" if about else field, value
    elif is_dataclass(value):
        yield from _odd(vars(value), field, about)
    elif isinstance(value, Mapping):
        about = next((str(value[n]) for n in _NAMES if value.get(n)), about)
        for name, inner in value.items():
            yield from _odd(inner, f"{field}.{name}", about)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _odd(inner, field, about)
