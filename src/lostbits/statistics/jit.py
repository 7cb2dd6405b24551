"""Loops that would be many passes over memory in NumPy, compiled to machine code when first used.

Compiled code outlives the process: beside its module, or in the user's cache folder where that one
cannot be written. Numba unpickles what it finds there, so it may look only where nobody else could
have put something; elsewhere a loop is compiled anew in each process.
"""

import inspect
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import config

_Loop = TypeVar("_Loop", bound=Callable[..., object])


def compiled(loop: _Loop) -> _Loop:
    """The same function without the interpreter and its lock; float sums keep their order."""
    return _made(loop, set())


def compiled_sums(loop: _Loop) -> _Loop:
    """The same for a loop whose float sums may take another order, always the same one."""
    return _made(loop, {"reassoc", "nsz"})


def _made(loop: _Loop, freedom: set[str]) -> _Loop:
    def made(*, kept: bool) -> Any:
        return njit(nogil=True, error_model="numpy", fastmath=freedom, cache=kept)(loop)

    if _placed_by_a_file():
        return cast(_Loop, made(kept=False))
    try:
        result = made(kept=True)
    except RuntimeError:  # nowhere to keep it, as where no folder can be written
        return cast(_Loop, made(kept=False))
    beside = Path(inspect.getfile(loop)).parent / "__pycache__"  # where Python keeps code as well
    folder = Path(result.stats.cache_path)
    return cast(_Loop, result if folder == beside or _private(folder) else made(kept=False))


def _placed_by_a_file() -> bool:
    """Whether numba has its folder from ``.numba_config.yaml``, which it reads where it is run.

    That file may have come with a model. What the user sets is in the environment.
    """
    names = ("CACHE_DIR", "CACHE_LOCATOR_CLASSES")
    return any(getattr(config, n, "") != os.environ.get(f"NUMBA_{n}", "") for n in names)


def _private(folder: Path) -> bool:
    """Whether nobody but this user and root can write there, or put another folder in its place."""
    whole = folder.resolve()
    open_to_all = whole.stat().st_mode & stat.S_IWOTH
    return not open_to_all and all(_stays(place.stat()) for place in (whole, *whole.parents))


def _stays(folder: os.stat_result) -> bool:
    """Whether others cannot move what is in it; the sticky bit keeps them from that."""
    movable = folder.st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH
    return (folder.st_uid == 0 or folder.st_uid == os.geteuid()) and not movable
