"""Ops that ONNX Runtime's optimizers put together, taken apart into those of the standard.

A fused op hides its weights from every platform's rules, and its shapes from ONNX's inference.
Apart, each piece is what it was in the model before the fusion; the tensor that an op gives keeps
its name. What stays together is the core of an attention, which no platform of ours quantizes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import add_initializer, constant, name_of, node_name, opset, rank

MICROSOFT = "com.microsoft"
_LAYER_NORM_OPSET = 17
_NORMS = {
    "SkipLayerNormalization": "LayerNormalization",
    "SkipSimplifiedLayerNormalization": "SimplifiedLayerNormalization",
}
_Inputs = tuple[ir.Value | None, ...]


def has_fused(graph: ir.Graph) -> bool:
    """Whether there is an op that may be taken apart."""
    return any(node.domain == MICROSOFT and node.op_type in _PARTS for node in graph)


def unfuse(model: ir.Model) -> int:
    """Take fused ops apart where their pieces are the same network; returns how many went."""
    count = 0
    for node in list(model.graph):
        parts = _PARTS.get(node.op_type) if node.domain == MICROSOFT else None
        if parts is not None and parts(_Site(model, node)):
            model.graph.remove(node, safe=True)
            count += 1
    return count


@final
class _Site(NamedTuple):
    """A fused node, and the graph that its pieces go into."""

    model: ir.Model
    node: ir.Node

    def input(self, index: int) -> ir.Value | None:
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def output(self, index: int) -> ir.Value | None:
        """An output that somebody reads."""
        value = self.node.outputs[index] if index < len(self.node.outputs) else None
        read = value is not None and value.name and (value.uses() or value.is_graph_output())
        return value if read else None

    def only(self, *indices: int) -> bool:
        """Whether nobody reads any other output."""
        return not any(self.output(i) for i in range(len(self.node.outputs)) if i not in indices)

    def put(
        self,
        op: str,
        inputs: _Inputs,
        attributes: Mapping[str, Any] | None = None,
        domain: str = "",
        outputs: int = 1,
    ) -> ir.Value:
        """A piece before the node; named after it."""
        piece = ir.node(
            op, list(inputs), dict(attributes or {}), domain=domain, num_outputs=outputs
        )
        piece.name = f"{node_name(self.node)}__{op}"
        taken = {n.name for n in self.model.graph}
        while piece.name in taken:
            piece.name += "_"
        for number, value in enumerate(piece.outputs):
            value.name = f"{piece.name}__out{number or ''}"
        self.model.graph.insert_before(self.node, piece)
        return piece.outputs[0]

    def hand_over(self, index: int, value: ir.Value) -> None:
        """Let ``value`` stand for an output of the node, under its name."""
        old = self.output(index)
        if old is None:
            return
        name, value.type, value.shape = name_of(old), old.type, old.shape
        old.name = f"{name}__fused"
        value.name = name
        old.replace_all_uses_with(value, replace_graph_outputs=True)


def _fused_matmul(site: _Site) -> bool:
    node = site.node
    turns = [node.attributes.get_int(f"trans{side}", 0) for side in "AB"]
    batches = [node.attributes.get_int(f"transBatch{side}", 0) for side in "AB"]
    sides = [site.input(0), site.input(1)]
    ranks = [None if v is None else rank(v) for v in sides]
    if any(batches) or any(t and (r is None or r < 2) for t, r in zip(turns, ranks, strict=True)):
        return False
    factor = node.attributes.get_float("alpha", 1.0)
    operands: list[ir.Value | None] = []
    for value, turn, axes in zip(sides, turns, ranks, strict=True):
        scale, array = (factor if value is sides[1] else 1.0), constant(value)
        if array is None or value is None:
            operands.append(_turned(site, value, axes) if turn else value)
            continue
        factor = 1.0 if value is sides[1] else factor
        operands.append(
            _rewritten(site, value, np.swapaxes(array, -1, -2) if turn else array, scale)
        )
    product = site.put("MatMul", tuple(operands))
    scaled = product if factor == 1 else site.put("Mul", (product, _number(site, factor)))
    site.hand_over(0, scaled)
    return True


def _turned(site: _Site, value: ir.Value | None, axes: int | None) -> ir.Value:
    order = list(range(axes or 2))
    order[-2:] = reversed(order[-2:])
    return site.put("Transpose", (value,), {"perm": order})


def _rewritten(site: _Site, old: ir.Value, array: NDArray[np.generic], factor: float) -> ir.Value:
    """The constant with its axes turned and scaled; under its own name, if nobody else reads it."""
    graph, name = site.model.graph, name_of(old)
    if factor == 1 and array.strides == np.ascontiguousarray(array).strides:
        return old
    if len(old.uses()) == 1 and not old.is_graph_output():
        del graph.initializers[name]
        old.name = f"{name}__fused"
    else:
        name = f"{node_name(site.node)}__{name}"
    return add_initializer(graph, name, (array.astype(np.float64) * factor).astype(array.dtype))


def _number(site: _Site, value: float) -> ir.Value:
    name = f"{node_name(site.node)}__alpha"
    known = site.model.graph.initializers.get(name)
    return known or add_initializer(site.model.graph, name, np.array(value, np.float32))


def _with_bias(op: str) -> Callable[[_Site], bool]:
    """The op behind an Add of its second input; without one it stays."""

    def parts(site: _Site) -> bool:
        bias = site.input(1)
        if bias is None:
            return False
        total = site.put("Add", (site.input(0), bias))
        site.hand_over(0, site.put(op, (total,), domain=MICROSOFT))
        return True

    return parts


def _skip_norm(site: _Site) -> bool:
    node, op = site.node, _NORMS[site.node.op_type]
    if not site.only(0, 3) or opset(site.model) < _LAYER_NORM_OPSET:
        return False
    simplified = op.startswith("Simplified")
    bias = site.input(3 if simplified else 4)
    total = site.input(0)
    for other in (bias, site.input(1)):
        total = total if other is None else site.put("Add", (total, other))
    weights = (site.input(2),) if simplified else (site.input(2), site.input(3))
    attributes = {"epsilon": node.attributes.get_float("epsilon", 1e-5), "axis": -1}
    assert total is not None
    site.hand_over(3, total)
    site.hand_over(0, site.put(op, (total, *weights), attributes))
    return True


def _fused_linear(op: str) -> Callable[[_Site], bool]:
    """Conv or Gemm with an activation, and perhaps an addend, behind it."""

    def parts(site: _Site) -> bool:
        attributes = {k: v for k, v in site.node.attributes.items() if "activation" not in k}
        activation = site.node.attributes.get_string("activation", "")
        inner = _activation(site, activation or "")
        if inner is None:
            return False
        node = ir.Node("", op, site.node.inputs[:3], list(attributes.values()), num_outputs=1)
        y = _placed(site, node)
        if (addend := site.input(3)) is not None:
            y = site.put("Add", (y, addend))
        site.hand_over(
            0, site.put(inner.op, (y, *inner.inputs), inner.attributes) if inner.op else y
        )
        return True

    return parts


def _placed(site: _Site, node: ir.Node) -> ir.Value:
    node.name = f"{node_name(site.node)}__{node.op_type}"
    node.outputs[0].name = f"{node.name}__out"
    site.model.graph.insert_before(site.node, node)
    return node.outputs[0]


class _Activation(NamedTuple):
    """A node of the standard; its first input comes from the linear op."""

    op: str
    inputs: tuple[ir.Value, ...] = ()
    attributes: Mapping[str, Any] = {}


def _activation(site: _Site, name: str) -> _Activation | None:
    numbers = _numbers(site.node)
    if name in ("", "Relu", "Sigmoid", "Tanh"):
        return _Activation(name)
    if name == "LeakyRelu" and numbers:
        return _Activation(name, attributes={"alpha": numbers[0]})
    if name == "HardSigmoid" and len(numbers) > 1:
        return _Activation(name, attributes={"alpha": numbers[0], "beta": numbers[1]})
    if name == "Clip" and len(numbers) > 1:
        ends = zip(("least", "most"), numbers, strict=False)
        made = [(f"{node_name(site.node)}__{end}", np.array(v, np.float32)) for end, v in ends]
        return _Activation(name, tuple(add_initializer(site.model.graph, *m) for m in made))
    return None


def _numbers(node: ir.Node) -> list[float]:
    """Of the activation: a list for a convolution, one attribute each for a Gemm."""
    if "activation_params" in node.attributes:
        return [float(v) for v in node.attributes.get_floats("activation_params", [])]
    named = [f"activation_{n}" for n in ("alpha", "beta")]
    return [node.attributes.get_float(n, 0.0) for n in named if n in node.attributes]


_ATTENTION = ("mask_filter_value", "scale", "unidirectional")


def _attention(site: _Site) -> bool:
    """Its projection apart; the core becomes a MultiHeadAttention."""
    node, weight = site.node, constant(site.input(1))
    extra = [site.input(i) for i in (4, 6)]
    if weight is None or weight.ndim != 2 or any(extra) or not site.only(0):
        return False
    if node.attributes.get_int("do_rotary", 0) or not _masked_alike(site):
        return False
    sizes = list(node.attributes.get_ints("qkv_hidden_sizes", []) or [weight.shape[1] // 3] * 3)
    projected = site.put("MatMul", (site.input(0), site.input(1)))
    if (bias := site.input(2)) is not None:
        projected = site.put("Add", (projected, bias))
    lengths = add_initializer(site.model.graph, f"{node_name(node)}__sizes", np.array(sizes))
    first = site.put("Split", (projected, lengths), {"axis": -1}, outputs=3)
    split = first.producer()
    assert split is not None
    told = {k: node.attributes[k].value for k in _ATTENTION if k in node.attributes}
    told["num_heads"] = node.attributes["num_heads"].value
    inputs = (*split.outputs, None, site.input(3), site.input(5))
    site.hand_over(0, site.put("MultiHeadAttention", inputs, told, MICROSOFT))
    return True


def _masked_alike(site: _Site) -> bool:
    """Whether the mask is of a form that both ops read alike: one number for each position."""
    mask = site.input(3)
    return opset(site.model) >= 13 and (mask is None or rank(mask) == 2)


_PARTS: Mapping[str, Callable[[_Site], bool]] = {
    "Attention": _attention,
    "BiasGelu": _with_bias("Gelu"),
    "FastGelu": _with_bias("FastGelu"),
    "FusedConv": _fused_linear("Conv"),
    "FusedGemm": _fused_linear("Gemm"),
    "FusedMatMul": _fused_matmul,
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
}
