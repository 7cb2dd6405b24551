"""A Q/DQ graph whose layers start from real values that are given from outside."""

from collections.abc import Callable, Iterable, Sequence

import onnx_ir as ir
from onnx_ir.passes import common

from lostbits.graph.qdq_view import Tap
from lostbits.graph.queries import name_of, values_by_name

_GIVEN = "__real"


def given_real(tap: Tap) -> str:
    """Name of the input that takes the real values of a tap."""
    return f"{tap.codes}{_GIVEN}"


def given_linear(name: str) -> str:
    """Name of the input that takes the values of a tensor inside of a layer."""
    return f"{name}{_GIVEN}"


def sources(graph: ir.Graph) -> dict[str, str]:
    """By name of the codes, name of what is quantized to them."""
    return {
        name_of(n.outputs[0]): name_of(n.inputs[0])
        for n in graph
        if n.op_type == "QuantizeLinear" and n.inputs[0] is not None
    }


def with_reals(
    model: ir.Model, taps: Sequence[Tap], outputs: Iterable[str], given: Iterable[str] = ()
) -> ir.Model:
    """A copy in which every layer reads reals from outside, and that gives tensors by name.

    In contrast to ``forced``, what comes from a device need not lie on the plan's grid: it may be
    on another one, or on none.

    Args:
        model: Q/DQ graph.
        taps: Whose readers are fed; an input of the copy each, ``given_real``.
        outputs: Names of the tensors that it gives, codes among them.
        given: Names of float tensors whose readers are fed as well, ``given_linear``.
    """
    copy = model.clone()
    values, codes = values_by_name(copy.graph), {tap.codes: tap for tap in taps}
    for node in list(copy.graph):
        source = node.inputs[0] if node.op_type == "DequantizeLinear" else None
        tap = None if source is None else codes.get(name_of(source))
        if tap is not None:
            _feed(copy.graph, node.outputs[0], given_real(tap))
    for name in given:
        _feed(copy.graph, values[name], given_linear(name))
    copy.graph.outputs.clear()
    for name in dict.fromkeys(outputs):
        value = values[name]
        value.shape = None
        copy.graph.outputs.append(value)
    common.RemoveUnusedNodesPass()(copy)
    return copy


def _feed(graph: ir.Graph, value: ir.Value, name: str) -> None:
    """Let the readers of a value read an input instead."""
    entry = next((v for v in graph.inputs if v.name == name), None)
    if entry is None:
        entry = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT))
        graph.inputs.append(entry)
    for use in list(value.uses()):
        use.node.replace_input_with(use.idx, entry)


def edited(model: ir.Model, edit: Callable[[ir.Graph], None]) -> ir.Model:
    """A copy with what ``edit`` does to its graph."""
    copy = model.clone()
    edit(copy.graph)
    return copy
