"""Names from files in terminals, messages and printed commands."""

import doctest
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from lostbits import quoting
from lostbits.cli import app as cli
from lostbits.errors import ModelError
from lostbits.plan.tensor_settings import Override
from lostbits.quoting import command, extended, operand, visible, words

ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
BASH = shutil.which("bash")


def test_documented_examples() -> None:
    assert doctest.testmod(quoting).failed == 0


@given(st.text(st.characters()))
def test_whatever_a_name_holds_is_one_printable_line(name: str) -> None:
    shown = visible(name)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(st.text(st.characters()))
def test_a_message_is_one_line(name: str) -> None:
    assert len(str(ModelError("M002.invalid", name, name)).splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(BASH is None, reason="no bash")
@given(st.lists(ANY | st.sampled_from(["a'b", '"', "$(echo x)", "`x`", "-n", "a\nb", "\x1b[1m7"])))
def test_a_shell_reads_the_words_that_were_quoted(words: list[str]) -> None:
    line = command(["printf", "%s\\0", "", *words])
    assert line.isprintable()
    ran = subprocess.run([str(BASH), "-c", line], capture_output=True, check=True)
    assert ran.stdout == b"".join(word.encode() + b"\0" for word in ["", *words])


def test_a_path_is_never_an_option() -> None:
    assert operand("--help") == "./--help"
    assert operand("/a/-b") == "/a/-b"


RUN = ["diagnose", "--data", "d"]
NASTY = [
    "a'; touch made; echo '",
    '"',
    "$(touch made)",
    "`touch made`",
    "a\nb",
    "\n",
    "-x",
    "--out",
    "$'x'",
    "a $'b' c",
    "\\",
    "!",
    "~",
    "*",
    "\x1b[31m",
    "\udcff",
    "",
]


@pytest.mark.slow
@given(st.lists(st.text(st.characters()) | st.sampled_from(NASTY)))
def test_a_command_comes_apart_as_it_was_put_together(parts: list[str]) -> None:
    unread = [part.encode(errors="surrogatepass") for part in parts]
    found = [word.encode(errors="surrogateescape") for word in words(command(parts))]
    lone = any("\udc80" <= letter <= "\udcff" for part in parts for letter in part)
    assert found == unread or lone, "a byte that is no letter comes back as itself"
    assert len(found) == len(parts)


@pytest.mark.skipif(BASH is None, reason="no bash")
@pytest.mark.parametrize("name", [n for n in NASTY if n])
@pytest.mark.parametrize("line", [[*RUN, "x.onnx"], [*RUN, "--", "-x.onnx"]])
def test_a_remedy_that_is_pasted_sets_one_tensor(
    tmp_path: Path, name: str, line: list[str]
) -> None:
    """Into a shell, whose ``lostbits`` says what it was given; and that into our own parser."""
    remedy = extended(command(["lostbits", *line]), ["--set", f"{name}=float"])
    program = 'lostbits() { printf "%s\\0" "$@"; }\n' + remedy
    ran = subprocess.run([str(BASH), "-c", program], capture_output=True, check=True, cwd=tmp_path)
    given_words = [os.fsdecode(word) for word in ran.stdout.split(b"\0")[:-1]]
    assert not list(tmp_path.iterdir()), "it has run"
    whole: Any = get_command(cli.app)
    context = whole.make_context("lostbits", list(given_words), resilient_parsing=True)
    _, diagnose, rest = whole.resolve_command(context, given_words)
    options = diagnose.make_context("diagnose", list(rest)).params
    assert options["settings"] == [f"{name}=float"]
    assert Override.parse(options["settings"][0]).tensor == name
    assert str(options["model"]) == line[-1]
