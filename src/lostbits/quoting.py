"""Names from files as text that neither a terminal nor a shell takes for anything else."""

import re
import shlex
from collections.abc import Iterable, Sequence

_BRIEF = 80  # characters
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# What a shell takes as one: quoted text, of which only $'...' means anything else to ``shlex``.
_QUOTED = re.compile(
    r"""'[^']*'|"(?:[^"\\]|\\.)*"|\$'(?P<inside>(?:[^'\\]|\\.)*)'|\\.|.""", re.DOTALL
)


def visible(text: str) -> str:
    r"""One line in which every character is seen: what cannot be printed is written as an escape.

    So no name moves the cursor, colours the screen or turns the direction of writing, and a lone
    surrogate can be encoded.

    >>> print(visible("conv\x1b[31m\n"))
    conv\x1b[31m\n
    >>> visible("層 1"), visible("a\u202eb")
    ('層 1', 'a\\u202eb')
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return _ESCAPES.get(character, character.encode("unicode_escape", "backslashreplace").decode())


def brief(value: object) -> str:
    """What Python writes for a value from a file, or the beginning of it: some have no end.

    >>> brief("cat"), brief("x" * 200)[-9:], brief(1 << 20_000)
    ("'cat'", 'xxxxxx...', 'a very large int')
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of too many digits, nested too deeply
        return f"a very large {type(value).__name__}"
    return beginning(text, _BRIEF)


def beginning(text: str, most: int) -> str:
    """The text, or its first ``most`` characters and three dots."""
    return text if len(text) <= most else f"{text[:most]}..."


def command(parts: Iterable[str]) -> str:
    r"""A command line, in one printable line, that a shell reads as exactly these words.

    What cannot be printed takes the form ``$'...'`` (POSIX 2024; bash, zsh and ksh have it), so
    that what is shown is what is pasted.

    >>> command(["lostbits", "--set", "a'; touch b"])
    'lostbits --set \'a\'"\'"\'; touch b\''
    >>> print(command(["a\nb"]))
    $'a\012b'
    """
    return " ".join(map(_word, parts))


def _word(part: str) -> str:
    if part.isprintable():
        return shlex.quote(part)
    return f"$'{''.join(map(_inside, part))}'"


def _inside(character: str) -> str:
    r"""A character between ``$'`` and ``'``; three octal digits a byte end by themselves."""
    if character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    unread = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\{byte:03o}" for byte in character.encode(errors=unread))


def words(line: str) -> list[str]:
    r"""The words that a shell makes of a command line; the way back from ``command``.

    >>> words(command(["a\nb", "it's $'x'"]))
    ['a\nb', "it's $'x'"]

    Raises:
        ValueError: When a quotation does not end.
    """
    return shlex.split(_QUOTED.sub(_plain, line))


def _plain(quoted: re.Match[str]) -> str:
    inside = quoted["inside"]
    if inside is None:
        return quoted[0]
    text = inside.encode(errors="surrogatepass")
    found = re.sub(rb"\\([0-7]{3}|.)", lambda m: _byte(m[1]), text, flags=re.DOTALL)
    return shlex.quote(found.decode(errors="surrogateescape"))


def _byte(escape: bytes) -> bytes:
    return escape if len(escape) == 1 else bytes([int(escape, 8) & 255])


def extended(line: str, options: Sequence[str]) -> str:
    """A command line with more options: at its end, or before the ``--`` that ends the options.

    >>> extended("lostbits diagnose net.onnx", ["--set", "a b=float"])
    "lostbits diagnose net.onnx --set 'a b=float'"
    >>> extended("lostbits diagnose -- -x.onnx", ["--set", "a=float"])
    'lostbits diagnose --set a=float -- -x.onnx'
    """
    try:
        known = words(line)
    except ValueError:  # whatever a caller of the library calls a command
        known = []
    if "--" not in known:
        return f"{line} {command(options)}"
    end = known.index("--")
    return command([*known[:end], *options, *known[end:]])


def operand(path: str) -> str:
    """The path as an argument that no command takes for an option.

    >>> operand("-x.onnx"), operand("x.onnx")
    ('./-x.onnx', 'x.onnx')
    """
    return f"./{path}" if path.startswith("-") else path
