"""The pages of docs/ are complete: members have pages and pages have members, commands exist."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lostbits.backends import backend as find_backend
from lostbits.cli import commands
from lostbits.cli.app import opened
from lostbits.estimator import Estimator
from lostbits.estimators import ALL as ESTIMATORS
from lostbits.exporters import ALL as EXPORTERS
from lostbits.plan.tensor_settings import Override
from lostbits.recoveries import ALL as RECOVERIES
from lostbits.recovery import Recovery
from lostbits.runtime.goal import Goal
from lostbits.targets import ALL as TARGETS
from lostbits.targets import target as find_target
from lostbits.verbs.choice import choose
from lostbits.verbs.export import chosen_exporters

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
_SHELL = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_EXAMPLE = re.compile(r"<!-- example: (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


# ---- members --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "members"),
    [("recoveries", RECOVERIES), ("ranges", ESTIMATORS)],
    ids=["recoveries", "ranges"],
)
def test_every_method_has_its_page_and_every_page_its_method(
    folder: str, members: Sequence[Recovery | Estimator]
) -> None:
    names = [m.name for m in members]
    assert sorted(p.stem for p in (DOCS / folder).glob("*.md")) == sorted([*names, "index"])
    index = text(DOCS / folder / "index.md")
    listed = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\)", index, re.MULTILINE)
    assert listed == [(name, name) for name in names]
    for member in members:
        title, _, line = text(DOCS / folder / f"{member.name}.md").splitlines()[:3]
        assert title == f"# {member.name}"
        assert line.lower() == f"{member.title.lower()}."


@pytest.mark.parametrize("member", RECOVERIES, ids=lambda m: m.name)
def test_the_facts_of_a_recovery_are_those_of_the_code(member: Recovery) -> None:
    head = text(DOCS / "recoveries" / f"{member.name}.md").split("\n## ")[0]
    facts = dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", head, re.MULTILINE))
    assert facts == {
        "stage": member.stage,
        "keeps the float function": "yes" if member.keeps_function else "no",
        "source": member.source,
    }


def _platforms() -> list[Path]:
    return [p for p in sorted((DOCS / "platforms").glob("*.md")) if p.stem != "index"]


def test_every_target_has_one_page_and_every_page_its_targets() -> None:
    lines = [text(page).splitlines()[2] for page in _platforms()]
    assert all(line.startswith("Targets: `") for line in lines), lines
    named = [name for line in lines for name in re.findall(r"`([\w-]+)`", line)]
    assert sorted(named) == sorted(t.name for t in TARGETS)


def test_every_format_is_in_the_table_of_one_page_with_its_files() -> None:
    row = re.compile(r"^\| `([\w.-]+)` \| ((?:`[\w.-]+`(?:, )?)+) \|", re.MULTILINE)
    pages = [text(page) for page in (DOCS / "platforms").glob("*.md")]
    rows = [found for page in pages for found in row.findall(page)]
    files = {name: set(re.findall(r"`([^`]+)`", cell)) for name, cell in rows}
    assert len(files) == len(rows), "a format stands in two tables"
    assert set(files) == {e.name for e in EXPORTERS}
    for each in EXPORTERS:
        alone = any(name.endswith(".onnx") for name in each.files)
        assert files[each.name] == {*each.files, *(() if alone else ("model.onnx",))}


# ---- commands -------------------------------------------------------------------------------


def _calls() -> Iterator[tuple[str, list[str]]]:
    """Calls of lostbits in the shell examples of all pages: page and words."""
    for page in PAGES:
        for block in _SHELL.findall(text(page)):
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                if line.strip().startswith("lostbits "):
                    yield str(page.relative_to(ROOT)), shlex.split(line, comments=True)[1:]


@pytest.mark.slow
def test_commands_of_the_pages_are_understood() -> None:
    """Verbs, options and the names behind them exist; nothing is run."""
    verbs: dict[str, Any] = {verb.name: opened(verb) for verb in commands.ALL}
    calls = list(_calls())
    assert {verb for _, (verb, *_) in calls} >= {"diagnose", "recover", "export", "verify"}
    for page, (verb, *rest) in calls:
        assert verb in verbs, page
        _look_up(verbs[verb].make_context(verb, rest).params)


def _look_up(given: dict[str, Any]) -> None:
    """Names that the parser takes as any text; files of users are not there."""
    name = given.get("target") or "snpe"
    if not name.endswith(".toml") or name.startswith("docs/"):
        find_target(name)
    choose((given.get("methods") or "adaround").split(","))
    Goal.parse(given.get("goal") or "sqnr_db>=1")
    chosen_exporters((given.get("to") or "qdq").split(","))
    find_backend(given.get("backend") or "onnxruntime")
    for wish in given.get("settings") or ():
        Override.parse(wish)


# ---- examples -------------------------------------------------------------------------------


def test_pages_show_the_examples_as_they_are() -> None:
    shown = [match for page in PAGES for match in _EXAMPLE.findall(text(page))]
    for name, block in shown:
        assert block == text(EXAMPLES / name), f"copy docs/examples/{name} into its page"
    linked = {n for page in PAGES for n in re.findall(r"\bexamples/([\w.]+)\)", text(page))}
    files = {p.name for p in EXAMPLES.iterdir() if p.is_file()}
    assert {name for name, _ in shown} | linked == files


def test_the_notebook_is_kept_without_outputs() -> None:
    content = text(DOCS / "demo.ipynb")
    assert '"outputs": []' in content
    assert not re.search(r'"(?:output_type|execution_count": \d)', content)
