"""Contract of an exporter: a case -> the files of a platform, and back.

What a platform takes is data (``Takes``), so that the check before writing, the list of what the
platform does on its own, and the tests read the same table.
"""

import abc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
import onnx_ir as ir
from google.protobuf.message import EncodeError
from numpy.typing import NDArray

from lostbits.case import Case, constant_of
from lostbits.errors import ExportError, close_match
from lostbits.graph.enclose import opened_up
from lostbits.graph.ends import with_declared_ends
from lostbits.graph.instrument import with_constants
from lostbits.graph.large import constant_bytes, parted
from lostbits.graph.queries import values_by_name
from lostbits.graph.scale_marks import cut_at_marks, host_lines
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid
from lostbits.language import Figure
from lostbits.reader import Parameters

Kind = Literal["activation", "weight", "bias"]
Files = Mapping[str, bytes]
_BESIDE = ".data"  # after the name of a model, the file of its large constants
ONE_FILE = (1 << 31) - (1 << 26)  # bytes of constants; a protocol buffer holds 2 GiB, nodes and all


@final
@dataclass(frozen=True)
class Takes:
    """What a format, and the platform behind it, takes for one kind of tensor.

    Attributes:
        grids: Names of the grids, such as ``int8``.
        symmetric: Those of them whose zero point must be the middle code.
        per_channel: ``middle`` takes several scales only where the zero points are the middle code.
    """

    grids: frozenset[str]
    symmetric: frozenset[str] = frozenset()
    per_channel: Literal["no", "middle", "any"] = "no"


class Exporter(abc.ABC):
    """Writes the parameters of a case for a platform.

    Attributes:
        name: What users give to ``--to``.
        title: One line for tables.
        files: Names of the files that ``write`` gives.
        takes: By kind of tensor; a kind that is missing is not written.
        otherwise: For the missing kinds, what the platform does with them.
    """

    name: str
    title: str
    files: tuple[str, ...]
    takes: Mapping[Kind, Takes]
    otherwise: Mapping[Kind, str]

    @abc.abstractmethod
    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """Content by file name for sites that are known to fit; see ``write``."""

    @abc.abstractmethod
    def read(self, files: Files) -> Parameters:
        """The parameters in files that ``write`` gave.

        Raises:
            ReadError: See ``lostbits.reader``.
        """

    @abc.abstractmethod
    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """What this platform would change or ignore beyond its table; see ``lint``."""

    def write(self, case: Case) -> Files:
        """Content by file name; the case is not changed and nothing touches the disk.

        Raises:
            ExportError: The first of what the format cannot hold (E001 to E003, E012), E013 for
                a plan with nothing to write, E010 for a model beyond 2 GiB.
        """
        sites = self.sites(case)
        for violation in violations(case, self):
            raise violation
        if not sites:
            raise ExportError("E013", self.name, "no site")
        return self.render(case, sites)

    def lint(self, case: Case, model: ir.Model | None = None) -> list[ExportError]:
        """What the platform would refuse, ignore or change; empty if it runs the plan as it is.

        Args:
            case: What is to be exported.
            model: The model that the platform will load, if it is another than the case's own.
        """
        sites = self.sites(case)
        names = unknown_names(sites, self, model or case.model)
        return [*violations(case, self), *names, *self.concerns(case, sites)]

    def sites(self, case: Case) -> tuple[Site, ...]:
        """The sites that are written."""
        return tuple(s for s in case.sites if kind_of(s) in self.takes)

    def left_out(self, case: Case) -> dict[str, Figure]:
        """Tensors that the platform computes on its own or leaves in float, with reasons."""
        others: dict[str, Figure] = {
            s.tensor: self.otherwise.get(kind_of(s), "not written")
            for s in case.sites
            if kind_of(s) not in self.takes
        }
        return {**case.placed.left_in_float, **others}


def kind_of(site: Site) -> Kind:
    """Outputs are activations."""
    return "activation" if site.role == "output" else site.role


def violations(case: Case, exporter: Exporter) -> list[ExportError]:
    """What the format cannot hold or the platform cannot run, by its table."""
    found, taken = list[ExportError](), dict[str, Site]()
    for site in exporter.sites(case):
        found += _violations(site, case.plan[site.key], exporter)
        if taken.setdefault(site.tensor, site) is not site:
            found.append(_two_roles(site, taken[site.tensor]))
    return found


def _violations(site: Site, affine: Affine, exporter: Exporter) -> Iterator[ExportError]:
    takes, where = exporter.takes[kind_of(site)], f"{site.role} {site.tensor!r} in {exporter.name}"
    middle = bool((affine.zero_point == middle_code(affine.grid)).all())
    if affine.grid.name not in takes.grids:
        yield ExportError("E001", where, affine.grid.name, grids=", ".join(sorted(takes.grids)))
    if affine.grid.name in takes.symmetric and not middle:
        found = str(int(affine.zero_point.ravel()[0]))
        yield ExportError("E002", where, found, middle=middle_code(affine.grid))
    channels = takes.per_channel == "any" or (takes.per_channel == "middle" and middle)
    if affine.axis is not None and not channels:
        found = f"{affine.scale.size} scales on axis {affine.axis}"
        yield ExportError(
            "E003.tensor" if takes.per_channel == "no" else "E003.middle", where, found
        )


def middle_code(grid: Grid) -> int:
    """The zero point of a symmetric tensor."""
    return 0 if grid.signed else (grid.qmin + grid.qmax + 1) // 2


def _two_roles(site: Site, other: Site) -> ExportError:
    found = f"parameters as {other.role} and as {site.role}"
    return ExportError("E012", f"tensor {site.tensor!r}", found)


def unknown_names(sites: Sequence[Site], exporter: Exporter, model: ir.Model) -> list[ExportError]:
    """Names that ``model`` does not have: converters skip their entries without a word."""
    known = values_by_name(model.graph)
    return [
        ExportError(
            "E004",
            f"{site.role} {site.tensor!r} in {exporter.name}",
            "no such tensor, so the entry would be ignored",
            advice=close_match(site.tensor, known),
        )
        for site in sites
        if site.tensor not in known
    ]


def constant_values(case: Case, site: Site) -> NDArray[np.float32]:
    """The array that the platform gets for a weight or bias, before it rounds it."""
    written = case.written.get(site.tensor)
    return constant_of(case.model, site) if written is None else written


def float_model(case: Case) -> ir.Model:
    """A copy of the float network with the constants that the platform gets."""
    return with_constants(case.model, case.written)


def host_model(case: Case) -> ir.Model:
    """``float_model`` without what an integer-only platform leaves to the host."""
    return cut_at_marks(float_model(case))


def left_to_host(case: Case) -> list[ExportError]:
    """A remark with the line of Python for each node that ``host_model`` is without."""
    return [
        ExportError("E022", "the program that runs the model", line)
        for line in host_lines(case.model)
    ]


def serialized(model: ir.Model) -> bytes:
    """The ONNX file of a model, with inputs and outputs as the user's file declares them.

    Raises:
        ExportError: E010, beyond the 2 GiB of a protocol buffer.
    """
    try:
        written = with_declared_ends(opened_up(model))
        return ir.to_proto(written).SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        raise ExportError("E010", "ONNX file", str(error)) from error


def onnx_files(name: str, model: ir.Model) -> Files:
    """The ONNX file of a model; beyond what one file holds, with its large constants beside it.

    Both can be moved together: the one names the other without a folder.
    """
    if constant_bytes(model.graph) < ONE_FILE:
        return {name: serialized(model)}
    beside = f"{name}{_BESIDE}"
    rest, parts = parted(model, beside)
    return {beside: b"".join(parts), name: serialized(rest)}


def one_file(files: Files) -> bytes:
    """What of these a runtime is handed that takes bytes.

    Raises:
        ExportError: E010 where the model does not fit into one file.
    """
    name = next(name for name in files if name.endswith(".onnx"))
    if f"{name}{_BESIDE}" in files:
        raise ExportError("E010", name, f"{len(files[f'{name}{_BESIDE}'])} bytes beside it")
    return files[name]


def site_rows(case: Case, sites: Sequence[Site]) -> list[dict[str, Any]]:
    """Sites as our own JSON formats list them; numbers are exact."""
    return [_row(site, case.plan[site.key]) for site in sites]


def _row(site: Site, affine: Affine) -> dict[str, Any]:
    grid = affine.grid
    return {
        "tensor": site.tensor,
        "role": site.role,
        "node": site.node,
        "group": site.group,
        "bits": grid.bits,
        "signed": grid.signed,
        "qmin": grid.qmin,
        "qmax": grid.qmax,
        "axis": affine.axis,
        "scale": affine.scale.astype(np.float64).tolist(),
        "zero_point": affine.zero_point.tolist(),
        "lo": affine.lo.astype(np.float64).tolist(),
        "hi": affine.hi.astype(np.float64).tolist(),
    }
