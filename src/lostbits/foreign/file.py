"""Somebody else's file, read once: parameters, and the quantized model if it is one."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import onnx
import onnx_ir as ir

from lostbits.data.paths import existing, reading
from lostbits.errors import edge
from lostbits.graph.channel_affine import keeps_affines
from lostbits.graph.external import with_external_data
from lostbits.graph.functions import check_functions
from lostbits.graph.order import sort
from lostbits.graph.outline import forget
from lostbits.graph.queries import LINEAR, RECURRENT
from lostbits.graph.simplify import opened
from lostbits.reader import Parameters, damaged
from lostbits.readers import OnnxModel, parameters_of, reader_of
from lostbits.system.files import PROTOBUF, read_file, size_of
from lostbits.system.memory import excess
from lostbits.target import Placement, Target
from lostbits.targets import MEMBERS as TARGETS
from lostbits.targets import ONNXRUNTIME
from lostbits.targets import target as find_target

# ONNX Runtime as quantize_dynamic prepares models for it: quantization/registry.py, 1.32.
_OF_RUNS = replace(
    ONNXRUNTIME,
    bias_bits=None,
    placement=Placement(
        mode="inputs",
        ops=LINEAR | RECURRENT | {"Gather"},
        fused_activations=frozenset(),
        fusing_ops=frozenset(),
        shared_scale=frozenset(),
        passes_through=frozenset(),
    ),
)


@final
@dataclass(frozen=True)
class Foreign:
    """Somebody else's file, read once.

    Attributes:
        path: The file.
        sha256: Of its content.
        title: Of the format that was recognised.
        parameters: Its content.
        model: The quantized model, if the file is one.
        graph: That model with constants where they are looked for; see ``graph.opened``.
        renamed: Whether it bears the names of the float model, by its structure.
    """

    path: Path
    sha256: str
    title: str
    parameters: Parameters
    model: ir.Model | None = None
    graph: ir.Model | None = None
    renamed: bool = False

    @property
    def folds(self) -> bool:
        """Whether the tool that wrote it had scales and shifts of channels folded into layers.

        Where it had not, the codes are those of other weights than the normalised model has, and
        only a model that keeps its BatchNorms, Muls and Adds can be compared with them.
        """
        return self.graph is None or not keeps_affines(self.graph.graph)


def read_foreign(path: Path) -> Foreign:
    """What a file of parameters, or a quantized model, holds.

    Raises:
        DataError: D001 or D002 when there is nothing to read.
        ReadError: I001 to I004.
        ModelError: M002 for constants that do not fit their shapes, M004 for external data.
    """
    return foreign_of(content_of(path), path)


def foreign_of(content: bytes, path: Path) -> Foreign:
    """The same of the content of the file at ``path``."""
    reader, sha256 = reader_of(content), hashlib.sha256(content).hexdigest()
    if reader.name != OnnxModel.name:
        return Foreign(path, sha256, reader.title, reader.read(content))
    with edge(damaged):
        model = _parsed(content, path)
        graph = opened(model)  # once: it takes half a minute for some thousand calls of functions
        parameters = parameters_of(model, graph)
        return Foreign(path, sha256, reader.title, parameters, model, graph)


def content_of(path: Path) -> bytes:
    """All bytes of a regular file.

    Raises:
        DataError: D001 or D002 when there is nothing to read, or more than memory holds.
    """
    existing(path)
    with reading(str(path)):
        if found := excess(size_of(path)):
            raise ValueError(found)
        return read_file(path, most=PROTOBUF)


def _parsed(content: bytes, path: Path) -> ir.Model:
    """The model with the data that lie beside it; sorted, as a runtime would do it.

    What it says of its inner tensors is no more trusted than in a float model.
    """
    proto = onnx.ModelProto.FromString(content)
    check_functions(proto)
    sort(proto)
    forget(proto)
    return with_external_data(proto, path)


def candidates(
    target: str | Path | Target | None, parameters: Parameters | None = None
) -> list[Target]:
    """The named target, or all, ONNX Runtime's first: most tools have taken over its rules.

    Files without static activations are run by ONNX Runtime alone, with integers where a weight
    is multiplied. The last one is ONNX Runtime's with activation functions by themselves: there are
    tools that round before and behind a Clip, and their files run so.
    """
    if isinstance(target, Target):
        return [target]
    if target is not None:
        return [find_target(str(target))]
    if parameters is not None and (parameters.dynamic or parameters.weights_only):
        return [_OF_RUNS]
    alone = replace(ONNXRUNTIME.placement, fused_activations=frozenset())
    unfused = replace(ONNXRUNTIME, placement=alone)
    return [ONNXRUNTIME, *(t for t in TARGETS.all() if t is not ONNXRUNTIME), unfused]
