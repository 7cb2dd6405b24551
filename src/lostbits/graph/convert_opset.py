"""A graph in the words of an opset that all the rest understands: 11 to 23.

ONNX's converter is handed one node at a time. Of a whole graph it loses the names of nodes and
tensors, which are the user's, does not say which node it failed at, and leaves inner graphs alone.
"""

from collections.abc import Iterator, Sequence
from typing import final

import onnx
import onnx_ir as ir
from onnx import version_converter
from onnx_ir.passes import common

from lostbits.errors import ModelError, first_line
from lostbits.graph.inference import infer
from lostbits.graph.queries import add_initializer, constant, name_of, opset
from lostbits.system.logs import silenced

READABLE = range(7, onnx.defs.onnx_opset_version() + 1)
KNOWN = range(11, 24)
_IR_VERSIONS = {11: 6}  # of the format of files, which came with an opset
_SETTINGS = 1024  # values up to which an input may be a setting that the converter looks at
_NEW_SCAN = 9  # opset
_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def check_opset(model: ir.Model, where: str) -> None:
    """M003 for an opset that cannot be read, or none."""
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx"))
    if version is None or version not in READABLE:
        first, last = READABLE.start, READABLE.stop - 1
        raise ModelError("M003.opset", where, f"opset {version}", first=first, last=last)


def convert_opset(model: ir.Model) -> int:
    """Bring a model into the nearest known opset; returns the one it had, 0 where that is known.

    A model of a newer opset with a node that older ones lack (Swish, of 24) keeps its opset.

    Raises:
        ModelError: M003 for a node of an older opset that cannot be converted.
    """
    found = opset(model)
    wanted = min(max(found, KNOWN.start), KNOWN.stop - 1)
    if found == wanted:
        return 0
    infer(model)
    changed = [node for node in _nodes(model.graph) if _differs(node, found, wanted)]
    converted = _all_converted(changed, found, wanted)
    if converted is None:
        return 0
    for node, made in zip(changed, converted, strict=True):
        _Splice(node, made).put()
    model.opset_imports.pop("ai.onnx", None)
    model.opset_imports[""] = wanted
    model.ir_version = max(model.ir_version, _IR_VERSIONS.get(wanted, 0))
    return found


def _nodes(graph: ir.Graph) -> Iterator[ir.Node]:
    """Those of inner graphs as well."""
    return (n for n in graph.all_nodes() if n.domain in ("", "ai.onnx"))


def _differs(node: ir.Node, found: int, wanted: int) -> bool:
    """Whether the op was changed between two opsets; of control flow only more types came.

    But for the Scan of 8, which had a batch axis of its own.
    """
    if any(a.type in _GRAPHS for a in node.attributes.values()):
        return node.op_type == "Scan" and found < _NEW_SCAN
    return _since(node, found) != _since(node, wanted)


def _since(node: ir.Node, version: int) -> int:
    try:
        return int(onnx.defs.get_schema(node.op_type, version, "").since_version)
    except onnx.defs.SchemaError:
        return 0


def _all_converted(nodes: Sequence[ir.Node], found: int, wanted: int) -> list[ir.Graph] | None:
    converted = []
    for node in nodes:
        try:
            converted.append(_converted(node, found, wanted))
        except Exception as error:  # of the converter's C++, and of the inference in it
            if found > wanted:
                return None
            where, why = f"node {node.name!r}", f"{node.op_type} of opset {found}: "
            raise ModelError("M003.node", where, why + first_line(error), wanted=wanted) from error
    return converted


def _converted(node: ir.Node, found: int, wanted: int) -> ir.Graph:
    """A graph with what the node is in the other opset; ``in0`` and ``out0`` are its ends."""
    if node.op_type == "Scan":
        raise ValueError("it has a batch axis of its own there")
    made = version_converter.convert_version(_one_node(node, found), wanted)
    with silenced("onnx_ir"):
        model = ir.from_proto(made)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return model.graph


def _one_node(node: ir.Node, version: int) -> onnx.ModelProto:
    proto, infos, tensors = ir.to_proto(node), [], []
    for index, value in enumerate(node.inputs):
        if value is None:
            continue
        proto.input[index] = name = f"in{index}"
        array = constant(value)
        infos.append(_info(value, name))
        if array is not None and array.size <= _SETTINGS:
            tensors.append(onnx.numpy_helper.from_array(array, name))
    for index, output in enumerate(node.outputs):
        proto.output[index] = f"out{index}" if output.name else ""
    outputs = [_info(o, f"out{i}") for i, o in enumerate(node.outputs) if o.name]
    graph = onnx.helper.make_graph([proto], "one_node", infos, outputs, tensors)
    opsets = [onnx.helper.make_opsetid("", version)]
    return onnx.helper.make_model(
        graph, opset_imports=opsets, ir_version=max(_IR_VERSIONS.values())
    )


def _info(value: ir.Value, name: str) -> onnx.ValueInfoProto:
    dims = None
    if value.shape is not None:
        dims = [d if isinstance(d, int) else None for d in value.shape]
    kind = ir.DataType.FLOAT if value.dtype is None else value.dtype
    return onnx.helper.make_tensor_value_info(name, int(kind), dims)


@final
class _Splice:
    """What takes the place of a node: the nodes of a graph of their own."""

    def __init__(self, node: ir.Node, made: ir.Graph) -> None:
        self.node, self.made = node, made
        assert node.graph is not None and node.name is not None
        self.graph, self.name = node.graph, node.name

    def put(self) -> None:
        nodes = list(self.made)
        self._join_inputs()
        outputs = {name_of(v): v for v in self.made.outputs}
        for number, new in enumerate(nodes):
            last = number == len(nodes) - 1
            new.name = self.name if last else f"{self.name}__{number}"
            for value in new.outputs:
                value.name = f"{self.name}__{value.name}" if value.name else value.name
        self.made.outputs.clear()
        self.made.remove(nodes)
        self.graph.insert_before(self.node, nodes)
        for index, old in enumerate(self.node.outputs):
            if f"out{index}" in outputs:
                _take_over(old, outputs[f"out{index}"])
        self.graph.remove(self.node, safe=True)

    def _join_inputs(self) -> None:
        for value in [*self.made.inputs, *self.made.initializers.values()]:
            name = name_of(value)
            if name.startswith("in") and name[2:].isdecimal():
                source = self.node.inputs[int(name[2:])]
            else:
                array = constant(value)
                assert array is not None
                source = add_initializer(self.graph, f"{self.name}__{name}", array)
            assert source is not None
            value.replace_all_uses_with(source)


def _take_over(old: ir.Value, new: ir.Value) -> None:
    """Let the readers of a value read another, which gets its name."""
    new.type, new.shape = old.type, old.shape
    name, old.name = name_of(old), f"{old.name}__old"
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    new.name = name
