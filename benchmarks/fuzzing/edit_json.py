"""Edits of JSON: of the values, and of the text that they are written as."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.fuzzing import hostile

# Numbers that Python's own writer would not write: put in as texts, then stripped of their quotes.
_TOKENS = (
    "1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1" * 400, "-" + "9" * 400, "0." + "0" * 500,
    "1e-400", "1E+99", "-0", "00", "0x10", "1" * 5000, ".5", "+1", "1e999999999",
)  # fmt: skip
_MARK = "\ue000"
Keys = tuple[Any, ...]


def edited(content: bytes, dice: Random) -> bytes:
    """A JSON file with some values, or its text, changed."""
    root = json.loads(content)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        root = _changed(root, dice)
    text = json.dumps(root, indent=dice.choice((None, 1)), ensure_ascii=dice.random() < 0.5)
    for token in _TOKENS:
        text = text.replace(f'"{_MARK}{token}"', token)
    plain = text.replace(_MARK, "").encode("utf-8", "surrogatepass")
    return dice.choice(_TEXTS)(plain, dice) if dice.random() < 0.15 else plain


def _changed(root: Any, dice: Random) -> Any:
    where = dice.choice(_places(root)) if dice.random() < 0.9 else ()
    if not where:
        return _other(root, dice) if dice.random() < 0.3 else root
    holder = _at(root, where[:-1])
    dice.choice(_EDITS)(holder, where[-1], dice)
    return root


def _places(value: Any, path: Keys = (), depth: int = 0) -> list[Keys]:
    """Paths to values; of a long list the first few, so that each kind of value has its chance."""
    found = [path]
    if depth < 12 and isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*path, key), depth + 1)
    if depth < 12 and isinstance(value, list):
        for number, inner in enumerate(value[:3]):
            found += _places(inner, (*path, number), depth + 1)
    return found


def _at(value: Any, path: Keys) -> Any:
    for key in path:
        value = value[key]
    return value


def _other(value: Any, dice: Random) -> Any:
    """A value of another kind, of the same kind and extreme, or something around it."""
    return dice.choice(
        (
            None, True, False, [], {}, "", [value], {"x": value}, [[[]]], [None], {"": None},
            str(value), 0, 1, -1, hostile.integer(dice), _number(dice), hostile.name(dice),
            hostile.name(dice), "\ud800", _MARK + dice.choice(_TOKENS), _nested(dice), [value] * 3,
            [value] * 200, _scaled(value, dice), _scaled(value, dice), _scaled(value, dice),
        )
    )  # fmt: skip


def _number(dice: Random) -> Any:
    number = hostile.number(dice)
    return number if number - number == 0 else _MARK + str(number)


def _scaled(value: Any, dice: Random) -> Any:
    """A number near the old one, or far from it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value[:-1] if isinstance(value, str | list) else dice.choice((0, "", None))
    if isinstance(value, int):
        return dice.choice((-value, value + 1, value - 1, value * 2**33, float(value)))
    return dice.choice((-value, value * 1e30, value * 1e-30, 0.0, value + 1))


def _nested(dice: Random) -> Any:
    value: Any = 0
    for _ in range(dice.choice((5, 100, 500))):
        value = [value] if dice.random() < 0.5 else {"a": value}
    return value


def _replace(holder: Any, key: Any, dice: Random) -> None:
    holder[key] = _other(holder[key], dice)


def _remove(holder: Any, key: Any, dice: Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, dice: Random) -> None:
    if isinstance(holder, dict):
        holder[dice.choice((f"{key}x", str(key).upper(), hostile.name(dice)))] = holder.pop(key)
    else:
        holder.insert(key, holder[key])


def _repeat(holder: Any, key: Any, dice: Random) -> None:
    if isinstance(holder, list):
        holder.extend([holder[key]] * dice.choice((1, 2, 50)))
    else:
        holder[f"{key} again"] = holder[key]


def _exchange(holder: Any, key: Any, dice: Random) -> None:
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    other = dice.choice(keys)
    holder[key], holder[other] = holder[other], holder[key]


_EDITS: tuple[Callable[[Any, Any, Random], None], ...] = (
    _replace, _replace, _replace, _replace, _remove, _remove, _rename, _repeat, _exchange,
)  # fmt: skip


def _with_mark(text: bytes, dice: Random) -> bytes:
    return b"\xef\xbb\xbf" + text


def _in_other_code(text: bytes, dice: Random) -> bytes:
    return text.decode("utf-8", "replace").encode(dice.choice(("utf-16", "utf-32", "utf-16-be")))


def _no_text(text: bytes, dice: Random) -> bytes:
    return text.replace(b'"', b'"' + dice.choice(hostile.RAW_NAMES), 1 + dice.randrange(3))


def _nesting(text: bytes, dice: Random) -> bytes:
    depth = dice.choice((900, 3000, 100_000))
    opening, closing = dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return text.replace(b"0", opening * depth + b"0" + closing * depth, 1)


def _open_nesting(text: bytes, dice: Random) -> bytes:
    return dice.choice((b"[", b'{"a":')) * dice.choice((10, 100_000))


def _again(text: bytes, dice: Random) -> bytes:
    """With a key that is there twice."""
    pairs = [part for part in text.split(b",") if b'":' in part and b"{" not in part]
    return text.replace(b"{", b"{" + dice.choice(pairs) + b",", 1) if pairs else text + text


def _cut(text: bytes, dice: Random) -> bytes:
    return text[: dice.randrange(len(text) + 1)]


def _behind(text: bytes, dice: Random) -> bytes:
    return text + dice.choice((b"x", b"{}", b"\0", b",", b"\n" * 1000))


def _loose(text: bytes, dice: Random) -> bytes:
    return text.replace(
        *dice.choice(((b'"', b"'"), (b"}", b",}"), (b":", b"="), (b"true", b"True")))
    )


_TEXTS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _with_mark, _in_other_code, _no_text, _nesting, _open_nesting, _again, _cut, _behind, _loose,
)  # fmt: skip
