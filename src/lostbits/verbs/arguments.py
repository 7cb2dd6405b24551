"""Arguments of the verbs: of the types that their parameters name, or a coded error says so."""

import functools
import inspect
import types
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lostbits.errors import TargetError

_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")
_WIDER: dict[Any, type] = {int: Integral, float: Real}  # NumPy's numbers are numbers, too


def wrong_type(argument: str, takes: str, found: object, todo: str) -> TargetError:
    """T018."""
    kind = f"of type {_name(type(found))}"
    return TargetError("T018", f"argument {argument}", kind, takes=takes, todo=todo)


def checked(verb: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """The verb, which refuses arguments of another type than its annotations name.

    Of containers only what lists and tuples hold is looked at. A parameter of type object takes
    anything.

    Raises:
        TargetError: T018, by the verb that is returned.
    """
    signature = inspect.signature(verb)
    kinds = functools.cache(lambda: get_type_hints(verb))

    @functools.wraps(verb)
    def checking(*given: _Given.args, **named: _Given.kwargs) -> _Found:
        for name, value in signature.bind(*given, **named).arguments.items():
            if not _fits(value, kinds()[name]):
                todo = f"see help(lostbits.{verb.__name__})"
                raise wrong_type(name, _takes(kinds()[name]), value, todo)
        return verb(*given, **named)

    return checking


def _members(kind: Any) -> tuple[Any, ...]:
    """The members of a union; any other type by itself."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of a type, or of one of its members."""
    members = _members(kind)
    if len(members) > 1:
        return any(_fits(value, member) for member in members)
    outer, inner = get_origin(kind) or kind, get_args(kind)
    if outer is Any:
        return True
    if outer is Callable or getattr(outer, "_is_protocol", False):
        return callable(value)
    if not isinstance(value, _WIDER.get(outer, outer)):
        return False
    rows = isinstance(value, list | tuple) and len(inner) == 1
    return not rows or all(_fits(each, inner[0]) for each in cast("list[object]", value))


def _takes(kind: Any) -> str:
    names = [_name(m) if get_origin(m) is None else str(m) for m in _members(kind)]
    return " or ".join(names).replace("collections.abc.", "")


def _name(kind: type) -> str:
    if kind is type(None):
        return "None"
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
