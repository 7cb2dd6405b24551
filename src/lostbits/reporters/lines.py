"""Lines for a terminal of 80 columns: names that lose their middle, tables that never fold."""

import io
import math
import re
from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from lostbits.language import Language, Message
from lostbits.quoting import visible
from lostbits.results.sites import SiteReport

WIDTH = 80
_BLOCK = "█"
_LEAST = 1e-9  # share that is drawn at all
_GIVEN = re.compile(r"onnx::|\W*\d+$")  # what exporters call constants that have no name

Align = Literal["left", "right"]


def short(name: str, most: int) -> str:
    """A name without its middle, where it is wider than ``most`` columns.

    >>> short("block2.depthwise.conv.weight", 20)
    'block2.dep….weight'
    >>> short("conv", 20)
    'conv'
    """
    name = visible(name)
    if cell_len(name) <= most:
        return name
    tail = (most - 1) * 2 // 5
    head = most - 2 - tail
    return f"{_first(name, head)}…{_first(name[::-1], tail)[::-1]}"


def _first(text: str, most: int) -> str:
    """The first letters of a text that take at most so many columns."""
    taken = 0
    for number, letter in enumerate(text):
        taken += cell_len(letter)
        if taken > most:
            return text[:number]
    return text


def shown_name(tensor: str, node: str) -> str:
    """The tensor's name, or the layer's where an exporter has made that of the tensor up.

    >>> shown_name("onnx::Conv_911", "/layer1/conv/Conv"), shown_name("conv.weight", "/conv")
    ('/layer1/conv/Conv', 'conv.weight')
    """
    return node if node and _GIVEN.match(tensor) else tensor


def name_of(site: SiteReport | None, tensor: str) -> str:
    """What a table shows of a site."""
    return tensor if site is None else shown_name(tensor, site.node)


def bar(share: float, width: int, most: float = 1.0) -> str:
    """A bar for a share, as long as it is large; a negative one is drawn to the left of an axis.

    Args:
        share: What is drawn.
        width: Columns of the whole.
        most: Share that fills it.

    >>> bar(0.5, 10), bar(-0.01, 10)
    ('█████', '')
    """
    if not math.isfinite(share) or share <= 0:
        return ""
    return _BLOCK * min(round(width * share / most), width)


def bars(shares: Sequence[float], width: int) -> list[str]:
    """Bars of several shares on one axis; where some are negative, these lie left of it.

    >>> bars([0.6, -0.2], 8)
    ['  ██████', '██']
    """
    drawn = [share if _LEAST < abs(share) < math.inf else 0.0 for share in shares]
    left, right = -min([0.0, *drawn]), max([0.0, *drawn])
    unit = width / ((left + right) or 1.0)
    before = round(left * unit)
    return [_beside(share, unit, before) for share in drawn]


def _beside(share: float, unit: float, before: int) -> str:
    length = round(abs(share) * unit)
    if share >= 0:
        return (" " * before + _BLOCK * length).rstrip()
    return (" " * (before - length) + _BLOCK * length).rstrip()


def told(message: Message | str, language: Language) -> str:
    """A message in a language, with no letter that moves the cursor."""
    text = message.told(language) if isinstance(message, Message) else message
    return visible(text)


def pairs(rows: Sequence[tuple[str, Text]], width: int = WIDTH) -> list[Text]:
    """Labels with what belongs to them, whose further lines hang below the first.

    What must not be wrapped, such as a command, stays on one line however long it is.
    """
    indent = max((cell_len(label) for label, _ in rows), default=0) + 1
    lines: list[Text] = []
    for label, content in rows:
        whole = content.no_wrap or not content.plain
        parts = [content] if whole else content.wrap(_RULER, width - indent)
        for number, part in enumerate(parts):
            part.rstrip()
            start = Text(_padded("" if number else label, indent), style="dim")
            lines.append(_kept_whole(Text.assemble(start, part)))
    return lines


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str | Text]], aligned: Sequence[Align]
) -> list[Text]:
    """Rows below their heads, a line each; columns without anything in them are left out.

    A cell of one dot holds nothing, too: a column of them says nothing.
    """
    cells = [[c if isinstance(c, Text) else Text(visible(c)) for c in row] for row in rows]
    kept = [n for n in range(len(heads)) if any(r[n].plain.strip() not in ("", "·") for r in cells)]
    shown = [[Text(heads[n], style="dim") for n in kept], *([r[n] for n in kept] for r in cells)]
    widths = [max(cell.cell_len for cell in column) for column in zip(*shown, strict=True)]
    sides = [aligned[n] for n in kept]
    lines = shown if any(cell.plain for cell in shown[0]) else shown[1:]
    return [_line(row, widths, sides) for row in lines]


_RULER = Console(width=WIDTH, force_terminal=False, file=io.StringIO())  # for wrapping alone


def _line(cells: Sequence[Text], widths: Sequence[int], sides: Sequence[Align]) -> Text:
    line = Text()
    for cell, width, side in zip(cells, widths, sides, strict=True):
        space = Text(" " * (width - cell.cell_len))
        line.append_text(Text.assemble(*((space, cell) if side == "right" else (cell, space))))
        line.append("  ")
    line.rstrip()
    return _kept_whole(line)


def _kept_whole(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ignore"
    return line


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
