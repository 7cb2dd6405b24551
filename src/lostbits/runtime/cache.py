"""What a run has finished, kept on disk: an interrupt costs a layer, or seconds."""

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.errors import OutputError
from lostbits.graph.queries import constant
from lostbits.grid import Affine, Grid
from lostbits.runtime.parcel import versions

Array = NDArray[np.generic]


@final
@dataclass(frozen=True)
class Cache:
    """Files in a folder of their own for everything that they depend on.

    Attributes:
        folder: Of one sweep over the layers, or one run over the data; see ``of``.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, case: Case, source: Source, settings: str) -> "Cache":
        """The cache of a sweep over ``case`` with ``source``; ``settings`` names the rest.

        The key covers model, plan, recovered constants, samples, settings and versions.
        """
        digest = _digest(case.model, source, settings)
        for key, affine in sorted(case.plan.items()):
            _include(digest.update, f"{key} {affine.grid}", affine.scale)
            _include(digest.update, str(affine.axis), affine.zero_point)
        for name, written in sorted(case.written.items()):
            _include(digest.update, name, written)
        return cls(root / digest.hexdigest()[:32])

    @classmethod
    def of_model(cls, root: Path, model: ir.Model, source: Source, settings: str) -> "Cache":
        """The cache of what is found before there is a plan."""
        return cls(root / _digest(model, source, settings).hexdigest()[:32])

    def load(self, number: int) -> dict[str, Array] | None:
        """The arrays kept under a number; None for nothing, or a file that cannot be read."""
        content = self.read(f"{number}.npz")
        if content is None:
            return None
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, number: int, **arrays: Array) -> None:
        """Keep arrays under a number, whole or not at all."""
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        self.put(f"{number}.npz", content.getvalue())

    def read(self, name: str) -> bytes | None:
        """What was put under a name; None for nothing."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def put(self, name: str, content: bytes) -> None:
        """Put a file there, whole or not at all.

        Raises:
            OutputError: O006 when it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False, suffix=".part") as file:
                file.write(content)
            os.replace(file.name, self.folder / name)
        except OSError as error:
            raise OutputError(
                "O006",
                str(self.folder / name),
                "what is finished must be kept, so that an interrupt does not cost it",
                error.strerror or str(error),
                "free some space or choose another --out",
            ) from error


def _digest(model: ir.Model, source: Source, settings: str) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for text in (versions(), settings, source.fingerprint(), str(len(source))):
        digest.update(text.encode() + b"\0")
    for node in model.graph:
        ends = [v.name if v is not None else "" for v in (*node.inputs, *node.outputs)]
        attributes = [str(a) for a in node.attributes.values()]
        digest.update(f"{node.op_type} {ends} {attributes}\0".encode())
    for name, value in sorted(model.graph.initializers.items()):
        _include(digest.update, name, constant(value))
    return digest


def _include(update: Callable[[bytes], None], name: str, array: Array | None) -> None:
    update(name.encode() + b"\0")
    if array is not None:
        update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())


def packed(affine: Affine) -> dict[str, Array]:
    """An affine as arrays."""
    grid = affine.grid
    axis = -1 if affine.axis is None else affine.axis
    whole = np.array([grid.bits, grid.signed, grid.qmin, grid.qmax, axis], np.int64)
    return {"grid": whole, "scale": affine.scale, "zero_point": affine.zero_point}


def unpacked(arrays: dict[str, Array]) -> Affine | None:
    """The affine in ``arrays``, if there is one."""
    if "grid" not in arrays:
        return None
    bits, signed, qmin, qmax, axis = (int(v) for v in arrays["grid"])
    scale = arrays["scale"].astype(np.float32)
    zero = arrays["zero_point"].astype(np.int64)
    return Affine(Grid(bits, bool(signed), qmin, qmax), scale, zero, None if axis < 0 else axis)
