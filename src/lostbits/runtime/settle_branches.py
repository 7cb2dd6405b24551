"""Conditions that the samples settle: an If that goes the same way for all of them is no choice."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes import common

from lostbits.data import Batch, Source
from lostbits.graph.branches import inline_branches, open_conditions
from lostbits.graph.convert_opset import convert_opset
from lostbits.graph.queries import name_of
from lostbits.graph.simplify import normalise
from lostbits.runtime.float_reference import Reference
from lostbits.runtime.session import Session


def settled(reference: Reference, source: Source, batch: int, *, fold: bool = True) -> Reference:
    """The reference with the branches that all samples take, one by one and in batches.

    Looked at are conditions that follow from shapes and from inputs of integers; others, and those
    that differ between samples, stay.

    Raises:
        DataError: A sample cannot be read or does not fit the model.
        SimulationError: S001 when a condition cannot be computed.
    """
    if not reference.changes.control_flow:
        return reference
    model, conditions = reference.plain.clone(), dict[str, bool]()
    convert_opset(model)
    while True:
        inline_branches(model, conditions)
        found = open_conditions(model.graph)
        same = _same_for_all(model, {n: name_of(v) for n, v in found.items()}, source, batch)
        if not same:
            break
        conditions |= same
    if not conditions:
        return reference
    model, changes = normalise(reference.plain, fold=fold, conditions=conditions)
    old = reference.changes
    changes = replace(changes, quantizers=old.quantizers, floats=old.floats)
    return replace(reference, model=model, changes=replace(changes, assumed=sorted(conditions)))


def _same_for_all(
    model: ir.Model, tensors: Mapping[str, str], source: Source, batch: int
) -> dict[str, bool]:
    """Conditions, by node, that have one value for all samples."""
    if not tensors:
        return {}
    session, seen = Session(_only(model, set(tensors.values()))), dict[str, set[bool]]()
    for part in _unlike(source, batch):
        for name, value in session.run(part.feeds).items():
            seen.setdefault(name, set()).add(bool(np.all(value)))
    return {n: next(iter(seen[t])) for n, t in tensors.items() if len(seen[t]) == 1}


def _unlike(source: Source, batch: int) -> Iterator[Batch]:
    """Samples, alone and in batches, whose shapes or integers were not there before."""
    known = set[object]()
    for size in (1, batch):
        for part in source.batches(size):
            key = tuple(map(_key, part.feeds.values()))
            if key not in known:
                known.add(key)
                yield part


def _key(x: NDArray[Any]) -> object:
    """What may settle a condition: the shape, and the values of integers."""
    return x.shape if x.dtype.kind == "f" else (x.shape, x.tobytes())


def _only(model: ir.Model, names: set[str]) -> ir.Model:
    """A copy that computes some tensors and nothing else."""
    copy = model.clone()
    values = [v for node in copy.graph for v in node.outputs if v.name in names]
    copy.graph.outputs.clear()
    copy.graph.outputs.extend([*values, *(v for v in copy.graph.inputs if v.name in names)])
    common.RemoveUnusedNodesPass()(copy)
    return copy
