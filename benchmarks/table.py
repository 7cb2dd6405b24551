"""A table of figures, each with the run that it is of, and how it looks on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from benchmarks.stamp import Stamp

Cell = str | int | float | None


@final
@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: What it shows.
        unit: Of its figures, or empty.
        format: How its numbers are printed, such as ``.1f``; texts are printed as they are.
    """

    title: str
    unit: str = ""
    format: str = ""

    def __str__(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def shown(self, cell: Cell) -> str:
        """Return a cell as it is printed: on one line, and nothing in it ends the cell."""
        text = format(cell, self.format) if isinstance(cell, int | float) else cell or ""
        return " ".join(text.split()).replace("|", "\\|")


@final
@dataclass(frozen=True)
class Row:
    """Cells, one for each column, and the stamp of the run that they are of."""

    cells: tuple[Cell, ...]
    stamp: Stamp


@final
@dataclass(frozen=True)
class Table:
    """A table as it is kept.

    Attributes:
        name: Of its file, and of its place on a page.
        n: What a figure rests on, such as ``64 photographs``.
        keys: So many columns, the first ones, tell one row from another.
        columns: Titles, units, formats.
        rows: In the order of the page.
    """

    name: str
    n: str
    keys: int
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()

    def updated(self, newer: Table) -> Table:
        """Return this table with the newer one's rows in the place of those with the same keys.

        A table of another form, or of another ``n``, is replaced as a whole.
        """
        if replace(self, rows=()) != replace(newer, rows=()):
            return newer
        fresh = newer.keyed()
        kept = [fresh.pop(row.cells[: self.keys], row) for row in self.rows]
        return replace(self, rows=(*kept, *fresh.values()))

    def keyed(self) -> dict[tuple[Cell, ...], Row]:
        """Return the rows by their keys."""
        return {row.cells[: self.keys]: row for row in self.rows}

    @property
    def stamps(self) -> list[Stamp]:
        """Those of all rows, each once."""
        found: list[Stamp] = []
        for row in self.rows:
            if row.stamp not in found:
                found.append(row.stamp)
        return found

    def markdown(self) -> str:
        """Return the table and, below it, n and the stamps; columns without a figure are left out.

        Where rows are of several runs, a last column says of which.
        """
        stamps, wanted = self.stamps, self._filled()
        heads = [str(self.columns[i]) for i in wanted]
        lines = [[self.columns[i].shown(row.cells[i]) for i in wanted] for row in self.rows]
        marks = [str(stamp) for stamp in stamps]
        if len(stamps) > 1:
            heads.append("run")
            for cells, row in zip(lines, self.rows, strict=True):
                cells.append(f"({stamps.index(row.stamp) + 1})")
            marks = [f"({number}) {mark}" for number, mark in enumerate(marks, 1)]
        below = ". ".join([self.n[:1].upper() + self.n[1:], *marks])
        return "\n".join([line(heads), rule(heads), *map(line, lines), "", f"*{below}.*"])

    def _filled(self) -> list[int]:
        """Columns in which some row has a figure."""
        columns = range(len(self.columns))
        return [i for i in columns if any(row.cells[i] is not None for row in self.rows)]


def line(cells: Sequence[str]) -> str:
    """Return one row of a Markdown table.

    >>> line(["a", "b"])
    '| a | b |'
    """
    return f"| {' | '.join(cells)} |"


def rule(heads: Sequence[str]) -> str:
    """Return the line between heads and rows.

    >>> rule(["a", "b"])
    '|---|---|'
    """
    return "|" + "---|" * len(heads)
