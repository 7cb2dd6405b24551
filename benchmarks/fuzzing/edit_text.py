"""Edits of files of lines: TOML, lists of files, labels, calibration caches."""

import re
from collections.abc import Callable
from random import Random

from benchmarks.fuzzing import hostile

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_WORD = re.compile(r"[A-Za-z_]{2,}")
_TEXT = re.compile(r'"[^"\n]*"')
_TOKENS = (
    "nan", "inf", "-inf", "1e400", "-1", "0", "0.0", "true", "false", "[]", "{}", '""', "''",
    "null", "1" * 400, "-" + "9" * 400, "1e308", "1e-320", "100000", "1000000000000", "0x7f",
    "1_000", "1979-05-27", "[1, 2, 3]", "[[1]]", "[1.0, 'a']", "[224, 224, 3]", "[-1, 5]", "[0, 0]",
    "[nan]", "{a = 1}", '"x"', "9223372036854775808", "[100000, 100000]", "1e12", "0b1", ".5", "٣",
)  # fmt: skip
Lines = list[str]


def edited(content: bytes, dice: Random) -> bytes:
    """A text with some lines, or numbers, or words in them, changed."""
    lines = content.decode("utf-8", "replace").splitlines()
    for _ in range(dice.choice((1, 1, 2, 3))):
        dice.choice(_EDITS)(lines or [""], dice) if lines else lines.append(hostile.name(dice))
    text = dice.choice(("\n", "\n", "\n", "\n", "\n", "\r\n", "\r")).join(lines) + "\n"
    encoded = text.encode("utf-8", "surrogatepass")
    return dice.choice(_WHOLE)(encoded, dice) if dice.random() < 0.12 else encoded


def _drop(lines: Lines, dice: Random) -> None:
    del lines[dice.randrange(len(lines))]


def _double(lines: Lines, dice: Random) -> None:
    lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))


def _mix(lines: Lines, dice: Random) -> None:
    dice.shuffle(lines)


def _substituted(pattern: re.Pattern[str]) -> Callable[[Lines, Random], None]:
    def edit(lines: Lines, dice: Random) -> None:
        number = dice.randrange(len(lines))
        found = list(pattern.finditer(lines[number]))
        if found:
            match = dice.choice(found)
            line = lines[number]
            lines[number] = line[: match.start()] + _value(dice) + line[match.end() :]

    return edit


def _value(dice: Random) -> str:
    name = hostile.name(dice)
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return dice.choice((dice.choice(_TOKENS), dice.choice(_TOKENS), name, quoted))


def _behind_equals(lines: Lines, dice: Random) -> None:
    number = dice.randrange(len(lines))
    key, equals, _ = lines[number].partition("=")
    if equals:
        lines[number] = f"{key}= {_value(dice)}"


def _line(lines: Lines, dice: Random) -> None:
    new = dice.choice((hostile.name(dice), _value(dice), "[table]", "[[table]]", "a = 1", "#", "="))
    lines.insert(dice.randrange(len(lines) + 1), new)


def _long(lines: Lines, dice: Random) -> None:
    number = dice.randrange(len(lines))
    lines[number] += dice.choice((" ", "0", "a", ", 1", "[")) * dice.choice((100, 20_000))


_EDITS: tuple[Callable[[Lines, Random], None], ...] = (
    _drop, _double, _mix, _substituted(_NUMBER), _substituted(_NUMBER), _substituted(_WORD),
    _substituted(_TEXT), _behind_equals, _behind_equals, _line, _long,
)  # fmt: skip


def _with_mark(text: bytes, dice: Random) -> bytes:
    return b"\xef\xbb\xbf" + text


def _other_code(text: bytes, dice: Random) -> bytes:
    return text.decode("utf-8", "replace").encode(dice.choice(("utf-16", "utf-32", "utf-7")))


def _no_text(text: bytes, dice: Random) -> bytes:
    place = dice.randrange(len(text) + 1)
    return text[:place] + dice.choice((b"\0", *hostile.RAW_NAMES)) + text[place:]


def _nested(text: bytes, dice: Random) -> bytes:
    depth = dice.choice((90, 2000, 100_000))
    return text.replace(b"= ", b"= " + b"[" * depth + b"]" * dice.choice((0, depth)), 1)


def _deep_key(text: bytes, dice: Random) -> bytes:
    return text + b"a." * dice.choice((100, 5000)) + b"b = 1\n"


def _empty(text: bytes, dice: Random) -> bytes:
    return dice.choice((b"", b"\n", b" ", b"\n" * 10_000))


_WHOLE: tuple[Callable[[bytes, Random], bytes], ...] = (
    _with_mark, _other_code, _no_text, _no_text, _nested, _deep_key, _empty,
)  # fmt: skip
