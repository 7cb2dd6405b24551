"""The shape of the source: short functions, short files, closed classes, no leftovers.

The limits start a conversation; they are no reason to split a good function into two halves.
"""

import ast
import re
import statistics
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "lostbits"
SOURCES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
_Documented = ast.Module | ast.ClassDef | Function

# Tokens that are no code: layout, and comments.
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
_CONTRACTS = {"ABC", "Protocol", "NamedTuple", "Exception", "RunningSum", "TypedDict"}
_EMPTY_WORDS = {"manager", "helper", "helpers", "util", "utils"}
# A folder of the machine that the code was written on, as the start of a path.
_MACHINE_PATH = re.compile(rb"(?<![\w./~-])/(?:work|tmp|root)/")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def nodes(*kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of these kinds in the package, with its file."""
    for path in SOURCES:
        yield from ((path, node) for node in ast.walk(tree(path)) if isinstance(node, kinds))


@cache
def code_lines(path: Path) -> frozenset[int]:
    """Numbers of the lines that hold code: not blank, no comment, no docstring."""
    with path.open("rb") as file:
        tokens = [t for t in tokenize.tokenize(file.readline) if t.type not in _LAYOUT]
    lines = {n for t in tokens for n in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(tree(path)):
        if isinstance(node, _Documented) and node.body and _is_text(node.body[0]):
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return frozenset(lines)


def _is_text(node: ast.stmt) -> bool:
    """Whether the statement is nothing but a string, which makes the first one a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _options(node: Function) -> int:
    """Parameters beyond ten: a list of options, a line for each, is a table and no code."""
    given = node.args
    return max(len([*given.posonlyargs, *given.args, *given.kwonlyargs]) - 10, 0)


def functions() -> list[tuple[int, str]]:
    """Code lines of every function, signature included and decorators not, and its place.

    Of parameters ten count at most.
    """
    found = []
    for path, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        assert isinstance(node, Function) and node.end_lineno is not None
        first = node.body[0].lineno if path.parent.name == "commands" else node.lineno
        span = range(first, node.end_lineno + 1)
        size = sum(1 for line in span if line in code_lines(path)) - _options(node)
        found.append((size, f"{place(path, node)} {node.name}"))
    return sorted(found)


def test_code_lines_are_counted_without_docstrings_comments_and_blanks(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(
        '"""Module."""\n\n# remark\ndef f(\n    a: int,\n) -> str:\n    """Say.\n\n    More.\n'
        '    """\n\n    text = """two\n    lines"""  # remark\n    return text * a\n'
    )
    assert code_lines(path) == {4, 5, 6, 12, 13, 14}


@pytest.mark.slow
def test_functions_are_short() -> None:
    sizes = [size for size, _ in functions()]
    too_long = [f"{where}: {size}" for size, where in functions() if size > 50]
    assert not too_long, too_long
    assert statistics.median(sizes) <= 8
    over = [f"{where}: {size}" for size, where in functions() if size > 25]
    assert len(over) <= 0.1 * len(sizes), over


def test_files_are_short() -> None:
    sizes = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in SOURCES}
    too_long = [f"{p.relative_to(ROOT)}: {n}" for p, n in sizes.items() if n > 400]
    assert not too_long, too_long
    assert statistics.median(sizes.values()) <= 150


def _name(node: ast.expr) -> str:
    """The last part of a dotted name, without its arguments: ``Protocol`` of ``t.Protocol[T]``."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def classes() -> list[tuple[str, ast.ClassDef]]:
    """Every class with its place."""
    found = nodes(ast.ClassDef)
    return [(place(path, node), node) for path, node in found if isinstance(node, ast.ClassDef)]


def _errors() -> set[str]:
    """Names of exceptions: what extends Exception, directly or through another one."""
    names = {"Exception"}
    while True:
        more = {n.name for _, n in classes() if {_name(b) for b in n.bases} & names}
        if more <= names:
            return names
        names |= more


def _decorators(node: ast.ClassDef) -> set[str]:
    return {_name(d) for d in node.decorator_list}


@pytest.mark.slow
def test_every_class_is_a_contract_or_final() -> None:
    contracts = _CONTRACTS | _errors()
    open_ones = [
        f"{where} {node.name}"
        for where, node in classes()
        if not {_name(b) for b in node.bases} & contracts
        and "final" not in _decorators(node)
        and not (node.name.startswith("_") and "dataclass" in _decorators(node))
    ]
    assert not open_ones, f"neither contract nor @final: {open_ones}"


def _module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def _imported(path: Path) -> dict[str, str]:
    """Names that a file imports from elsewhere, with the module that it has them from."""
    imports = (n for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom))
    return {alias.asname or alias.name: n.module or "" for n in imports for alias in n.names}


@pytest.mark.slow
def test_no_class_extends_a_final_one() -> None:
    known = [(p, n) for p, n in nodes(ast.ClassDef) if isinstance(n, ast.ClassDef)]
    final = {f"{_module(p)}.{n.name}" for p, n in known if "final" in _decorators(n)}
    heirs = [
        f"{place(path, node)} {node.name}"
        for path, node in known
        for base in map(_name, node.bases)
        if f"{_imported(path).get(base, _module(path))}.{base}" in final
    ]
    assert not heirs, heirs


@pytest.mark.slow
def test_contracts_have_something_to_fulfil() -> None:
    idle = [
        f"{where} {node.name}"
        for where, node in classes()
        if "ABC" in {_name(b) for b in node.bases}
        and not any(
            "abstractmethod" in {_name(d) for d in m.decorator_list}
            for m in node.body
            if isinstance(m, Function)
        )
    ]
    assert not idle, idle


@pytest.mark.slow
def test_nothing_is_printed() -> None:
    calls = [
        place(path, node)
        for path, node in nodes(ast.Call)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not calls, calls


def test_nothing_is_left_to_do() -> None:
    words = re.compile(r"\b(?:TODO|FIXME|XXX)\b")
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if words.search(line)
    ]
    assert not left, left


@pytest.mark.slow
def test_names_say_what_a_thing_is() -> None:
    named = [(str(p.relative_to(PACKAGE)), str(p.relative_to(PACKAGE))) for p in SOURCES]
    for path, node in nodes(ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef):
        assert isinstance(node, ast.ClassDef | Function)
        named.append((node.name, place(path, node)))
    empty = [f"{where} {name}" for name, where in named if _words(name) & _EMPTY_WORDS]
    assert not empty, empty


def _words(name: str) -> set[str]:
    """Words of a path or of a snake or camel case name, lower case."""
    return {w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def _files_of_the_repository() -> list[Path]:
    """Tracked files, and those that are about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in run.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_path_of_the_machine_it_was_written_on() -> None:
    found = []
    for path in _files_of_the_repository():
        content = path.read_bytes()
        for match in _MACHINE_PATH.finditer(content):
            line = content.count(b"\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line} {match.group().decode()}")
    assert not found, found


@pytest.mark.parametrize(
    ("text", "is_path"),
    [
        (b'open("/' + b'work/x")', True),
        (b"/" + b"tmp/a", True),
        (b"src/" + b"work/x", False),
        (b"https://example.org/" + b"root/", False),
    ],
)
def test_machine_paths_are_told_from_other_slashes(text: bytes, is_path: bool) -> None:
    assert bool(_MACHINE_PATH.search(text)) == is_path
