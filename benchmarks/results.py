"""Figures are printed while they are measured, and kept as JSON where that is asked for.

A benchmark opens a table and adds its rows::

    columns = (Column("samples"), Column("peak", "MiB", ".0f"))
    with recorded("memory", columns, n="one run", save=arguments.save) as rows:
        rows.add(64, 2433.0)

``benchmarks/results/NAME.json`` has one row a line, each with the stamp of its own run: a run of
some rows replaces those and leaves the others as they are. ``python -m benchmarks.page`` writes the
tables of the documentation from these files.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, final

from benchmarks.stamp import Machine, Stamp, now
from benchmarks.table import Cell, Column, Row, Table, line, rule

FOLDER = Path(__file__).resolve().parent / "results"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--save``, for the docstring of a benchmark."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--save", action="store_true", help="keep the rows in benchmarks/results")
    return made


@final
class Rows:
    """Rows of a table while they are measured: each is printed at once.

    Attributes:
        table: What there is so far.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._stamp = now()
        self._remarks: list[str] = []
        heads = [str(column) for column in table.columns]
        print(f"\n## {table.name} ({table.n})\n\n{line(heads)}\n{rule(heads)}", flush=True)

    def add(self, *cells: Cell) -> None:
        """Print and keep a row; cells that are missing at its end are empty.

        Raises:
            ValueError: When there are more cells than columns, a number is not finite, or there is
                a row of these keys already.
        """
        columns, key = self.table.columns, cells[: self.table.keys]
        if len(cells) > len(columns):
            raise ValueError(f"{self.table.name}: {len(cells)} cells for {len(columns)} columns")
        if key in self.table.keyed():
            raise ValueError(f"{self.table.name}: a second row of {key}")
        whole = (*cells, *[None] * (len(columns) - len(cells)))
        kept = [_plain(cell, column) for cell, column in zip(whole, columns, strict=True)]
        self.table = replace(self.table, rows=(*self.table.rows, Row(tuple(kept), self._stamp)))
        shown = [column.shown(cell) for cell, column in zip(kept, columns, strict=True)]
        print(line(shown), flush=True)

    def remark(self, text: str) -> None:
        """Print a line below the table; it is not kept."""
        self._remarks.append(text)

    def end(self) -> None:
        """Print the remarks."""
        print("\n".join(["", *self._remarks]), flush=True)


def _plain(cell: Cell, column: Column) -> Cell:
    """The cell as it is kept: six digits of a float, more than any table shows."""
    if not isinstance(cell, float):
        return cell
    if not math.isfinite(cell):
        raise ValueError(f"{column}: {cell} is not finite")
    return float(f"{cell:.6g}")


@contextmanager
def recorded(
    name: str, columns: Sequence[Column], *, n: str, keys: int = 1, save: bool = False
) -> Iterator[Rows]:
    """Open a table; what has been added is saved even where the rest fails or is interrupted.

    Args:
        name: Of the file and of the place on a page.
        columns: Titles, units, formats.
        n: What a figure rests on, such as ``64 photographs``.
        keys: So many columns, the first ones, tell one row from another.
        save: Whether to keep the rows in ``benchmarks/results``.
    """
    rows = Rows(Table(name, n, keys, tuple(columns)))
    try:
        yield rows
    finally:
        rows.end()
        if save and rows.table.rows:
            keep(rows.table, FOLDER)


def keep(table: Table, folder: Path) -> None:
    """Put the rows into the table's file in a folder."""
    path = folder / f"{table.name}.json"
    if path.exists():
        table = read(path).updated(table)
    folder.mkdir(exist_ok=True)
    path.write_text(written(table), encoding="utf-8")


def written(table: Table) -> str:
    """Return the table as JSON: one column, one stamp and one row a line."""
    stamps = table.stamps
    rows = [{"stamp": stamps.index(row.stamp), "cells": row.cells} for row in table.rows]
    head = {"name": table.name, "n": table.n, "keys": table.keys}
    parts = [f' "{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in head.items()]
    lists = {"columns": map(asdict, table.columns), "stamps": map(asdict, stamps), "rows": rows}
    for key, items in lists.items():
        shown = [json.dumps(item, ensure_ascii=False, allow_nan=False) for item in items]
        parts.append(f' "{key}": [\n  ' + ",\n  ".join(shown) + "\n ]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def read(path: Path) -> Table:
    """Return the table of a file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    stamps = [Stamp(**{**s, "machine": Machine(**s["machine"])}) for s in found["stamps"]]
    rows = [Row(tuple(row["cells"]), stamps[row["stamp"]]) for row in found["rows"]]
    columns = [Column(**column) for column in found["columns"]]
    return Table(found["name"], found["n"], found["keys"], tuple(columns), tuple(rows))


def tables() -> dict[str, Table]:
    """Return all that was saved, by name."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.json"))}
