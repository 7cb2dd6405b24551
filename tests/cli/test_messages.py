"""The table of messages: complete, all of it used, the one source of errors, page and command."""

import ast
import builtins
import copy
import doctest
import pickle
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from typer.testing import CliRunner

from lostbits import errors
from lostbits.cli.app import app
from lostbits.cli.commands.explain import explained as explain_lines
from lostbits.diagnoses.findings import CODES
from lostbits.errors import DataError, LostbitsError, ReadError, messages
from lostbits.language import Language, catalogue
from lostbits.results.diagnosis import Reason
from tools import make_messages

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "lostbits"
KINDS = [messages.kind(letter) for letter in messages.LETTERS]
ENTRIES = messages.all_entries()
FORMS = {
    f"{code}.{name}".rstrip("."): form
    for code, entry in ENTRIES.items()
    for name, form in entry.forms.items()
}
CLASSES = {cls.__name__: cls for cls in LostbitsError.__subclasses__()}
# Codes that several files raise, and the one thing that each of them means there.
SHARED = {
    "D003": "data of a kind that nobody here reads",
    "D004": "there are no samples",
    "D007": "the shape does not fit the input",
    "D012": "a preprocess setting is missing, unknown, misplaced or wrong",
    "D016": "code that supplies samples cannot be imported, fails, or yields no batches",
    "D018": "a later pass does not yield the samples of the first",
    "D047": "labels are missing, or of another form than the metric takes",
    "D048": "outputs are of another form than the metric takes",
    "M002": "the file contradicts itself",
    "M004": "data of a tensor that are not there",
    "M008": "a value of the graph is no numeric tensor",
    "S001": "a runtime stops while it runs a network",
    "S003": "the float network gives what is not finite",
    "T005": "a tensor cannot be what --set asks for",
    "T007": "there is no metric of that name",
    "T010": "a word that chooses between ways to go about it is not known",
    "T031": "a figure is asked for that a side does not have",
    "U002": "a value is none that an option takes",
    "W002": "a worker ended by itself",
}


class Site(NamedTuple):
    """One place where an error is made.

    Attributes:
        kind: The class, or ``doubt``, which makes a ReadError from words of the catalogues.
        codes: With their forms; two where a condition chooses.
        figures: Names of the figures that it gives.
        file: Below the package.
        line: In the file.
    """

    kind: str
    codes: tuple[str, ...]
    figures: frozenset[str]
    file: str
    line: int


def _codes(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.IfExp):
        return _codes(node.body) + _codes(node.orelse)
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        start = str(node.values[0].value)  # as in f"M018.{kind}": all rules of the code
        return tuple(form for form in FORMS if form.startswith(start))
    return (node.value,) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ()


@cache
def sites() -> tuple[Site, ...]:
    """Every call in the package that makes an error."""
    return tuple(site for path in sorted(PACKAGE.rglob("*.py")) for site in _sites(path))


def _sites(path: Path) -> Iterator[Site]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            kind, file = node.func.id, str(path.relative_to(PACKAGE))
            if kind == "doubt" or (kind in CLASSES and _codes(node.args[0])):
                figures = frozenset(k.arg or "**" for k in node.keywords) - {"tensors"}
                yield Site(kind, _codes(node.args[0]), figures, file, node.lineno)


def gaps(*templates: str) -> set[str]:
    """Names of the gaps, with whatever stands behind them."""
    parts = (part for text in templates for part in string.Formatter().parse(text))
    return {name for _, name, _, _ in parts if name is not None}


# The table against the source.


@pytest.mark.slow
def test_all_errors_are_made_by_code_in_a_way_that_this_test_reads() -> None:
    made = [
        (str(path.relative_to(PACKAGE)), node.lineno)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in CLASSES
    ]
    read = [(s.file, s.line) for s in sites() if s.kind in CLASSES]
    passed_on = [place for place in made if place not in read]
    assert [file for file, _ in passed_on] == ["reader.py"], "doubt alone gives a code on"
    assert len(read) > 150


@pytest.mark.slow
def test_every_code_that_is_raised_is_in_the_table_and_the_other_way_round() -> None:
    assert {code for site in sites() for code in site.codes} == set(FORMS)


def test_every_place_gives_the_figures_that_its_rule_and_advice_have_gaps_for() -> None:
    wrong = [
        (site.file, site.line, code, gaps(FORMS[code].rule, FORMS[code].todo) ^ site.figures)
        for site in sites()
        for code in site.codes
        if site.kind != "doubt" and gaps(FORMS[code].rule, FORMS[code].todo) != site.figures
    ]
    assert wrong == []


def test_the_words_of_doubts_are_those_of_the_catalogues() -> None:
    of_doubts = {code for site in sites() if site.kind == "doubt" for code in site.codes}
    assert of_doubts == {code for code, form in FORMS.items() if form.words}
    words = {f"{FORMS[code].words}_{part}" for code in of_doubts for part in ("rule", "todo")}
    assert words <= set(catalogue(Language.ENGLISH))


def test_the_letter_tells_the_class() -> None:
    classes = {k.letter: k.exception for k in KINDS}
    assert sorted(filter(None, classes.values())) == sorted(CLASSES)
    wrong = [
        site
        for site in sites()
        for code in site.codes
        if classes[code[0]] != ("ReadError" if site.kind == "doubt" else site.kind)
    ]
    assert wrong == []
    tree = errors.__doc__ or ""
    assert all(f"{k.exception:15} {k.letter}..." in tree for k in KINDS if k.exception)


def test_codes_of_findings_are_those_of_the_diagnosis() -> None:
    findings = messages.kind("F").entries
    assert set(findings) == set(CODES.values())
    assert not any(entry.forms for entry in findings.values())


def test_a_code_means_one_thing() -> None:
    """Several rules of a code stand in one file, or it is agreed what they have in common."""
    files: dict[str, set[str]] = {}
    for site in sites():
        for code in site.codes:
            files.setdefault(code[:4], set()).add(site.file)
    assert {code for code, where in files.items() if len(where) > 1} == set(SHARED)


# The table by itself.


def test_entries_are_in_order_under_their_letter() -> None:
    for kind in KINDS:
        codes = list(kind.entries)
        assert codes == sorted(codes)
        assert all(code[0] == kind.letter and len(code) == 4 for code in codes)
        assert kind.title and kind.about


@pytest.mark.parametrize("code", ENTRIES)
def test_an_entry_is_a_few_lines_and_its_rules_are_one_each(code: str) -> None:
    assert 2 <= len(ENTRIES[code].explanation.splitlines()) <= 4
    forms = ENTRIES[code].forms
    assert forms or code[0] == "F"
    assert "" not in forms or len(forms) == 1, "a code with several rules has a name for each"
    assert len({form.named() for form in forms.values()}) == len(forms)
    for form in forms.values():
        assert all(name.isidentifier() for name in gaps(form.rule, form.todo))
        assert all(text and text == text.strip() for text in form.named())


# Exceptions.


def test_documented_examples() -> None:
    assert doctest.testmod(messages).failed == doctest.testmod(errors).failed == 0


def _error(code: str) -> LostbitsError:
    form = FORMS[code]
    english = catalogue(Language.ENGLISH)
    words = [english[f"{form.words}_{part}"] for part in ("rule", "todo") if form.words]
    figures: dict[str, Any] = {name: 7 for name in gaps(*(words or [form.rule, form.todo]))}
    return CLASSES[messages.kind(code[0]).exception](code, "here", "this", **figures)


@pytest.mark.parametrize("code", FORMS)
def test_every_message_can_be_made_and_sent(code: str) -> None:
    error = _error(code)
    error.add_note("on the way")
    assert error.code == code[:4]
    assert str(error) == f"{error.code}: here: {error.rule}: this: {error.todo}"
    assert not {"{", "}"} & set(str(error.rule))
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))


def test_a_copy_keeps_what_a_class_adds() -> None:
    error = ReadError("I004", "tensor 'x'", "2 entries", tensors=("x",))
    assert copy.copy(error).tensors == pickle.loads(pickle.dumps(error)).tensors == ("x",)


@pytest.mark.parametrize("code", ["D000", "D012", "D012.colour", "X001", ""])
def test_a_code_without_an_entry_is_a_bug(code: str) -> None:
    with pytest.raises(KeyError):
        DataError(code, "here", "this")


def test_an_error_can_be_made_where_no_file_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    messages.kind.cache_clear()

    def none(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", none)
        patch.setattr("io.open", none)
        said = [str(_error(code)) for code in FORMS if not FORMS[code].words]
    assert len(said) > 150


# The page and the command.


def test_the_page_is_what_the_table_makes() -> None:
    assert make_messages.PAGE.read_text(encoding="utf-8") == make_messages.page()


def test_the_page_has_every_letter_code_and_rule() -> None:
    page = make_messages.page()
    assert all(f"\n| {k.letter} | " in page and f"\n## {k.title}\n" in page for k in KINDS)
    assert all(f"\n### {code}\n" in page for code in ENTRIES)
    assert all("`: `".join(form.named()) in page for form in FORMS.values())


def explain(*arguments: str) -> tuple[int, str]:
    run = CliRunner().invoke(app, ["explain", *arguments])
    return run.exit_code, run.output


@pytest.mark.parametrize("code", ENTRIES)
def test_explain_says_all_of_an_entry_in_80_columns(code: str) -> None:
    status, printed = explain(code)
    words = " ".join(printed.split())
    assert status == 0 and printed.startswith(f"{code}  ")
    assert max(map(len, printed.splitlines())) <= 80
    for form in ENTRIES[code].forms.values():
        rule, todo = form.named()
        assert f"rule {rule} what to do {todo}" in words
    assert "](" not in printed
    assert (
        " ".join(re.sub(r"\[(\S*?)\]\(\S*?\)", r"\1", ENTRIES[code].explanation).split()) in words
    )


def test_explain_takes_lower_case() -> None:
    assert explain("d007") == explain("D007")


def test_explain_lists_every_code_in_a_line_each() -> None:
    status, printed = explain()
    lines = printed.splitlines()
    assert status == 0 and max(map(len, lines)) <= 80
    assert [line[:4] for line in lines if line[4:6] == "  "] == list(ENTRIES)
    assert [line for line in lines if line and line[4:6] != "  "] == [k.title for k in KINDS]


def test_explain_knows_a_code_without_its_zeros() -> None:
    assert explain("D7") == explain("d07") == explain("D007")


@pytest.mark.parametrize("reason", get_args(Reason))
def test_explain_knows_the_reason_of_every_finding(reason: Reason) -> None:
    assert explain(reason) == explain(f"reason.{reason}") == explain(CODES[reason])


@pytest.mark.parametrize("language", Language)
def test_explain_knows_every_sentence_of_a_result_and_every_doubt(language: Language) -> None:
    words = catalogue(language)
    for code in (c for c in words if c.partition(".")[0] in {"note", "samples", "verdict"}):
        head, *told = explain_lines(code, language)
        assert head.startswith(f"{code}  ")
        assert "".join("".join(told).split()) == "".join(messages.named(words[code]).split())
    doubts = {form.words: entry.code for entry in ENTRIES.values() for form in entry.forms.values()}
    for words_of, code in doubts.items():
        if words_of:
            assert explain_lines(f"{words_of}_found", language)[0].startswith(f"{code}  ")


@pytest.mark.parametrize(
    ("code", "near"),
    [
        *(("D0O7", "D007"), ("zzzzzz", "lostbits explain")),
        *(("note.resdual", "note.residual"), ("E0007", "E007")),
    ],
)
def test_explain_refuses_what_is_no_code(code: str, near: str) -> None:
    with pytest.raises(LostbitsError) as info:
        CliRunner().invoke(app, ["explain", code], catch_exceptions=False, standalone_mode=False)
    assert info.value.code == "U005" and near in str(info.value.todo)
    assert explain(code)[0] == 2


@pytest.mark.parametrize("code", ["", "reason.", "note", "doubt."])
def test_explain_takes_no_part_of_a_code_for_one(code: str) -> None:
    assert explain(code)[0] == 2
