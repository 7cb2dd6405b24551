"""Names from files in terminals, messages and printed commands."""

import doctest
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostbits import quoting
from lostbits.errors import ModelError
from lostbits.quoting import command, operand, visible

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
    assert len(str(ModelError("M002", name, "must be", name, "mend it")).splitlines()) == 1


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
