"""Edits of any file: its bytes."""

from collections.abc import Callable
from random import Random

_JUNK = (b"\0", b"\xff", b"\n", b"\r\n", b"\x1b[31m", b"PK\x03\x04", b"\x80\x04.", b"{", b'"', b"%")


def _flip(content: bytes, dice: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _set(content: bytes, dice: Random) -> bytes:
    first = dice.randrange(len(content))
    size = min(dice.choice((1, 4, 8, 100)), len(content) - first)
    value = dice.choice((b"\0", b"\xff", b"\x7f", b"\x80"))
    return content[:first] + value * size + content[first + size :]


def _insert(content: bytes, dice: Random) -> bytes:
    place = dice.randrange(len(content) + 1)
    junk = dice.choice((dice.choice(_JUNK), dice.randbytes(dice.choice((1, 4, 100, 5000)))))
    return content[:place] + junk + content[place:]


def _delete(content: bytes, dice: Random) -> bytes:
    first = dice.randrange(len(content))
    return content[:first] + content[first + dice.choice((1, 2, 8, 100, 1000)) :]


def _truncate(content: bytes, dice: Random) -> bytes:
    return content[: dice.randrange(len(content))]


def _double(content: bytes, dice: Random) -> bytes:
    first, last = sorted(dice.randrange(len(content) + 1) for _ in range(2))
    return content[:last] + content[first:last] + content[last:]


def _exchange(content: bytes, dice: Random) -> bytes:
    a, b, c = sorted(dice.randrange(len(content) + 1) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _replace(content: bytes, dice: Random) -> bytes:
    return dice.choice((b"", b"\0", b"\n", b" ", dice.randbytes(300), b"\0" * 70_000, *_JUNK))


def _append(content: bytes, dice: Random) -> bytes:
    return content + dice.choice((b"\0", b"\n", content, dice.randbytes(50), *_JUNK))


EDITS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip, _flip, _set, _insert, _delete, _truncate, _double, _exchange, _replace, _append,
)  # fmt: skip


def edited(content: bytes, dice: Random) -> bytes:
    """The content, damaged once or a few times."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        content = dice.choice(EDITS)(content, dice) if content else dice.randbytes(8)
    return content


def spliced(one: bytes, other: bytes, dice: Random) -> bytes:
    """The beginning of one file and the end of another."""
    return one[: dice.randrange(len(one) + 1)] + other[dice.randrange(len(other) + 1) :]
