"""Quantized ONNX models: Q/DQ and QOperator, by whatever tool.

Names of activations survive quantization; those of constants mostly do not, because the integer
codes are new tensors. Such an entry carries the name without the suffixes that tools append, and
the inputs that read it, so that it can be matched either way.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar, final

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.instrument import LIMITED, LOOKED_UP, REPEATED
from lostbits.graph.queries import constant, name_of, node_name
from lostbits.graph.simplify import opened
from lostbits.graph.site import Use
from lostbits.graph.tensors import tensors_of
from lostbits.graph.turned import turned, turned_axis, turns
from lostbits.grid import Affine, Grid
from lostbits.reader import Entry, Parameters, Reader, Reading, damaged, narrowed, parse_json
from lostbits.readers.dynamic_ops import Weight, dynamic_tensors, dynamic_weights
from lostbits.readers.fake_quantize import FAKE, fake_grid
from lostbits.readers.integer_ops import OPS, layout, present, weight_axis
from lostbits.readers.plan import read_sites
from lostbits.readers.wiring import whole
from lostbits.system.logs import silenced

GRIDS_KEY = "lostbits.grids"  # metadata: grids narrower than the integer type that holds them
PLAN_KEY = "lostbits.plan"  # metadata: the sites of a float model that was baked
TURNED = "_Transposed"  # what ONNX Runtime appends to the weight of a Gemm that it made a MatMul
_SUFFIXES = (
    "_DequantizeLinear_Output",
    "_DequantizeLinear",
    "_QuantizeLinear_Output",
    "_QuantizeLinear_Input",
    "_QuantizeLinear",
    "__quantized",
    "_quantized",
    "_dequantized",
    "_quant",
    "_dq",
    "_q",
)
_GRIDS = {
    ir.DataType[f"{sign}INT{bits}"]: Grid.of(bits, signed=not sign)
    for sign in ("", "U")
    for bits in (4, 8, 16, 32)
}


@final
class OnnxModel(Reader):
    """Scales and zero points of QuantizeLinear, DequantizeLinear and the QLinear ops."""

    name: ClassVar[str] = "onnx"
    title: ClassVar[str] = "quantized ONNX model (Q/DQ or QOperator, by any tool)"

    def recognises(self, content: bytes) -> bool:
        """By the first field of the protocol buffer, the version of the format."""
        return content[:1] == b"\x08"

    def parse(self, content: bytes) -> Parameters:
        """See ``parameters_of``; a model with external data must be opened where it lies."""
        proto = onnx.ModelProto.FromString(content)
        beside = [t.name for t in tensors_of(proto) if t.data_location == t.EXTERNAL]
        if beside:
            raise damaged(f"the data of tensor {beside[0]!r} are not in the file itself")
        with silenced("onnx_ir"):
            return parameters_of(ir.from_proto(proto))


def parameters_of(model: ir.Model, inlined: ir.Model | None = None) -> Parameters:
    """What the quantizers of a model say; a baked one has none, and says it in its metadata.

    Args:
        model: As it was read; its nodes have their own names.
        inlined: What ``opened`` made of it, where that is known.

    Raises:
        ReadError: I002 for a graph that is not whole.
    """
    named = {n.name for n in whole(model).graph if n.name}
    graph = whole(opened(model) if inlined is None else inlined)
    if PLAN_KEY in model.metadata_props:
        return read_sites(parse_json(model.metadata_props[PLAN_KEY].encode()), OnnxModel.name)
    walk = _Walk(graph, named)
    for node in walk.graph:
        walk.visit(node)
    walk.of_runs()
    return walk.reading.parameters()


@final
class _Walk:
    """One pass over the nodes."""

    def __init__(self, model: ir.Model, named: Iterable[str]) -> None:
        self.graph, self.named = model.graph, frozenset(named)
        narrow = parse_json(model.metadata_props.get(GRIDS_KEY, "{}").encode())
        self.narrow = {name: narrowed(name, *fields) for name, fields in narrow.items()}
        self.reading = Reading(OnnxModel.name)
        self.codes: dict[str, str] = {}

    def visit(self, node: ir.Node) -> None:
        if f"{REPEATED}__" in node_name(node):
            return  # says what the pair before it has said
        if node.op_type == "DequantizeLinear":
            self._dequantizer(node)
        elif node.op_type == "QuantizeLinear" and not _dequantized(node.outputs[0]):
            self._add(node, name_of(node.inputs[0] or node.outputs[0]), ())
        elif node.op_type == FAKE:
            self._fake_quantizer(node)
        elif node.op_type in OPS:
            self._integer_op(node)

    def _fake_quantizer(self, node: ir.Node) -> None:
        """A quantizer of NNCF and OpenVINO, whose grid is given by its ends."""
        found, tensor = fake_grid(node), name_of(node.inputs[0] or node.outputs[0])
        if found is None:
            self.reading.malformed(tensor, "ends that are no constants, or others behind it")
            return
        details = {"aliases": (name_of(node.outputs[0]),), "uses": self._uses(node.outputs[0])}
        self.reading.add(
            tensor, found.grid, found.scale, found.zero_point, axis=found.axis, **details
        )

    def _dequantizer(self, node: ir.Node) -> None:
        source, output = node.inputs[0], node.outputs[0]
        assert source is not None
        quantizer = _before_clip(source)
        if LOOKED_UP in node_name(node) and quantizer and quantizer.op_type == "Gather":
            self._add_table(node, quantizer)
            return
        if quantizer is None or quantizer.op_type != "QuantizeLinear":
            first = self.codes.setdefault(name_of(source), name_of(output))
            self._add(node, first, (*stripped(name_of(output)), *stripped(name_of(source))))
            self._add_constant(first, constant(source), output)
            return
        assert quantizer.inputs[0] is not None
        names = [name_of(_unlimited(quantizer.inputs[0])), name_of(output)]
        if output.is_graph_output():  # the user knows the output's name, not that of the float
            names.reverse()
        self._note_clip(source, names[0])
        self._add(node, names[0], (names[1],))
        self._add_constant(names[0], constant(quantizer.inputs[0]), output)

    def _add_constant(
        self, tensor: str, values: NDArray[np.generic] | None, output: ir.Value
    ) -> None:
        """A constant's entry once more for every node that turns it before a layer reads it."""
        entry = self.reading.entries.get(tensor)
        if entry is not None and values is not None:
            self.reading.turned += self._turned(entry, values, output)

    def _turned(
        self, entry: Entry, values: NDArray[np.generic], output: ir.Value
    ) -> Iterator[Entry]:
        """The entry behind the nodes that turn the values, one behind the other perhaps."""
        for node in (use.node for use in output.uses() if use.idx == 0 and turns(use.node)):
            after, axis, result = turned(values, node), entry.affine.axis, node.outputs[0]
            place = None if axis is None else turned_axis(values.shape, axis, node)
            if after is None or (axis is not None and place is None):
                continue
            affine = replace(entry.affine, axis=place)
            behind = Entry(entry.tensor, affine, (name_of(result),), self._uses(result))
            yield behind
            yield from self._turned(behind, after, result)

    def _add_table(self, node: ir.Node, gather: ir.Node) -> None:
        """A constant of which rows are dequantized when they have been taken."""
        codes, parameters = gather.inputs[0], [constant(v) for v in node.inputs[1:3]]
        known = None if codes is None else codes.dtype
        scale, zero = (*parameters, None)[:2]
        if codes is None or known not in _GRIDS or scale is None or zero is None:
            self.reading.malformed(name_of(node.outputs[0]), "no codes, scale or zero point")
            return
        tensor, *aliases = _names(codes)
        axis = None if scale.size == 1 and "axis" not in node.attributes else 1
        details = {"axis": axis, "aliases": tuple(aliases), "uses": self._reader(gather, 0)}
        self.reading.add(tensor, _GRIDS[known], *_single(axis, scale, zero), **details)

    def _note_clip(self, codes: ir.Value, tensor: str) -> None:
        """A Clip of codes is part of the grid: those beyond its ends do not occur."""
        clip, dtype = codes.producer(), codes.dtype
        kind = _GRIDS.get(dtype) if dtype is not None else None
        if clip is None or clip.op_type != "Clip":
            return
        ends = [None if v is None else constant(v) for v in (*clip.inputs[1:3], None, None)]
        quantizer = _before_clip(codes)
        zero = quantizer.inputs[2] if quantizer is not None and len(quantizer.inputs) > 2 else None
        kind = _GRIDS.get(zero.dtype) if zero is not None and zero.dtype is not None else kind
        if kind is not None and tensor not in self.narrow:
            low = kind.qmin if ends[0] is None else max(int(ends[0]), kind.qmin)
            high = kind.qmax if ends[1] is None else min(int(ends[1]), kind.qmax)
            self.narrow[tensor] = narrowed(tensor, kind.bits, kind.signed, low, high)

    def _add(self, node: ir.Node, tensor: str, aliases: tuple[str, ...]) -> None:
        """What a quantizer or dequantizer says of ``tensor``."""
        scale = constant(node.inputs[1])
        zero = node.inputs[2] if len(node.inputs) > 2 else None
        kind = _kind(node, zero)
        if scale is None or (zero is not None and constant(zero) is None):
            self.reading.malformed(tensor, "scale or zero point is no constant")
        elif kind not in _GRIDS or node.attributes.get_int("block_size", 0) != 0:
            self.reading.unsupported(tensor, f"{kind} {'blocks' if kind in _GRIDS else ''}")
        else:
            axis = _axis(node, scale)
            zeros = np.zeros(scale.shape) if zero is None else _array(zero)
            details = {"axis": axis, "aliases": aliases, "uses": self._uses(node.outputs[0])}
            grid = self.narrow.get(tensor, _GRIDS[kind])
            self.reading.add(tensor, grid, *_single(axis, scale, zeros), **details)

    def of_runs(self) -> None:
        """Weights whose activations have a scale of each run, or none."""
        activations = any(_is_activation(node) for node in self.graph)
        self.reading.dynamic = dynamic_tensors(self.graph)
        found = list(dynamic_weights(self.graph))
        # Tables of other files are known by what is looked up in them.
        weights = [w for w in found if self.reading.dynamic or not w.looked_up]
        known = bool(weights or self.reading.entries)
        self.reading.weights_only = known and not (self.reading.dynamic or activations)
        for weight in weights:
            self._of_run(weight)

    def _of_run(self, weight: Weight) -> None:
        tensor, *aliases = _float_names(weight)
        self.reading.entries.pop(weight.looked_up, None)
        if weight.scale is None:
            self.reading.unsupported(tensor, weight.blocks)
            return
        uses = () if weight.output is None else self._uses(weight.output)
        if weight.node is not None:
            uses = self._reader(weight.node, weight.index)
        details = {"axis": weight.axis, "aliases": tuple(aliases), "uses": uses}
        self.reading.add(tensor, _GRIDS[weight.codes], weight.scale, weight.zero_point, **details)

    def _uses(self, value: ir.Value) -> tuple[Use, ...]:
        """Readers whose names are the file's own; invented ones would match anything."""
        uses = [
            Use(node_name(u.node), u.idx) for u in value.uses() if node_name(u.node) in self.named
        ]
        outputs = [Use("", i) for i, o in enumerate(self.graph.outputs) if o is value]
        return (*uses, *outputs)

    def _integer_op(self, node: ir.Node) -> None:
        """A QLinear op: its operands, its result, and the bias that goes into its accumulator."""
        places = layout(node)
        factors = []
        for number, positions in enumerate(places.operands):
            value, *numbers = present(node, positions)
            axis = weight_axis(node, _array(numbers[0]).size) if number and numbers else None
            factors.append(self._coded(node, value, numbers, axis, number))
        self._coded(node, node.outputs[0], list(present(node, places.output)), None, None)
        for bias in present(node, () if places.bias is None else (places.bias,)):
            self._bias(node, bias, factors)

    def _coded(
        self,
        node: ir.Node,
        value: ir.Value,
        numbers: list[ir.Value],
        axis: int | None,
        index: int | None,
    ) -> Affine | None:
        """An integer tensor with its scale and zero point."""
        tensor, *aliases = _names(value)
        kind = numbers[1].dtype if len(numbers) > 1 else ir.DataType.UINT8
        if kind not in _GRIDS or any(constant(n) is None for n in numbers):
            self.reading.malformed(tensor, f"{kind} with computed scale or zero point")
            return None
        scale, *zero = (_array(n).ravel() for n in numbers)
        zeros = zero[0] if zero else np.zeros(scale.shape)
        details = {"axis": axis, "aliases": tuple(aliases), "uses": self._reader(node, index)}
        self.reading.add(tensor, _GRIDS[kind], *_single(axis, scale, zeros), **details)
        entry = self.reading.entries.get(tensor)
        return None if entry is None else entry.affine

    def _bias(self, node: ir.Node, value: ir.Value, factors: list[Affine | None]) -> None:
        x, w = factors[0], factors[1]
        if x is None or w is None:
            return
        tensor, *aliases = _names(value)
        details = {"axis": w.axis if w.axis is None else 0, "aliases": tuple(aliases)}
        scale = x.scale.astype(np.float64) * w.scale
        grid = Grid.of(32, signed=True)
        self.reading.add(tensor, grid, scale, uses=self._reader(node, 2), **details)

    def _reader(self, node: ir.Node, index: int | None) -> tuple[Use, ...]:
        """The node under its name in the float model, which tools append a suffix to."""
        if index is None or node.name not in self.named:
            return ()
        return tuple(Use(name, index) for name in (node.name or "", *stripped(node.name or "")))


def _is_activation(node: ir.Node) -> bool:
    """Whether the node rounds what depends on the data to a grid that the file has."""
    return node.op_type == "QuantizeLinear" or node.op_type in OPS


def _float_names(weight: Weight) -> list[str]:
    """Names that the float model may have for a weight, the likeliest first."""
    made = [] if weight.output is None else [name_of(weight.output)]
    names = [*reversed(stripped(weight.tensor)), weight.tensor, *made]
    return list(dict.fromkeys([*names, *_before_turning(names)]))


def _before_turning(names: Iterable[str]) -> list[str]:
    """Names of weights that ONNX Runtime has turned to make a MatMul of a Gemm."""
    return [n.removesuffix(TURNED) for n in names if n.endswith(TURNED)]


def stripped(name: str) -> tuple[str, ...]:
    """``name`` without what tools append to it, one suffix after the other.

    >>> stripped("w_quantized_DequantizeLinear_Output")
    ('w_quantized', 'w')
    """
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and name != suffix:
            shorter = name.removesuffix(suffix)
            return (shorter, *stripped(shorter))
    return ()


def _names(value: ir.Value) -> list[str]:
    """Names of an integer tensor, that of the float one first."""
    producer = value.producer()
    if producer is not None and producer.op_type == "QuantizeLinear" and producer.inputs[0]:
        return [name_of(producer.inputs[0])]
    ends = [u.node.outputs[0] for u in value.uses() if u.node.op_type == "DequantizeLinear"]
    outputs = [name_of(o) for o in ends if o.is_graph_output()]
    return [*outputs, *reversed(stripped(name_of(value))), name_of(value)]


def _unlimited(value: ir.Value) -> ir.Value:
    """The tensor before the nodes that our own files limit a narrow grid with."""
    while (limit := value.producer()) is not None and f"{LIMITED}__" in node_name(limit):
        if limit.inputs[0] is None:
            break
        value = limit.inputs[0]
    return value


def _dequantized(value: ir.Value) -> bool:
    readers = [u.node for u in value.uses()]
    clipped = (u.node for r in readers if r.op_type == "Clip" for u in r.outputs[0].uses())
    return any(node.op_type == "DequantizeLinear" for node in (*readers, *clipped))


def _before_clip(codes: ir.Value) -> ir.Node | None:
    """What makes integer codes, before a Clip of them."""
    producer = codes.producer()
    if producer is not None and producer.op_type == "Clip" and producer.inputs[0] is not None:
        return producer.inputs[0].producer()
    return producer


def _array(value: ir.Value) -> NDArray[np.generic]:
    array = constant(value)
    return np.zeros(0) if array is None else array


def _kind(node: ir.Node, zero: ir.Value | None) -> ir.DataType | None:
    """Integer type of the codes: of the zero point, else of the codes themselves, else uint8."""
    if zero is not None:
        return zero.dtype
    if node.op_type == "DequantizeLinear" and node.inputs[0] is not None:
        codes = node.inputs[0]
        quantizer = codes.producer()
        return codes.dtype if quantizer is None else _kind(quantizer, None)
    return ir.DataType(node.attributes.get_int("output_dtype", 0) or ir.DataType.UINT8)


def _single(
    axis: int | None, scale: NDArray[np.generic], zeros: NDArray[np.generic]
) -> Iterable[NDArray[np.generic]]:
    """Both without their axes, where they are one number each for a whole tensor."""
    one = axis is None and scale.size == zeros.size == 1
    return (scale.reshape(()), zeros.reshape(())) if one else (scale, zeros)


def _axis(node: ir.Node, scale: NDArray[np.generic]) -> int | None:
    """None for one scale, however many axes it has, unless the node names an axis for it."""
    if scale.ndim == 0 or (scale.size == 1 and "axis" not in node.attributes):
        return None
    axis = node.attributes.get_int("axis", 1)
    data = node.inputs[0]
    return axis + len(data.shape or ()) if axis < 0 and data is not None else axis
