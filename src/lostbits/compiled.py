"""Loops that would be many passes over memory in NumPy, compiled to machine code when first used.

Compiled code outlives the process: beside its module, or in the user's cache folder where that one
cannot be written.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

_Loop = TypeVar("_Loop", bound=Callable[..., object])


def compiled(loop: _Loop) -> _Loop:
    """The same function without the interpreter and its lock; float sums keep their order."""
    return _made(loop, set())


def compiled_sums(loop: _Loop) -> _Loop:
    """The same for a loop whose float sums may take another order, always the same one."""
    return _made(loop, {"reassoc", "nsz"})


def _made(loop: _Loop, freedom: set[str]) -> _Loop:
    def made(*, kept: bool) -> object:
        return njit(nogil=True, error_model="numpy", fastmath=freedom, cache=kept)(loop)

    try:
        return cast(_Loop, made(kept=True))
    except RuntimeError:  # nowhere to keep it, as where no folder can be written
        return cast(_Loop, made(kept=False))
