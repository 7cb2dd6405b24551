"""Copies of a graph with quantizers, switches or measuring nodes put in."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.errors import SimulationError
from lostbits.graph.queries import (
    add_initializer,
    constant,
    name_of,
    node_name,
    opset,
    rank,
    values_by_name,
)
from lostbits.graph.site import Site
from lostbits.grid import Affine, along

Constants = Mapping[str, NDArray[np.float32]]
LIMITED = "__limited"  # in the names of the nodes that hold values within a narrow grid
LOOKED_UP = "__looked_up"  # in the names of what dequantizes rows of a table, behind its Gather
REPEATED = "__repeated"  # in the names of pairs that stand behind a node which only moves values
_NOTHING: Constants = MappingProxyType({})
_MICROSOFT = "com.microsoft"
_Integer = type[np.integer[Any]]
_STORAGE: dict[tuple[int, bool], _Integer] = {
    (8, True): np.int8,
    (8, False): np.uint8,
    (16, True): np.int16,
    (16, False): np.uint16,
    (32, True): np.int32,
    (32, False): np.int32,
}


def before(site: Site) -> str:
    """Name under which an instrumented graph gives the value that enters a site's quantizer."""
    return site.tensor


def after(site: Site) -> str:
    """Name under which it gives the value that leaves the quantizer."""
    return f"{site.tensor}__quantized"


def with_outputs(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """A copy that returns the named tensors, in that order, instead of the model's outputs."""
    copy = model.clone()
    _set_outputs(copy.graph, list(names))
    return copy


def quantized(
    model: ir.Model,
    sites: Sequence[Site],
    plan: Mapping[str, Affine],
    outputs: Iterable[str] = (),
    *,
    float_weights: bool = False,
) -> ir.Model:
    """The Q/DQ model of ``plan``: integer constants, QuantizeLinear pairs on activations.

    Returns the model's own outputs, quantized where they are sites, and then the tensors named
    in ``outputs`` (see ``before`` and ``after``). ``float_weights`` keeps weights in float behind
    pairs of their own; biases have 32 bits, which QuantizeLinear does not have. Sites without an
    entry in the plan stay in float.
    """
    copy = model.clone()
    values, readers = values_by_name(copy.graph), _readers(copy.graph)
    for site in sites:
        value, affine = values[site.tensor], plan.get(site.key)
        if affine is None:
            continue
        if not (site.streams or (float_weights and site.role == "weight")):
            made = _dequantized(copy, site, value, affine)
        elif site.dynamic:
            made = _of_the_run(copy, site, value)
        elif _narrow(affine, site):
            made = _round_trip(copy, site, _limited(copy, site, value, affine), affine)
        else:
            made = _round_trip(copy, site, value, affine)
        _redirect(copy.graph, readers, site, made)
    _look_up_codes(copy.graph)
    names = [name_of(v) for v in copy.graph.outputs] + list(outputs)
    _set_outputs(copy.graph, names)
    return copy


def _look_up_codes(graph: ir.Graph) -> None:
    """Let a Gather take rows of codes, and dequantize those: else a run would do it for all."""
    for node in list(graph):
        back = node.inputs[0].producer() if node.op_type == "Gather" and node.inputs[0] else None
        if back is None or back.op_type != "DequantizeLinear":
            continue
        if node.attributes.get_int("axis", 0) != 0:
            continue
        codes, *parameters = back.inputs
        shape = None if codes is None or constant(codes) is None else codes.shape
        axis = back.attributes.get_int("axis", 0) if "axis" in back.attributes else None
        if shape is not None and axis in (None, len(shape) - 1):
            _look_up(graph, node, back, [codes, *parameters])
            if not back.outputs[0].uses():
                graph.remove(back, safe=True)


def _look_up(
    graph: ir.Graph, gather: ir.Node, back: ir.Node, codes: Sequence[ir.Value | None]
) -> None:
    old, columns = gather.outputs[0], {"axis": -1} if "axis" in back.attributes else {}
    rows = ir.node("Gather", [codes[0], gather.inputs[1]], {"axis": 0}, name=gather.name)
    made = ir.node("DequantizeLinear", [rows.outputs[0], *codes[1:]], columns, domain=back.domain)
    made.name = f"{back.name}{LOOKED_UP}__{name_of(old)}"
    rows.outputs[0].name, made.outputs[0].name = f"{name_of(old)}__codes", old.name
    made.outputs[0].type, made.outputs[0].shape = old.type, old.shape
    old.replace_all_uses_with(made.outputs[0], replace_graph_outputs=True)
    graph.insert_before(gather, [rows, made])
    graph.remove(gather, safe=True)


def repeat_pairs(graph: ir.Graph, moves: Collection[str]) -> None:
    """Put the pair of a tensor again behind every node that only moves its values.

    Their codes do not change, so nothing does; but QNN takes a node for quantized only between a
    DequantizeLinear and a QuantizeLinear of its own, and refuses the integer layer behind it.
    """
    for node in list(graph):
        source = node.inputs[0] if node.inputs else None
        pair = None if source is None else source.producer()
        if pair is not None and node.op_type in moves and _follows_quantizer(pair):
            for moved in node.outputs:
                if not any(use.node.op_type == "QuantizeLinear" for use in moved.uses()):
                    _repeat(graph, moved, node, pair)


def _follows_quantizer(node: ir.Node) -> bool:
    codes = node.inputs[0] if node.op_type == "DequantizeLinear" else None
    producer = None if codes is None else codes.producer()
    return producer is not None and producer.op_type == "QuantizeLinear"


def _repeat(graph: ir.Graph, moved: ir.Value, node: ir.Node, pair: ir.Node) -> None:
    parameters = list(pair.inputs[1:])
    code = ir.node("QuantizeLinear", [moved, *parameters], domain=pair.domain)
    back = ir.node("DequantizeLinear", [code.outputs[0], *parameters], domain=pair.domain)
    name = name_of(moved)
    _name([code, back], f"{name}{REPEATED}")
    readers = [(use.node, use.idx) for use in moved.uses() if use.node is not code]
    for reader, index in readers:
        reader.replace_input_with(index, back.outputs[0])
    if moved.is_graph_output():
        moved.name, back.outputs[0].name = f"{name}__float", name
        back.outputs[0].type, back.outputs[0].shape = moved.type, moved.shape
        for index, output in enumerate(list(graph.outputs)):
            if output is moved:
                graph.outputs[index] = back.outputs[0]
    graph.insert_after(node, [code, back])


def with_constants(model: ir.Model, written: Constants) -> ir.Model:
    """A copy with other constants; shapes and names stay."""
    copy = model.clone()
    for name, array in written.items():
        copy.graph.initializers[name].const_value = ir.tensor(array, name=name)
    return copy


def switched(
    model: ir.Model,
    sites: Sequence[Site],
    plan: Mapping[str, Affine],
    written: Constants = _NOTHING,
) -> ir.Model:
    """A copy whose every quantizer can be turned off: the coalitions of an exact attribution.

    Two further inputs, boolean vectors with one entry a site: ``lostbits_clip`` and
    ``lostbits_round``. With both on, a site gives exactly what the Q/DQ model gives; with one on,
    only that part of the error; with none, the float value.
    """
    copy = model.clone()
    values, readers = values_by_name(copy.graph), _readers(copy.graph)
    switches = [
        _switch_input(copy.graph, f"lostbits_{cause}", len(sites)) for cause in ("clip", "round")
    ]
    for number, site in enumerate(sites):
        value, affine = values[site.tensor], plan.get(site.key)
        if site.streams and affine is not None:
            limited = _limited(copy, site, value, affine)
            source = limited if _narrow(affine, site) else value
            full = _round_trip(copy, site, source, affine)
        else:
            full, limited = _fixed(copy, site, value, affine, written)
        chosen = _choose(copy, site, number, switches, (value, limited, full))
        _redirect(copy.graph, readers, site, chosen)
    copy.graph.sort()
    return copy


def _switch_input(graph: ir.Graph, name: str, size: int) -> ir.Value:
    value = ir.Value(name=name, shape=ir.Shape([size]), type=ir.TensorType(ir.DataType.BOOL))
    graph.inputs.append(value)
    return value


def _choose(
    model: ir.Model,
    site: Site,
    number: int,
    switches: Sequence[ir.Value],
    values: tuple[ir.Value, ir.Value, ir.Value],
) -> ir.Value:
    """Clip and round: full; clip: limited; round: full inside the range, float outside."""
    plain, limited, full = values
    index = add_initializer(model.graph, f"{site.key}__number", np.asarray(number, np.int64))
    clip, rounded = (ir.node("Gather", [s, index], {"axis": 0}) for s in switches)
    inside = ir.node("Equal", [plain, limited])
    part = ir.node("Where", [inside.outputs[0], full, plain])
    clip_on = ir.node("Where", [rounded.outputs[0], full, limited])
    clip_off = ir.node("Where", [rounded.outputs[0], part.outputs[0], plain])
    chosen = ir.node("Where", [clip.outputs[0], clip_on.outputs[0], clip_off.outputs[0]])
    nodes = [clip, rounded, inside, part, clip_on, clip_off, chosen]
    _name(nodes, f"{site.key}__switch")
    _insert_after(model.graph, full if full.producer() else plain, nodes)
    return chosen.outputs[0]


def _fixed(
    model: ir.Model, site: Site, value: ir.Value, affine: Affine | None, written: Constants
) -> tuple[ir.Value, ir.Value]:
    array = constant(value)
    assert array is not None
    floats = array.astype(np.float32)
    chosen = written.get(site.tensor, floats)
    full = chosen if affine is None else affine.fake_quantize(chosen)
    limited = floats if affine is None else affine.clip(floats)
    return (
        add_initializer(model.graph, f"{site.key}__full", full),
        add_initializer(model.graph, f"{site.key}__limited", limited),
    )


def _limited(model: ir.Model, site: Site, value: ir.Value, affine: Affine) -> ir.Value:
    """Limit to the dequantized ends of the grid; Clip takes scalars only, Max and Min any shape."""
    axes = rank(value) or 0
    lo, hi = (
        add_initializer(model.graph, f"{site.key}__{end}", along(limit, axes, affine.axis))
        for end, limit in (("lo", affine.lo), ("hi", affine.hi))
    )
    if affine.axis is None:
        nodes = [ir.node("Clip", [value, lo, hi])]
    else:
        nodes = [ir.node("Max", [value, lo])]
        nodes.append(ir.node("Min", [nodes[0].outputs[0], hi]))
    _name(nodes, f"{site.key}{LIMITED}")
    _insert_after(model.graph, value, nodes)
    return nodes[-1].outputs[0]


def _narrow(affine: Affine, site: Site) -> bool:
    """Whether the grid does not fill its integer type, so that values must be limited before."""
    info = np.iinfo(_storage(affine, site))
    return (affine.grid.qmin, affine.grid.qmax) != (info.min, info.max)


def _round_trip(model: ir.Model, site: Site, source: ir.Value, affine: Affine) -> ir.Value:
    """QuantizeLinear -> DequantizeLinear."""
    storage, domain = _storage(affine, site), _domain(model, affine)
    scale, zero = _parameters(model.graph, site, affine, storage)
    axis = {} if affine.axis is None else {"axis": affine.axis}
    code = ir.node("QuantizeLinear", [source, scale, zero], axis, domain=domain)
    back = ir.node("DequantizeLinear", [code.outputs[0], scale, zero], axis, domain=domain)
    _name([code, back], site.key)
    back.outputs[0].name = after(site)
    if domain:  # inference of shapes knows no ops but those of ONNX
        code.outputs[0].type, code.outputs[0].shape = zero.type, source.shape
        back.outputs[0].type, back.outputs[0].shape = source.type, source.shape
    _insert_after(model.graph, source, [code, back])
    return back.outputs[0]


def _of_the_run(model: ir.Model, site: Site, source: ir.Value) -> ir.Value:
    """DynamicQuantizeLinear -> DequantizeLinear: uint8, between the extremes of the run."""
    code = ir.node("DynamicQuantizeLinear", [source], num_outputs=3)
    back = ir.node("DequantizeLinear", code.outputs)
    _name([code, back], site.key)
    for number, value in enumerate(code.outputs[1:], 1):
        value.name = f"{code.name}__out{number}"
    back.outputs[0].name = after(site)
    _insert_after(model.graph, source, [code, back])
    return back.outputs[0]


def _dequantized(model: ir.Model, site: Site, value: ir.Value, affine: Affine) -> ir.Value:
    """Integer constant -> DequantizeLinear."""
    array = constant(value)
    assert array is not None
    storage = _storage(affine, site)
    codes = affine.codes(array.astype(np.float32)).astype(storage)
    source = add_initializer(model.graph, f"{site.key}__codes", codes)
    scale, zero = _parameters(model.graph, site, affine, storage)
    inputs = [source, scale] if affine.grid.bits == 32 else [source, scale, zero]
    axis = {} if affine.axis is None else {"axis": affine.axis}
    node = ir.node("DequantizeLinear", inputs, axis, domain=_domain(model, affine))
    _name([node], site.key)
    node.outputs[0].name = after(site)
    readers = {use.node for use in value.uses()}
    if len(readers) == 1:  # next to its reader, so that the runtime need not hold it for long
        model.graph.insert_before(readers.pop(), node)
    else:
        _insert_after(model.graph, source, [node])
    return node.outputs[0]


def _storage(affine: Affine, site: Site) -> _Integer:
    """Integer type that holds the codes; ONNX has no quantizer wider than 16 bits for data."""
    bits, signed = affine.grid.bits, affine.grid.signed
    if bits > 16 and site.streams:
        raise SimulationError("S004", f"activation {site.tensor!r}", f"{bits}")
    width = 8 if bits <= 8 else 16 if bits <= 16 else 32
    return _STORAGE[width, signed]


def _domain(model: ir.Model, affine: Affine) -> str:
    """ONNX's own ops where their version suffices, ONNX Runtime's contributed ones elsewhere."""
    version, bits = opset(model), affine.grid.bits
    if (8 < bits <= 16 and version < 21) or (affine.axis is not None and version < 13):
        model.graph.opset_imports[_MICROSOFT] = 1
        return _MICROSOFT
    return ""


def _parameters(
    graph: ir.Graph, site: Site, affine: Affine, storage: _Integer
) -> tuple[ir.Value, ir.Value]:
    return (
        add_initializer(graph, f"{site.key}__scale", affine.scale),
        add_initializer(graph, f"{site.key}__zero_point", affine.zero_point.astype(storage)),
    )


def _name(nodes: Sequence[ir.Node], prefix: str) -> None:
    for number, node in enumerate(nodes):
        node.name = f"{prefix}__{node.op_type}_{number}"
        node.outputs[0].name = f"{node.name}__out"


def _insert_after(graph: ir.Graph, value: ir.Value, nodes: Sequence[ir.Node]) -> None:
    producer = value.producer()
    if producer is not None:
        graph.insert_after(producer, nodes)
    elif len(graph):
        graph.insert_before(graph[0], nodes)
    else:
        graph.extend(nodes)


def _readers(graph: ir.Graph) -> dict[str, ir.Node]:
    """Nodes that sites may name, before any are added."""
    return {node_name(n): n for n in graph if n.name}


def _redirect(graph: ir.Graph, readers: Mapping[str, ir.Node], site: Site, made: ir.Value) -> None:
    """Let the readers of ``site`` read ``made``."""
    for use in site.uses:
        if use.node:
            readers[use.node].replace_input_with(use.index, made)
        else:
            graph.outputs[use.index] = made


def _set_outputs(graph: ir.Graph, names: Sequence[str]) -> None:
    values = values_by_name(graph)
    graph.outputs.clear()
    for name in dict.fromkeys(names):
        graph.outputs.append(values[name])
