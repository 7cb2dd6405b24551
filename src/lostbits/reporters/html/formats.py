"""Numbers as a reader wants them; all are filters of the templates."""

import math
import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

NONE = "–"


def number(value: float | None) -> str:
    """Four significant digits.

    >>> number(0.000012344), number(12.0), number(None)
    ('1.234e-05', '12', '–')
    """
    return NONE if value is None else f"{value:.4g}"


def brief(value: float | None) -> str:
    """Three significant digits, for narrow columns."""
    return NONE if value is None else f"{value:.3g}"


def count(value: float) -> str:
    """A whole number with thousands apart."""
    return f"{value:,.0f}"


def percent(value: float | None) -> str:
    """One decimal.

    >>> percent(0.12345), percent(-0.00001)
    ('12.3%', '0.0%')
    """
    return NONE if value is None else f"{round(value, 6) + 0.0:z.1%}"


def decibel(value: float | None) -> str:
    """One decimal, without the unit."""
    return NONE if value is None else f"{value:z.1f}"


def signed(value: float | None) -> str:
    """Decibels won or lost.

    >>> signed(0.04), signed(-1.26)
    ('+0.0', '-1.3')
    """
    return NONE if value is None else f"{value:+z.1f}"


def level_db(value: float | None) -> float | None:
    """A ratio of powers in dB; None where it has none."""
    return 10 * math.log10(value) if value is not None and value > 0 else None


def level(value: float | None) -> str:
    """The same with its unit, as a reader wants it.

    >>> level(0.001), level(0.0), level(None)
    ('-30.0 dB', '–', '–')
    """
    found = level_db(value)
    return NONE if found is None else f"{found:z.1f} dB"


def bits(value: float | None) -> str:
    """One decimal; a loss that rounds to nothing is a dot."""
    return NONE if value is None else f"{value:z.1f}" if abs(value) >= 0.05 else "·"


def span(lo: float, hi: float) -> str:
    """A closed interval."""
    return f"[{brief(lo)}, {brief(hi)}]"


def several(values: list[Any]) -> str:
    """A few numbers in full, many by their first and their count."""
    shown = ", ".join(number(v) for v in values[:3])
    return shown if len(values) <= 3 else f"{shown}, … (×{len(values)})"


def memory(value: float) -> str:
    """Bytes as MiB."""
    return f"{value / 2**20:,.0f} MiB"


def seconds(value: float) -> str:
    """One decimal with unit."""
    return f"{value:.1f} s"


def breakable(name: str) -> Markup:
    """A long name that may break after its separators.

    >>> print(breakable("a/b<c"))
    a/<wbr>b&lt;c
    """
    return Markup("<wbr>").join(re.split(r"(?<=[/_.:])(?=.)", name))


def fill(share: float) -> float:
    """How much of a cell is coloured, 0 to 1."""
    return round(min(max(share, 0.0), 1.0), 3)


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "brief": brief,
    "count": count,
    "percent": percent,
    "decibel": decibel,
    "bits": bits,
    "level": level,
    "level_db": level_db,
    "signed": signed,
    "memory": memory,
    "seconds": seconds,
    "fill": fill,
    "breakable": breakable,
}
