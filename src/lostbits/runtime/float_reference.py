"""The reference: the user's file, normalised, if it can be diagnosed at all."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

import onnx
import onnx_ir as ir

from lostbits.data import InputSpec
from lostbits.errors import ModelError, edge
from lostbits.graph.batch_axis import batch_axis
from lostbits.graph.fold import too_big
from lostbits.graph.invalid import invalid
from lostbits.graph.load import load
from lostbits.graph.queries import RANDOM, name_of
from lostbits.graph.remove_idle_nodes import idle
from lostbits.graph.saturation import mask_tensors
from lostbits.graph.selection import candidates
from lostbits.graph.simplify import (
    Normalisation,
    normalise,
    repeated_outputs,
    without_quantizers,
)
from lostbits.graph.unfuse import has_fused
from lostbits.graph.widen import widened
from lostbits.runtime.runtime_types import complete_types
from lostbits.system.memory import excess

_SEQUENCES = frozenset(
    {
        "ConcatFromSequence",
        "Optional",
        "OptionalGetElement",
        "OptionalHasElement",
        "SequenceAt",
        "SequenceConstruct",
        "SequenceEmpty",
        "SequenceErase",
        "SequenceInsert",
        "SequenceLength",
        "SplitToSequence",
    }
)
_INTEGER = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QLinearConv",
        "QLinearMatMul",
    }
)


@final
@dataclass(frozen=True)
class Reference:
    """A float network to compare with.

    Attributes:
        model: Normalised.
        plain: The file's network without Q/DQ pairs and in float32, otherwise as it came.
        changes: What normalising did.
        path: Of the file; for a model in memory its name, which is no path.
        sha256: Of the file; of a model in memory, as a protobuf message.
        repeated: Outputs that the file lists more than once, and that are looked at once.
        narrow: The file's network in its own floats, where those are others than float32.
        rounding_db: How far ``narrow`` is from ``plain`` on real inputs; None where it was not
            looked at, or no runtime here computes in those floats.
    """

    model: ir.Model
    plain: ir.Model
    changes: Normalisation
    path: Path
    sha256: str
    repeated: Sequence[str] = ()
    narrow: ir.Model | None = None
    rounding_db: float | None = None


def open_reference(source: Path | onnx.ModelProto | ir.Model, *, fold: bool = True) -> Reference:
    """Load and normalise a model; without ``fold``, BatchNorms stay.

    Raises:
        ModelError: M001 to M005 from loading, M008 for values that are
            not tensors, M009 when it does not compute in float32, M012 for random nodes,
            M013 for tensors that memory does not hold.
    """
    file = load(source)
    path, repeated = file.path, repeated_outputs(file.model)
    with edge(partial(invalid, str(path))):
        found, quantizers = without_quantizers(file.model)
        plain, floats = widened(found)
        _check_executable(plain, path)
        if has_fused(plain.graph):
            complete_types(plain)  # of tensors whose axes decide how an op is taken apart
        model, changes = normalise(plain, fold=fold)
        complete_types(model)
        _check_executable(model, path)
    changes = replace(changes, quantizers=quantizers, floats=list(floats))
    narrow = found if floats else None
    return Reference(model, plain, changes, path, file.sha256, repeated, narrow)


def input_specs(model: ir.Model) -> list[InputSpec]:
    """What the model takes, for the data sources."""
    specs, masks = [], mask_tensors(model.graph)
    for value in model.graph.inputs:
        if value.dtype is None or value.dtype is ir.DataType.UNDEFINED:
            raise ModelError("M008.input", f"input {name_of(value)!r}", str(value.type))
        shape = tuple(d if isinstance(d, int) else None for d in value.shape or ())
        name, dtype, axis = name_of(value), value.dtype.numpy(), batch_axis(value)
        size = next(iter(value.shape or ()), None)
        counted = (size.value if isinstance(size, ir.SymbolicDim) else None) or ""
        specs.append(InputSpec(name, dtype, shape, axis, name in masks, counted))
    return specs


def _check_executable(model: ir.Model, path: Path) -> None:
    """Every node must compute with numeric tensors, once, and something must be in float32."""
    values = [*model.graph.inputs, *(v for node in model.graph for v in node.outputs)]
    inside = (node for f in model.functions.values() for node in f.all_nodes())
    for node in (*model.graph, *inside):
        _check_node(node, path)
    for value in values:
        _check_numeric(value, path)
        _check_size(value, path)
    if not any(v.dtype in (None, ir.DataType.FLOAT) for v in values):
        raise _not_float32(str(path), "no float32 tensor")
    floats = any(v.dtype in (None, ir.DataType.FLOAT) for v in model.graph.outputs)
    if not floats and not candidates(model.graph):
        found = ", ".join(f"{v.name!r} is {v.dtype}" for v in model.graph.outputs)
        raise _not_float32(f"{path}: outputs", found)


def _check_node(node: ir.Node, path: Path) -> None:
    where = f"{path}: node {node.name!r}"
    if node.op_type in _SEQUENCES:
        raise _not_numeric(where, f"{node.op_type}, which is about sequences or optionals")
    if _trains(node):
        raise ModelError("M012", where, f"{node.op_type} is random, or of the batch")
    if node.op_type in _INTEGER:
        raise _quantized(where, node)


def _trains(node: ir.Node) -> bool:
    """Whether the node draws numbers or looks at the other samples of its batch."""
    if node.op_type == "BatchNormalization":
        return bool(node.attributes.get_int("training_mode", 0))
    return node.op_type in RANDOM or (node.op_type == "Dropout" and not idle(node))


def _quantized(where: str, node: ir.Node) -> ModelError:
    """M009 for a file of integer kernels, with what compares it with its float model."""
    beside = () if node.graph is None else node.graph
    scaled = any(other.op_type.startswith("DynamicQuantize") for other in beside)
    when = " with scales of each run: it is quantized dynamically" if scaled else ""
    return ModelError("M009.integer", where, f"{node.op_type} computes in integers{when}")


def _not_float32(where: str, found: str) -> ModelError:
    return ModelError("M009.floats", where, found)


def _check_size(value: ir.Value, path: Path) -> None:
    """Of one sample, or of the whole where the file fixes the lengths of all axes."""
    lengths = [d for d in value.shape or () if isinstance(d, int)]
    size = 0 if value.dtype is None else int(value.dtype.itemsize * math.prod(lengths))
    if found := excess(size):
        raise too_big(f"{path}: {value.name!r}", found)


def _check_numeric(value: ir.Value, path: Path) -> None:
    odd = value.type is not None and not isinstance(value.type, ir.TensorType)
    if odd or value.dtype == ir.DataType.STRING:
        raise _not_numeric(f"{path}: {value.name!r}", str(value.type))


def _not_numeric(where: str, found: str) -> ModelError:
    return ModelError("M008.value", where, found)
