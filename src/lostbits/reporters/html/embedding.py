"""JSON inside a page."""

import json
import math
from typing import Any

from markupsafe import Markup

from lostbits.language import Message

_DIGITS = 4  # significant digits of what is plotted; exact figures are text
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def json_text(data: Any) -> Markup:
    r"""Compact JSON that can stand inside ``<script>``: no name in it can end the element.

    >>> print(json_text({"</script>": 1 / 3}))
    {"\u003c/script\u003e":0.3333}
    """
    text = json.dumps(short(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.translate(_ESCAPES))


def short(data: Any) -> Any:
    """The same with floats cut to what a plot can show."""
    match data:
        case float() if not math.isfinite(data):
            return None
        case float():
            cut = float(f"{data:.{_DIGITS}g}")
            return int(cut) if cut.is_integer() and abs(cut) < 1e15 else cut
        case Message():
            return {"code": data.code, "figures": short(data.figures)}
        case dict():
            return {k: short(v) for k, v in data.items()}
        case list() | tuple():
            return [short(v) for v in data]
        case _:
            return data
