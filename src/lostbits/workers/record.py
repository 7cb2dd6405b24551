"""Data as arrays and JSON, and back: what a file holds when it may hold nothing that runs.

A record is a dataclass or named tuple of numbers, text, arrays, lists, dictionaries and records.
Its arrays go as they are, all else is a tree of JSON. The annotations say how to read that: a file
chooses no class, and what does not fit them is refused.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Kind = TypeVar("Kind")
_TREE = "tree"
_PLAIN = (bool, int, float, str)


def flattened(value: object) -> dict[str, Array]:
    """A record as arrays under names that a file can have; the tree of JSON is one of them."""
    arrays: dict[str, Array] = {}
    text = json.dumps(_tree(value, arrays), separators=(",", ":"))
    return {**arrays, _TREE: np.frombuffer(text.encode(), np.uint8)}


def _tree(value: Any, arrays: dict[str, Array]) -> Any:
    within = partial(_tree, arrays=arrays)
    match value:
        case np.ndarray():
            arrays[name := f"{len(arrays)}"] = value
            return name
        case np.generic():
            return value.item()
        case Mapping():
            return [[within(key), within(each)] for key, each in value.items()]
        case list() | tuple():
            return [within(each) for each in value]
        case _ if is_dataclass(value):
            return [within(getattr(value, each.name)) for each in fields(value)]
        case _:
            return value


def rebuilt(kind: type[Kind], arrays: Mapping[str, Array]) -> Kind:
    """The record of that kind which ``flattened`` has made the arrays of.

    Raises:
        ValueError, KeyError, TypeError: When they hold anything else.
    """
    tree = json.loads(arrays[_TREE].tobytes())
    made: Kind = _built(kind, tree, arrays)
    return made


def _built(kind: Any, tree: Any, arrays: Mapping[str, Array]) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _exactly(kind, tree)
    if origin is np.ndarray:
        scalar = get_args(parts[1])[0]
        return _array(get_origin(scalar) or scalar, tree, arrays)
    if origin is UnionType:
        (other,) = (part for part in parts if part is not NoneType)
        return None if tree is None else _built(other, tree, arrays)
    return _several(kind, _exactly(list, tree), partial(_built, arrays=arrays))


def _several(kind: Any, trees: list[Any], built: Callable[[Any, Any], Any]) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (dict, Mapping):
        return {built(parts[0], key): built(parts[1], each) for key, each in trees}
    if origin in (list, Sequence):
        return [built(parts[0], each) for each in trees]
    if origin is tuple and parts[-1] is ...:
        return tuple(built(parts[0], each) for each in trees)
    if origin is tuple:
        return tuple(built(part, each) for part, each in zip(parts, trees, strict=True))
    if origin is not None or not (is_dataclass(kind) or issubclass(kind, tuple)):
        raise TypeError(f"{kind} is no record")
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind)] if is_dataclass(kind) else list(hints)
    return kind(*(built(hints[n], each) for n, each in zip(names, trees, strict=True)))


def _exactly(kind: type[Kind], value: Any) -> Kind:
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _array(kind: type[np.generic], tree: Any, arrays: Mapping[str, Array]) -> Array:
    if type(tree) in (int, float):  # numpy makes scalars of arrays without axes
        return np.asarray(tree, kind)
    array = arrays[_exactly(str, tree)]
    if not np.issubdtype(array.dtype, kind):
        raise TypeError(f"an array of {kind.__name__} expected, {array.dtype} found")
    return array
