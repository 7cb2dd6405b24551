"""Whether two graphs compute the same from the same tensors, to the last constant."""

from typing import Any

import numpy as np
import onnx_ir as ir

from lostbits.graph.queries import constant, name_of


def same_network(a: ir.Model, b: ir.Model) -> bool:
    """Whether nodes, names of tensors and constants are equal; what is written beside them is not.

    Names count, since parameters and errors of the two are compared by them.
    """
    return a is b or (_ends(a) == _ends(b) and _nodes(a) == _nodes(b) and _equal_constants(a, b))


def _ends(model: ir.Model) -> list[list[str]]:
    return [[name_of(v) for v in values] for values in (model.graph.inputs, model.graph.outputs)]


def _nodes(model: ir.Model) -> list[bytes]:
    """The nodes without the notes that tools leave on them."""
    content = []
    for node in model.graph:
        proto = ir.to_proto(node)
        for note in ("doc_string", "metadata_props"):
            proto.ClearField(note)
        content.append(proto.SerializeToString(deterministic=True))
    return content


def _equal_constants(a: ir.Model, b: ir.Model) -> bool:
    first, second = a.graph.initializers, b.graph.initializers
    return first.keys() == second.keys() and all(
        _equal(constant(first[name]), constant(second[name])) for name in first
    )


def _equal(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and np.array_equal(a, b)
