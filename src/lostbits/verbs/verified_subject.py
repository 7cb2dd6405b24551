"""What ``verify`` runs, and what it compares it with."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

import onnx
import onnx_ir as ir

from lostbits.backend import Backend
from lostbits.case import Case
from lostbits.exporter import one_file
from lostbits.exporters import exporter
from lostbits.graph.compared_outputs import compared_outputs
from lostbits.graph.outputs import Compared
from lostbits.graph.queries import is_float, name_of
from lostbits.language import Message, say
from lostbits.runtime.float_reference import open_reference
from lostbits.runtime.measured import chooses
from lostbits.runtime.simulation import quantized_model
from lostbits.target import Target
from lostbits.verbs.load import load
from lostbits.verbs.quantized_file import graph_of, quantized_content


@final
@dataclass(frozen=True)
class Subject:
    """What is run, and what it is compared with.

    Attributes:
        content: The file.
        simulated: Q/DQ graph whose arithmetic is the definition.
        floats: The float network.
        planned: Whether ``simulated`` is a plan of its own, or the file as it is written.
        compared: What is compared: outputs, and what others are chosen from.
        planned_for: The kernels that the plan was made for, which ``simulated`` leaves out.
    """

    content: bytes
    simulated: ir.Model
    floats: ir.Model
    planned: bool
    compared: tuple[Compared, ...] = ()
    planned_for: Message | None = None

    @property
    def outputs(self) -> list[str]:
        """Names of what is compared: float outputs, or what they are chosen from."""
        if chooses(self.compared):
            return [each.name for each in self.compared]
        return [name_of(v) for v in self.floats.graph.outputs if is_float(v)]


def subject_of(
    case: Case | str | Path,
    against: Case | str | Path | onnx.ModelProto | ir.Model | None,
    backend: Backend,
) -> Subject:
    """The file, the simulation and the float network of what the user named.

    Raises:
        BackendError: B005 for a file that is no ONNX model, B006 for a baked one.
        LostbitsError: Whatever is wrong with the parts.
    """
    other = against if isinstance(against, Case) or against is None else float_of(against)
    floats = other if isinstance(other, ir.Model) else None
    if isinstance(case, Case):
        return _of_case(case, _exported(case, backend), floats)
    content = quantized_content(Path(case))
    if isinstance(other, Case):
        return _of_case(other, content, None)
    own = open_reference(Path(case)).model if floats is None else floats
    compared = compared_outputs(own.graph)
    return Subject(content, graph_of(content), own, planned=False, compared=compared)


def float_of(against: str | Path | onnx.ModelProto | ir.Model) -> ir.Model | Case:
    """A float model, or the case of a recovery's folder."""
    if not isinstance(against, str | Path):
        return open_reference(against).model
    return load(against) if os.path.isdir(against) else open_reference(Path(against)).model


def _of_case(case: Case, content: bytes, floats: ir.Model | None) -> Subject:
    parts = content, quantized_model(case), floats or case.model
    told = planned_for(case.target)
    return Subject(*parts, planned=True, compared=case.compared, planned_for=told)


def planned_for(target: Target) -> Message | None:
    """What is to be said of the arithmetic of a plan; nothing where its sums are ideal."""
    own = target.arithmetic
    if own is None:
        return None
    return say("dump.planned_for", title=own.title, name=own.name)


def _exported(case: Case, backend: Backend) -> bytes:
    return one_file(exporter(backend.format).write(case))
