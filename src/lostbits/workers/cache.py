"""What a run has finished, kept on disk: an interrupt costs a layer, or seconds.

A file is an ``.npz`` of plain numbers with its SHA-256 behind it. Nothing in it can run. One that
is damaged, or does not hold what it should, is remarked and made anew.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.data import Source
from lostbits.errors import OutputError, edge
from lostbits.graph.queries import constant
from lostbits.grid import Affine
from lostbits.system.archive import arrays
from lostbits.workers.serialize import versions
from lostbits.workers.work_folder import Work

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]
Kind = TypeVar("Kind")

_CHECKSUM = hashlib.sha256().digest_size


@final
@dataclass(frozen=True)
class Cache:
    """Files in a folder of their own for everything that they depend on.

    Attributes:
        work: The folder that it lies in.
        name: Of one sweep over the layers, or one run over the data; see ``of``.
    """

    work: Work
    name: str

    @classmethod
    def of(
        cls,
        work: Work,
        source: Source,
        settings: str,
        model: ir.Model,
        plan: Mapping[str, Affine] = MappingProxyType({}),
        written: Arrays = MappingProxyType({}),
    ) -> "Cache":
        """The cache of what is found with ``source``; ``settings`` names the rest.

        The key covers model, plan, recovered constants, samples, settings and versions.

        Raises:
            OutputError: O006 when ``work`` is no folder of ours.
        """
        digest = _digest(model, source, settings)
        for key, affine in sorted(plan.items()):
            _include(digest.update, f"{key} {affine.grid}", affine.scale)
            _include(digest.update, str(affine.axis), affine.zero_point)
        for tensor, values in sorted(written.items()):
            _include(digest.update, tensor, values)
        name = digest.hexdigest()[:32]
        work.take(name)
        return cls(work, name)

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.work.root / self.name

    def load(self, name: str | int, read: Callable[[Arrays], Kind]) -> Kind | None:
        """What ``read`` makes of the arrays kept under a name.

        None for nothing, and, with a remark, for what is damaged or what ``read`` raises at.
        """
        file = f"{name}.npz"
        try:
            with edge(partial(_damaged, self.folder / file)):
                content = self.work.read(self.name, file)
                return None if content is None else read(_opened(content))
        except OutputError as damage:
            self.work.remark(str(damage))
            return None

    def keep(self, name: str | int, content: Arrays) -> None:
        """Keep arrays under a name, whole or not at all.

        Raises:
            OutputError: O006 when they cannot be written.
        """
        stream = io.BytesIO()
        np.savez(stream, **content)  # type: ignore[arg-type]
        body = stream.getbuffer()
        checksum = memoryview(hashlib.sha256(body).digest())
        self.work.put(self.name, f"{name}.npz", [body, checksum])


def _damaged(path: Path, found: str) -> OutputError:
    return OutputError("O008", str(path), found)


def _opened(content: bytes) -> Arrays:
    body, checksum = content[:-_CHECKSUM], content[-_CHECKSUM:]
    if hashlib.sha256(body).digest() != checksum:
        raise ValueError("its checksum is that of another content")
    return arrays(body)


def _digest(model: ir.Model, source: Source, settings: str) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for text in (versions(), settings, source.fingerprint(), str(len(source))):
        digest.update(text.encode(errors="surrogatepass") + b"\0")
    for node in model.graph:
        ends = [v.name if v is not None else "" for v in (*node.inputs, *node.outputs)]
        attributes = [str(a) for a in node.attributes.values()]
        digest.update(f"{node.op_type} {ends} {attributes}\0".encode(errors="surrogatepass"))
    for name, value in sorted(model.graph.initializers.items()):
        _include(digest.update, name, constant(value))
    return digest


def _include(update: Callable[[bytes], None], name: str, array: Array | None) -> None:
    update(name.encode(errors="surrogatepass") + b"\0")
    if array is not None:
        update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
