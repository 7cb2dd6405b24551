"""Compiled loops: the same as the plain ones, wherever they may be kept."""

import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from lostbits.statistics.jit import _private, compiled, compiled_sums

pytestmark = pytest.mark.slow


def total(values: np.ndarray) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


@pytest.mark.parametrize("make", [compiled, compiled_sums])
def test_a_compiled_loop_gives_what_the_plain_one_gives(make: Callable[..., Any]) -> None:
    values = np.random.default_rng(0).normal(size=1001)
    assert make(total)(values) == pytest.approx(total(values), rel=1e-12)


def test_sums_in_order_are_those_of_the_plain_loop_to_the_last_bit() -> None:
    values = np.random.default_rng(1).normal(size=1001) * 10.0 ** np.arange(1001) ** 0.3
    assert compiled(total)(values) == total(values)


def test_a_loop_that_cannot_be_kept_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numba raises when neither the module's folder nor the user's can be written."""
    real, asked = njit, []

    def nowhere(**options: Any) -> Any:
        asked.append(options.pop("cache", False))
        if asked[-1]:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr("lostbits.statistics.jit.njit", nowhere)
    assert compiled(total)(np.arange(4.0)) == 6
    assert asked == [True, False]


LOOPS = """
import numpy as np
from lostbits.statistics.jit import compiled

@compiled
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result

assert total(np.arange(4.0)) == 6
"""


class Poison:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def _run(folder: Path, **environment: str) -> None:
    """Compile a loop in a process of its own, whose working folder this is."""
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "loops.py").write_text(LOOPS)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    paths = os.pathsep.join(p for p in (str(folder / "code"), *sys.path) if p)
    command = [sys.executable, "-P", "-c", "import loops"]
    shell = {**kept, "PYTHONPATH": paths, **environment}
    done = subprocess.run(
        command, cwd=folder, env=shell, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("who", ["user", "anybody", "file"])
def test_a_cache_is_read_only_where_nobody_else_can_write(tmp_path: Path, who: str) -> None:
    """The user's own is, which also shows that the poison works."""
    cache, mark = tmp_path / "cache", tmp_path / "mark"
    cache.mkdir(mode=0o700)
    _run(tmp_path, NUMBA_CACHE_DIR=str(cache))
    indices = list(cache.rglob("*.nbi"))
    assert indices
    for index in indices:
        index.write_bytes(pickle.dumps(Poison(mark)))
    if who == "file":
        (tmp_path / ".numba_config.yaml").write_text("cache_dir: ./cache\n")
        _run(tmp_path)
    else:
        indices[0].parent.chmod(0o700 if who == "user" else 0o777)
        _run(tmp_path, NUMBA_CACHE_DIR=str(cache))
    assert mark.exists() == (who == "user")


@pytest.mark.parametrize(("mode", "private"), [(0o755, True), (0o1777, True), (0o777, False)])
def test_a_folder_is_as_private_as_those_above_it(tmp_path: Path, mode: int, private: bool) -> None:
    (above := tmp_path / "above").mkdir()
    (above / "cache").mkdir(mode=0o700)
    above.chmod(mode)
    (link := tmp_path / "link").symlink_to(above / "cache")
    assert _private(link) == _private(above / "cache") == private
    (above / "cache").chmod(0o1777)
    assert not _private(link), "others can add what is not there yet"


def test_a_folder_of_another_user_is_not_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.stat

    def others(path: Path) -> os.stat_result:
        found = list(real(path))
        found[stat.ST_UID] = 12345 if path == tmp_path else 0
        return os.stat_result(found)

    assert _private(tmp_path)
    monkeypatch.setattr(Path, "stat", others)
    assert not _private(tmp_path)
