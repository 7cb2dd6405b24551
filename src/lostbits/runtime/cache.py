"""What a sweep over the layers has finished, kept on disk: an interrupt costs one layer."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.queries import constant
from lostbits.grid import Affine, Grid


@final
@dataclass(frozen=True)
class Cache:
    """Arrays by number, in a folder of their own for everything that they depend on.

    Attributes:
        folder: Of one sweep; see ``of``.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, case: Case, source: Source, settings: str) -> "Cache":
        """The cache of a sweep over ``case`` with ``source``; ``settings`` names the rest.

        The key covers model, plan, recovered constants, samples, settings and our version.
        """
        digest = hashlib.sha256()
        for text in (version("lostbits"), settings, source.fingerprint(), str(len(source))):
            digest.update(text.encode() + b"\0")
        for name, value in sorted(case.model.graph.initializers.items()):
            _include(digest.update, name, constant(value))
        for key, affine in sorted(case.plan.items()):
            _include(digest.update, f"{key} {affine.grid}", affine.scale)
            _include(digest.update, str(affine.axis), affine.zero_point)
        for name, written in sorted(case.written.items()):
            _include(digest.update, name, written)
        return cls(root / digest.hexdigest()[:32])

    def load(self, number: int) -> dict[str, NDArray[np.generic]] | None:
        """What was kept under a number; None for nothing, or a file that cannot be read."""
        try:
            with np.load(self._path(number), allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError):
            return None

    def keep(self, number: int, **arrays: NDArray[np.generic]) -> None:
        """Keep arrays under a number, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False, suffix=".part") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(file.name, self._path(number))

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.npz"


def _include(update: Callable[[bytes], None], name: str, array: NDArray[np.generic] | None) -> None:
    update(name.encode() + b"\0")
    if array is not None:
        update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())


def packed(affine: Affine) -> dict[str, NDArray[np.generic]]:
    """An affine as arrays."""
    grid = affine.grid
    axis = -1 if affine.axis is None else affine.axis
    whole = np.array([grid.bits, grid.signed, grid.qmin, grid.qmax, axis], np.int64)
    return {"grid": whole, "scale": affine.scale, "zero_point": affine.zero_point}


def unpacked(arrays: dict[str, NDArray[np.generic]]) -> Affine | None:
    """The affine in ``arrays``, if there is one."""
    if "grid" not in arrays:
        return None
    bits, signed, qmin, qmax, axis = (int(v) for v in arrays["grid"])
    scale = arrays["scale"].astype(np.float32)
    zero = arrays["zero_point"].astype(np.int64)
    return Affine(Grid(bits, bool(signed), qmin, qmax), scale, zero, None if axis < 0 else axis)
