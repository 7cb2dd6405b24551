"""Results of version 0.1 are read, shown and written anew, with every figure as it was.

Texts are told in words of today, but for those of which today has no words.

``data/result_1_*.json`` were written by version 0.1: a recovery with an export and a check, and a
diagnosis of its file with a bound on the memory.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lostbits import read, write
from lostbits.cli import app as cli
from lostbits.language import Language
from lostbits.reporters.html import formats
from lostbits.reporters.schema import plain
from runs import assert_valid

OLD = sorted((Path(__file__).parents[1] / "data").glob("result_1_*.json"))
pytestmark = pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)


def placed(old: Path, folder: Path) -> Path:
    (folder / "result.json").write_bytes(old.read_bytes())
    return folder


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+(?:\.\d+)?", text))


def retold(old: str, new: dict[str, Any], entry: Any) -> bool:
    """Whether a text is the old one, or says the same of the same figures in words of today."""
    if old == new["text"]:
        return True
    same = entry is not None and {n: new[n] for n in ("code", "figures")} == entry
    return same and set(numbers(new["text"])) <= set(numbers(old))


def differences(old: Any, new: Any, known: dict[str, Any], place: str = "") -> list[str]:
    """Where a value of the old form is another one in the new form, by codes of the old texts."""
    if isinstance(new, dict) and set(new) == {"text", "code", "figures"}:
        same = retold(old, new, known.get(old))
        return [] if same else [f"{place}: {old!r} is {new['text']!r}"]
    if isinstance(old, dict) and isinstance(new, dict):
        return [d for key in old for d in differences(old[key], new[key], known, f"{place}.{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [d for i, pair in pairs for d in differences(*pair, known, f"{place}[{i}]")]
    return [] if old == new else [f"{place}: {old!r} is {new!r}"]


@pytest.mark.slow
def test_every_figure_and_every_text_stays(old: Path, tmp_path: Path) -> None:
    found = read(placed(old, tmp_path))
    before = json.loads(old.read_text(encoding="utf-8"))
    assert before.pop("format") == "lostbits-result/1"
    known = before.pop("sentences")
    assert known
    for site in before["sites"]:
        site["utilisation"] = site["utilisation"] or None  # of a bias, where nothing is counted
    assert differences(before, plain(found), known) == []
    assert_valid(found)
    assert found.verdict.code.startswith("verdict.")
    assert "的" in found.verdict.told(Language.CHINESE)


def test_what_was_read_is_written_and_read_again(old: Path, tmp_path: Path) -> None:
    found = read(placed(old, tmp_path))
    write(found, tmp_path / "new")
    assert '"lostbits-result/2"' in (tmp_path / "new" / "result.json").read_text(encoding="utf-8")
    assert read(tmp_path / "new") == found


def test_the_command_report_makes_its_page(old: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["report", str(placed(old, tmp_path))])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for site in read(tmp_path).sites:
        assert site.tensor in page and formats.decibel(site.sqnr_db) in page
