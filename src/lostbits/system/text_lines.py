"""Lines of a terminal: where a long text may go on below, and columns below each other.

A Chinese character is as wide as two letters, and a line may end behind any of them; elsewhere it
ends between words alone, since paths and names of tensors must stay whole.
"""

import re
from collections.abc import Sequence

from rich.cells import cell_len

from lostbits.quoting import visible

WIDTH = 80
_HAN, _MARKS = "\u2e80-\u2fff\u3100-\ua4cf\uf900-\ufaff", "\u3000-\u30ff\ufe30-\ufe4f\uff00-\uff60"
_PIECE = re.compile(
    rf"\s*(?:[（「]*[{_HAN}]|[^\s{_HAN}{_MARKS}]+|[{_MARKS}])(?:(?![（「])[{_MARKS}])*"
)


def wrapped(text: str, label: str = "") -> list[str]:
    """Lines of at most 80 columns, the first behind the label and the others below it.

    A word that is wider than a line stays whole.

    >>> wrapped("a word " * 12)[1]
    'word'
    >>> wrapped("量化" * 24)[1]
    '量化量化量化量化'
    """
    rows, indent = [""], " " * cell_len(label)
    for piece in _PIECE.findall(visible(text)):
        row = rows[-1] + piece if rows[-1] else piece.lstrip()
        if rows[-1] and len(indent) + cell_len(row) > WIDTH:
            rows.append(piece.lstrip())
        else:
            rows[-1] = row
    return [f"{indent if number else label}{row}".rstrip() for number, row in enumerate(rows)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with aligned columns; names of tensors are too long for boxes.

    >>> aligned([("name", "n"), ("a", "10")])
    ['name  n', 'a     10']
    """
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    padded = ([c + " " * (w - cell_len(c)) for c, w in zip(r, widths, strict=True)] for r in shown)
    return ["  ".join(row).rstrip() for row in padded]


def glossary(rows: Sequence[tuple[str, str]], indent: str = "") -> list[str]:
    """Rows of a name and what is said of it, which goes on below itself.

    >>> glossary([("a", "one"), ("long", "two")])
    ['a     one', 'long  two']
    """
    width = max((cell_len(visible(name)) for name, _ in rows), default=0) + 2
    lines = []
    for name, text in rows:
        shown = visible(name)
        lines += wrapped(text, indent + shown + " " * (width - cell_len(shown)))
    return lines
