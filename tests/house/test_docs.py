"""The documents say what the code does: codes, targets, dependencies, options, links, examples."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest

from lostbits.backends import ALL as BACKENDS
from lostbits.cli import commands
from lostbits.cli.app import opened
from lostbits.data import Preprocess
from lostbits.errors import messages
from lostbits.language import Language
from lostbits.target import Arithmetic, Placement, Rule, Target
from lostbits.targets import ALL, target
from lostbits.targets.toml_file import read_arithmetic
from tools import make_readme

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "lostbits"
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)


# ---- messages -------------------------------------------------------------------------------


def test_docstrings_and_pages_mention_existing_codes_only() -> None:
    mentions = re.compile(r"(?<!noqa: )\b[MDTSROEIBWUF]0\d\d\b")  # B006 is ruff's too
    known = messages.all_entries()
    pages = {str(p.relative_to(ROOT)): text(p) for p in PAGES}
    sources = {str(p.relative_to(ROOT)): text(p) for p in PACKAGE.rglob("*.py")}
    unknown = {
        f"{name}: {code}"
        for name, content in (pages | sources).items()
        for code in mentions.findall(content)
        if code not in known
    }
    assert not unknown, unknown


# ---- links ----------------------------------------------------------------------------------


def _links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", text(page), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not re.match(r"[a-z]+:", link):
                yield page, link


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_relative_links_hold() -> None:
    broken = []
    for page, link in _links():
        name, _, anchor = link.partition("#")
        goal = page.parent / name if name else page
        if not goal.exists() or (anchor and anchor not in _anchors(goal)):
            broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert not broken, broken


# ---- dependencies ---------------------------------------------------------------------------


def _declared() -> tuple[set[str], ...]:
    """Names of packages: to run, to verify, to measure, for torch, to scale, and to develop."""
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    groups = dict(project["optional-dependencies"])
    optional = ("dev", "ray", "torch", "metrics")
    develop, scale, torch, measure = (groups.pop(name) for name in optional)
    verify = [name for group in groups.values() for name in group]
    return tuple(
        {re.split(r"[^\w.-]", entry, maxsplit=1)[0] for entry in group}
        for group in (project["dependencies"], verify, measure, torch, scale, develop)
    )


def _rows(section: str) -> dict[str, str]:
    """First and second column of the table under a heading of docs/dependencies.md."""
    part = text(DOCS / "dependencies.md").split(f"## {section}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", part, re.MULTILINE)
    return dict(rows[1:])


def test_every_dependency_has_a_reason() -> None:
    sections = (
        "To run",
        "To verify",
        "To measure",
        "To load torch modules",
        "To scale",
        "To develop",
    )
    for section, packages in zip(sections, _declared(), strict=True):
        assert set(_rows(section)) == packages
        assert all(_rows(section).values())


def test_every_extra_of_a_backend_is_declared() -> None:
    extras = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    for member in BACKENDS:
        entries = extras.get(member.extra, []) if member.extra else ["onnxruntime"]
        assert any(entry.startswith(member.package or "onnxruntime") for entry in entries)


def test_vendored_files_have_a_reason() -> None:
    vendored = {f"`{p.relative_to(ROOT)}`" for p in PACKAGE.rglob("*.min.js")}
    assert set(_rows("Shipped inside")) == vendored


# ---- targets --------------------------------------------------------------------------------


def _target_table() -> str:
    """The built-in targets as docs/targets.md shows them."""
    lines = ["| name | platform | weights | activations | bias | placement | takes from outside |"]
    lines.append("|---|---|---|---|---|---|---|")
    for t in ALL:
        bias = "float" if t.bias_bits is None else f"int{t.bias_bits}"
        cells = (f"`{t.name}`", str(t.title), _rule(t.weights), _rule(t.activations), bias)
        lines.append(f"| {' | '.join(cells)} | `{t.placement.mode}` | {t.takes} |")
    return "\n".join(lines)


def _rule(rule: Rule) -> str:
    symmetry = "symmetric" if rule.symmetric else "asymmetric"
    granularity = "per channel" if rule.per_channel else "per tensor"
    return f"{rule.grid.name} {symmetry} {granularity}, `{rule.method}`"


def test_the_table_of_targets_is_that_of_the_code() -> None:
    page = text(DOCS / "targets.md")
    shown = page.split("<!-- targets:begin -->\n")[1].split("\n<!-- targets:end -->")[0]
    assert shown == _target_table(), f"the table should read\n{_target_table()}"


*EXAMPLES, OF_ARITHMETIC = blocks(DOCS / "targets.md", "toml")


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_targets_can_be_read(example: str, tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(example, encoding="utf-8")
    read = target(str(path))
    assert read.name == tomllib.loads(example)["name"]
    assert read not in ALL


def test_the_complete_example_has_every_key() -> None:
    complete = tomllib.loads(EXAMPLES[-1])
    kinds: list[tuple[Any, Any]] = [
        (Target, complete),
        (Rule, complete["weights"]),
        (Placement, complete["placement"]),
    ]
    for kind, table in kinds:
        assert set(table) == set(kind.__dataclass_fields__)


def test_the_example_of_an_arithmetic_has_every_key_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(OF_ARITHMETIC, encoding="utf-8")
    read, table = read_arithmetic(path), tomllib.loads(OF_ARITHMETIC)
    known = Arithmetic.__dataclass_fields__
    assert set(table) == {"base", *known} - {"fitted"}  # kernels of ours, not for files
    told = {key for key, line in _lines(OF_ARITHMETIC).items() if "default none" in line}
    for key, field in known.items():
        if key not in told and field.default is not MISSING:
            assert getattr(read, key) == field.default, key


def _lines(example: str) -> dict[str, str]:
    """By the key that each gives."""
    return {line.split(" = ")[0]: line for line in example.splitlines() if " = " in line}


def test_the_page_has_every_placement_mode() -> None:
    page = text(DOCS / "targets.md").split("## Placement modes\n")[1]
    assert re.findall(r"^\| `(\w+)` \| .*\| .*\|$", page, re.MULTILINE) == [
        "tensors",
        "inputs",
        "inputs_outputs",
    ]
    assert {t.placement.mode for t in ALL} <= {"tensors", "inputs", "inputs_outputs"}


# ---- README ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "README.zh-Hant.md"])
def test_the_readme_begins_with_the_two_commands(name: str) -> None:
    first = re.findall(r"^```\n(.*?)^```$", text(ROOT / name), re.MULTILINE | re.DOTALL)[0]
    assert [line.split("#")[0].strip() for line in first.splitlines()] == ["make demo", "make test"]


def _commands() -> dict[str, Any]:
    return {verb.name: opened(verb) for verb in commands.ALL}


def test_both_readmes_show_one_run_of_the_demo_that_fits_a_terminal() -> None:
    blocks_of = [
        text(ROOT / name).split("<!-- demo:begin -->")[1].split("<!-- demo:end -->")[0]
        for name in ("README.md", "README.zh-Hant.md")
    ]
    figures = [re.findall(r"-?\d+\.\d+", block) for block in blocks_of]
    assert sorted(figures[0]) == sorted(figures[1]) != []
    for block in blocks_of:
        lines = block.split("```text\n")[1].split("```")[0].splitlines()
        assert len(lines) <= 60
        assert all(len(line) <= 80 for line in lines if "lostbits " not in line)


@pytest.mark.parametrize("language", Language)
def test_figures_of_the_readmes_are_those_of_the_benchmarks(language: Language) -> None:
    page = text(ROOT / make_readme.PAGES[language])
    for part in (make_readme.peers, make_readme.evidence):
        assert make_readme.filled(page, part.__name__, part(language)) == page


def test_the_changelog_has_no_blank_lines_between_its_points() -> None:
    assert not re.search(r"^(?:- |  ).*\n\n- ", text(ROOT / "CHANGELOG.md"), re.MULTILINE)


def test_the_readme_lists_every_command() -> None:
    line = re.compile(r"^lostbits (\w+)(?: [A-Z].*)? {3,}\w", re.MULTILINE)
    listed = line.findall(text(ROOT / "README.md"))
    assert sorted(listed) == sorted(_commands())


def test_the_chinese_readme_knows_all_commands_and_targets() -> None:
    page = text(ROOT / "README.zh-Hant.md")
    table = page.split("## 命令列\n")[1].split("\n\n")[0]
    assert set(re.findall(r"`(?:lostbits )?([a-z]+)[ `]", table)) >= set(_commands())
    assert all(f"`{t.name}`" in page for t in ALL)


def test_pages_mention_existing_options_only() -> None:
    known = {o for c in _commands().values() for p in c.params for o in p.opts}
    known |= {"--help", "--constraint", "--head"}  # of pip to install, and of ray start
    known |= {"--install-completion", "--version"}  # of lostbits itself
    known |= {"--graphdef", "--saved-model", "--save", "--tflite", "--output"}  # of tf2onnx
    for page in (ROOT / "README.md", *(DOCS / f"{n}.md" for n in ("messages", "how-it-works"))):
        options = set(re.findall(r"(?<![\w<!-])--[a-z][a-z-]*", text(page)))
        assert options <= known, f"{page.name}: {options - known}"


def test_examples_of_preprocessing_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "preprocess.toml"
    for example in blocks(DOCS / "data.md", "toml"):
        path.write_text(example, encoding="utf-8")
        assert Preprocess.from_toml(path) != Preprocess()


@pytest.mark.slow
def test_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = blocks(ROOT / "README.md", "python")
    assert examples
    names: dict[str, Any] = {}
    for example in examples:
        assert "samples=32" in example, "examples must be quick"
        exec(compile(example, "README.md", "exec"), names)
    assert "snpe" in capsys.readouterr().out
    written = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert {"lostbits-out/result.json", "lostbits-out/report.html"} <= written
    assert "exported/encodings-1.0.0/model.encodings" in written
    assert names["proof"].passed and names["other"].plan != names["case"].plan
