"""Callables that a command line names as ``package.module:callable``."""

import importlib
import operator
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from lostbits.data.paths import foreign
from lostbits.errors import DataError, close_match
from lostbits.system.process import is_own

_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_target(text: str) -> bool:
    """Whether the text reads as ``package.module:callable``."""
    return _TARGET.fullmatch(text) is not None


def imported(target: str) -> Callable[..., Any]:
    """The callable of that name; modules in the current folder are found too.

    Raises:
        DataError: D016 if there is none.
    """
    module_name, attribute = target.split(":")
    module = _module(target, module_name)
    with foreign(lambda found: DataError("D016.module", target, found, module=module_name)):
        try:
            function: object = operator.attrgetter(attribute)(module)
        except AttributeError:
            known = [name for name, value in vars(module).items() if callable(value)]
            found = f"{attribute!r} is not there"
            raise DataError(
                "D016.name", target, found, module=module_name, advice=close_match(attribute, known)
            ) from None
    if not callable(function):
        found = type(function).__name__
        raise DataError("D016.callable", target, found)
    return function


def _module(target: str, name: str) -> ModuleType:
    with (
        foreign(lambda found: DataError("D016.import", target, found, module=name)),
        _current_folder(),
    ):
        return importlib.import_module(name)


@contextmanager
def _current_folder() -> Iterator[None]:
    """Modules are looked for there as well, after all other places, as ``python -c`` would.

    In a process of our own it stays so, for what the module imports later, and for its workers.
    Nobody who names no callable has a module of the working folder imported.
    """
    here = os.getcwd()
    if {"", here} & set(sys.path):
        yield
        return
    sys.path.append(here)
    if is_own():
        yield
        return
    try:
        yield
    finally:
        with suppress(ValueError):  # the module may have changed the list itself
            sys.path.remove(here)
