"""Write the tables of the documentation from what was saved in benchmarks/results.

A table stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``; the words around it are
written by hand::

    python -m benchmarks.page
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.prepared import ROOT
from benchmarks.results import tables
from benchmarks.table import Table

PAGES = tuple(ROOT / "docs" / name for name in ("benchmarks.md", "scaling.md"))
_BEGIN = re.compile(r"<!-- (\w+):begin -->")
_PLACE = re.compile(r"(<!-- (\w+):begin -->\n).*?(<!-- \2:end -->)", re.DOTALL)


def filled(pages: Mapping[Path, str], known: Mapping[str, Table]) -> dict[Path, str]:
    """Return the pages with every table in its place.

    Raises:
        ValueError: When a place has no end or no table, or a table not exactly one place.
    """
    begun = [name for text in pages.values() for name in _BEGIN.findall(text)]
    ended = [match[2] for text in pages.values() for match in _PLACE.finditer(text)]
    if begun != ended:
        raise ValueError(f"places {sorted(set(begun) - set(ended))} have no end")
    if sorted(begun) != sorted(known):
        wrong = sorted(set(begun) ^ set(known)) or sorted({n for n in begun if begun.count(n) > 1})
        raise ValueError(f"every table has one place, and every place one table, but not {wrong}")
    return {
        path: _PLACE.sub(lambda place: f"{place[1]}{known[place[2]].markdown()}\n{place[3]}", text)
        for path, text in pages.items()
    }


def main() -> None:
    """Write the pages; nothing is written where something does not fit."""
    pages = {path: path.read_text(encoding="utf-8") for path in PAGES}
    for path, text in filled(pages, tables()).items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
