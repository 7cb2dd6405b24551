"""Contract of a backend: a real runtime that runs an exported Q/DQ file.

A backend is handed the bytes of a file and gives values; whether they are right is decided
elsewhere (``lostbits.verification``). What it must not do is run something else than the file, or
run it elsewhere: a node that falls back to another device is an error, not a detail.
"""

import abc
import importlib.util
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.errors import BackendError

Arrays = Mapping[str, NDArray[Any]]
Arithmetic = Callable[[ir.Model, Collection[str]], tuple[ir.Model, int]]


@final
@dataclass(frozen=True)
class Executed:
    """A node as the runtime ran it.

    Attributes:
        op: The runtime's own name for the kind of node.
        precision: Type that it computed in, as the runtime calls it.
        integer: Whether that is integer arithmetic.
        nodes: Names of the file's nodes that went into it, as far as the runtime tells.
    """

    op: str
    precision: str
    integer: bool
    nodes: tuple[str, ...]


class Loaded(abc.ABC):
    """A file that a runtime has accepted.

    Attributes:
        executed: Its nodes that compute (quantizers and moves of data are none).
        precision: What the runtime computes in where it does not compute in integers.
    """

    executed: Sequence[Executed]
    precision: str

    @abc.abstractmethod
    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Every output by name.

        Raises:
            BackendError: B003 when the runtime stops.
        """


class Backend(abc.ABC):
    """A runtime, with the settings that make it a backend of its own.

    Attributes:
        name: What users give to ``--backend``.
        title: One line for tables.
        format: Name of the exporter whose file it runs.
        package: Package on the index; None for what lostbits needs anyway.
        extra: What to install, as ``lostbits[extra]``.
        module: What the package is imported as.
        one_by_one: Whether it needs a static batch of 1.
        on_this_processor: Whether it computes with this machine's own instructions.
        moves_signs: Whether it computes pairs behind factors of both signs wrongly; see
            ``graph.signed_factors``.
        arithmetic: What makes a Q/DQ graph compute as it does, and counts the layers; None where
            that is not known. Nodes that the runtime left in float are named.
    """

    name: str
    title: str
    format: str
    package: str | None = None
    extra: str | None = None
    module: str
    one_by_one: bool = False
    on_this_processor: bool = True
    moves_signs: bool = False
    arithmetic: Arithmetic | None = None

    @abc.abstractmethod
    def load(self, content: bytes) -> Loaded:
        """Let the runtime compile a file; the package is there.

        Raises:
            BackendError: B002 when the runtime refuses the file.
        """

    @abc.abstractmethod
    def version(self) -> str:
        """Of the runtime; the package is there."""

    def installed(self) -> bool:
        """Whether the package can be imported."""
        return importlib.util.find_spec(self.module) is not None

    def open(self, content: bytes) -> Loaded:
        """See ``load``.

        Raises:
            BackendError: B001 when the package is missing: a check that is left out must not look
                like one that was passed.
        """
        if not self.installed():
            raise BackendError(
                "B001", f"backend {self.name!r}", f"no {self.package}", extra=self.extra
            )
        return self.load(content)


def refused(backend: str, found: str) -> BackendError:
    """An error for a file that the runtime does not take."""
    return BackendError("B002", f"backend {backend!r}", found)


def stopped(backend: str, found: str) -> BackendError:
    """An error for a run that did not end well."""
    return BackendError("B003", f"backend {backend!r}", found)
