"""Results of benchmarks: kept as JSON, written into the pages, listed in benchmarks/README.md."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import page, results
from benchmarks.results import Rows, keep, read, recorded, tables, written
from benchmarks.stamp import Machine, Stamp, now
from benchmarks.table import Column, Row, Table

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
FILES = sorted(results.FOLDER.glob("*.json"))
MACHINE = Machine("a processor", 2, 24)
OLD = Stamp("1234567", "2026-01-01", MACHINE, {"python": "3.11"})
NEW = Stamp("89abcde", "2026-02-01", MACHINE, {"python": "3.11"}, "load 0.1")
COLUMNS = (Column("target"), Column("peak", "MiB", ".1f"))


def table(*rows: tuple[Stamp, str, float | None], n: str = "one run") -> Table:
    return Table("small", n, 1, COLUMNS, tuple(Row((key, v), s) for s, key, v in rows))


# ---- what the repository holds --------------------------------------------------------------


def test_the_pages_are_what_the_command_writes() -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in page.PAGES}
    stale = [p.name for p, text in page.filled(pages, tables()).items() if text != pages[p]]
    assert not stale, f"make bench-page writes {stale}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_result_says_of_what_it_is(path: Path) -> None:
    kept = read(path)
    assert kept.name == path.stem
    assert kept.n and kept.rows
    assert len(kept.keyed()) == len(kept.rows), "two rows of the same keys"
    assert all(len(row.cells) == len(kept.columns) for row in kept.rows)
    assert written(kept) == path.read_text(encoding="utf-8"), "not as it would be written"
    for stamp in kept.stamps:
        assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?|\d+\.\d+.*", stamp.commit)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", stamp.date)
        assert stamp.machine.cpu and stamp.machine.cores > 0 and stamp.machine.memory_gib > 0
        assert not {"/", "\\"} & set(stamp.machine.cpu + stamp.load), "a path"
        assert stamp.versions["lostbits"] and stamp.versions["python"]


def _listed() -> list[list[str]]:
    rows = re.findall(r"^\| (.+) \|$", README, re.MULTILINE)
    return [row.split(" | ") for row in rows[1:]]


def test_the_readme_lists_every_result_once() -> None:
    named = [name for row in _listed() for name in re.findall(r"`(\w+)`", row[2])]
    assert sorted(named) == [path.stem for path in FILES]


def test_the_commands_of_the_readme_exist() -> None:
    commands = re.findall(r"`python -m ([\w.]+)", README)
    assert len(commands) >= len(_listed())
    for name in commands:
        module = import_module(name)
        main = import_module(f"{name}.__main__") if hasattr(module, "__path__") else module
        assert callable(main.main), name


def test_every_benchmark_is_in_the_readme() -> None:
    mains = [p for p in (ROOT / "benchmarks").rglob("*.py") if "\n    main()" in p.read_text()]
    opened = {p for p in mains if "import parser" in p.read_text() or "recorded(" in p.read_text()}
    names = {p.parent.name if p.stem == "__main__" else p.stem for p in opened}
    assert names and all(f"`python -m benchmarks.{name}" in README for name in names)


def test_the_sections_of_the_readme_exist() -> None:
    for row in _listed():
        links = re.findall(r"\]\(([^)#]+)#([^)]+)\)", row[3])
        assert links and row[4]
        for name, anchor in links:
            text = (ROOT / "benchmarks" / name).read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.slow
def test_a_benchmark_runs_as_a_module_from_the_root() -> None:
    command = [sys.executable, "-m", "benchmarks.diagnosis", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--save" in done.stdout


# ---- a table --------------------------------------------------------------------------------


def test_a_run_of_some_rows_leaves_the_others_with_their_stamp() -> None:
    before = table((OLD, "a", 1.0), (OLD, "b", 2.0))
    after = before.updated(table((NEW, "b", 3.0), (NEW, "c", 4.0)))
    assert after == table((OLD, "a", 1.0), (NEW, "b", 3.0), (NEW, "c", 4.0))
    assert after.stamps == [OLD, NEW]


def test_a_run_of_another_size_replaces_the_table() -> None:
    newer = table((NEW, "b", 3.0), n="two runs")
    assert table((OLD, "a", 1.0)).updated(newer) == newer
    other = replace(newer, n="one run", columns=(Column("target"), Column("peak", "GiB")))
    assert table((OLD, "a", 1.0)).updated(other) == other


def test_the_markdown_says_of_which_run_a_row_is() -> None:
    shown = table((OLD, "a|b", 1.0), (NEW, "b\nc", None)).markdown().splitlines()
    assert shown == [
        "| target | peak, MiB | run |",
        "|---|---|---|",
        "| a\\|b | 1.0 | (1) |",
        "| b c |  | (2) |",
        "",
        "*One run. (1) 2026-01-01; 1234567; a processor, 2 cores, 24 GiB. "
        "(2) 2026-02-01; 89abcde; a processor, 2 cores, 24 GiB; load 0.1.*",
    ]


def test_a_column_without_a_figure_is_not_shown() -> None:
    assert table((OLD, "a", None)).markdown().startswith("| target |\n|---|\n| a |\n")


_TEXTS = st.text(max_size=20)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9)


@pytest.mark.slow
@given(st.lists(st.tuples(_TEXTS, st.none() | _NUMBERS | _TEXTS), min_size=1, max_size=5), _TEXTS)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | float | None]], n: str
) -> None:
    kept = Table("any", n, 1, COLUMNS, tuple(Row(row, OLD) for row in rows))
    path = tmp_path_factory.mktemp("results") / "any.json"
    path.write_text(written(kept), encoding="utf-8")
    assert read(path) == kept
    body = kept.markdown().split("\n")[2 : 2 + len(rows)]
    shown = 3 if any(cell is not None for _, cell in rows) else 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in body} == {shown}


# ---- recording ------------------------------------------------------------------------------


def test_rows_are_printed_at_once_and_kept_where_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    with recorded("small", COLUMNS, n="one run") as rows:
        rows.add("a", 1.25)
    assert "| target | peak, MiB |\n|---|---|\n| a | 1.2 |\n" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt), recorded("small", COLUMNS, n="x", save=True) as rows:
        rows.add("a", 1.23456789)
        raise KeyboardInterrupt
    assert read(tmp_path / "small.json").rows[0].cells == ("a", 1.23457)


def test_saving_again_merges(tmp_path: Path) -> None:
    keep(table((OLD, "a", 1.0), (OLD, "b", 2.0)), tmp_path)
    keep(table((NEW, "a", 5.0)), tmp_path)
    assert read(tmp_path / "small.json") == table((NEW, "a", 5.0), (OLD, "b", 2.0))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("a", float("nan")), "not finite"),
        (("a", float("inf")), "not finite"),
        (("a", 1.0, 2.0), "3 cells for 2 columns"),
        (("first", 1.0), "second row"),
    ],
)
def test_a_row_that_means_nothing_is_refused(cells: tuple[str | float, ...], said: str) -> None:
    rows = Rows(Table("small", "one run", 1, COLUMNS))
    rows.add("first", 0.0)
    with pytest.raises(ValueError, match=said):
        rows.add(*cells)
    assert len(rows.table.rows) == 1


def test_the_stamp_of_now_names_code_day_and_machine() -> None:
    stamp = now()
    assert re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?|\d+\.\d+.*", stamp.commit)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stamp.date)
    assert stamp.machine.cpu and stamp.machine.cores > 0 and stamp.machine.memory_gib >= 0
    assert set(stamp.versions) == {"python", "lostbits", "numpy", "onnx", "onnxruntime", "torch"}


# ---- a page ---------------------------------------------------------------------------------


def filled(text: str, **known: Table) -> str:
    return page.filled({Path("page.md"): text}, known)[Path("page.md")]


def test_words_around_a_table_stay() -> None:
    kept = table((OLD, "a", 1.0))
    before = "# Title\n\n<!-- small:begin -->\nold\n<!-- small:end -->\n\nEnd.\n"
    after = filled(before, small=kept)
    assert after == before.replace("old", kept.markdown())
    assert filled(after, small=kept) == after


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<!-- small:begin -->\n",
        "<!-- small:begin -->\n<!-- other:end -->\n",
        "<!-- small:begin -->\n<!-- small:end -->\n<!-- other:begin -->\n<!-- other:end -->\n",
        "<!-- small:begin -->\n<!-- small:end -->\n" * 2,
    ],
    ids=["no place", "no end", "another end", "no table", "two places"],
)
def test_a_table_and_its_place_belong_together(text: str) -> None:
    with pytest.raises(ValueError, match=r"small|other"):
        filled(text, small=table((OLD, "a", 1.0)))
