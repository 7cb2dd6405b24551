"""Lines of a terminal: nothing is lost, nothing is too wide, and no mark begins a line."""

import doctest

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from lostbits.quoting import visible
from lostbits.runtime import label_offset
from lostbits.system import text_lines
from lostbits.system.text_lines import WIDTH, aligned, wrapped

LETTERS = st.text(alphabet="ab/.-(), 層量化的張量，。：「」（）ー１Ω\t\n", max_size=300)


def test_examples() -> None:
    for module in (text_lines, label_offset):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed


@given(LETTERS)
@example("量" * 39 + "。化")
@example("a" * 200 + " " + "b" * 90)
def test_wrapping_keeps_every_letter_and_the_width(text: str) -> None:
    lines = wrapped(text, "標籤  ")
    told = "".join(visible(text).split())
    assert "".join("".join(lines)[len("標籤  ") :].split()) == told
    for line in lines[1:]:
        assert not line.strip()[:1] or line.strip()[0] not in "，。：」）"
    wide = [line for line in lines if cell_len(line) > WIDTH]
    assert all(" " not in line[6:].strip() for line in wide)


@given(st.lists(st.tuples(LETTERS, LETTERS), min_size=1, max_size=4))
def test_columns_begin_below_each_other(rows: list[tuple[str, str]]) -> None:
    width = max(cell_len(visible(first)) for first, _ in rows) + 2
    for line, row in zip(aligned(rows), rows, strict=True):
        first, second = map(visible, row)
        assert line == f"{first}{' ' * (width - cell_len(first))}{second}".rstrip()
