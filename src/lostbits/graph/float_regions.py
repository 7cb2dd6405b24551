"""What lies between the matrix products of a network, and which of it a platform runs in float.

Platforms with float kernels beside their integer ones (processors, TensorRT) quantize what the
matrix products of a transformer read, and fuse all else into a few float kernels: normalization
with the residual Adds around it, attention's Softmax with scale and mask, GELU. Exporters write
these in many forms. All have in common what they are written between, so a region is looked at as
a whole: the ops that hang together between linear layers. One op that tells what it is decides.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import final

import onnx_ir as ir

from lostbits.graph.queries import constant, data_inputs, node_name
from lostbits.target import ACTIVATION, ATTENTION, NORMALIZATION

_PRODUCTS = frozenset({"Gemm", "MatMul"})
_NORMS = frozenset(
    {
        *("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"),
        *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"),
    }
)
_GELUS = frozenset({"BiasGelu", "Erf", "FastGelu", "Gelu", "QuickGelu"})
_ARITHMETIC = frozenset(
    {
        *("Abs", "Add", "Cast", "Clip", "Cos", "Div", "Elu", "Equal", "Exp", "Greater"),
        *("HardSigmoid", "HardSwish", "IsNaN", "LeakyRelu", "Less", "Log", "Max", "Mean", "Min"),
        *("Mish", "Mul", "Neg", "Not", "PRelu", "Pow", "Reciprocal", "ReduceL2", "ReduceMax"),
        *("ReduceMean", "ReduceSum", "Relu", "Sigmoid", "Sin", "Softmax", "Softplus", "Sqrt"),
        *("Sub", "Sum", "Tanh", "Where"),
    }
)
_WAVES = frozenset({"Cos", "Sin"})
_MOVES = frozenset(
    {
        *("Concat", "Dropout", "Expand", "Flatten", "Gather", "GatherElements", "GatherND"),
        *("Identity", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose"),
        "Unsqueeze",
    }
)
_INNER = _ARITHMETIC | _MOVES | _NORMS | _GELUS
_NODES = 16  # between a root and its mean, at most: see _root_of_mean
_MEANS = frozenset({"ReduceMean", "ReduceSum", "ReduceSumSquare"})
_BETWEEN = frozenset(
    {
        *("Add", "Clip", "Div", "Max", "Mul", "Relu", "Sub"),
        *("Cast", "Expand", "Identity", "Reshape", "Squeeze", "Unsqueeze"),
    }
)
_CUBE = 3.0


@final
@dataclass
class Region:
    """Ops that hang together between linear layers.

    Attributes:
        nodes: In no order.
        before: What writes the values that enter.
        behind: What reads the values that leave.
    """

    nodes: list[ir.Node] = field(default_factory=list)
    before: list[ir.Node] = field(default_factory=list)
    behind: list[ir.Node] = field(default_factory=list)

    def has(self, ops: Set[str]) -> bool:
        """Whether an op of these types is in it."""
        return any(node.op_type in ops for node in self.nodes)


def float_nodes(graph: ir.Graph, kinds: Set[str], live: Set[str]) -> frozenset[str]:
    """Names of the nodes in regions of these kinds.

    Args:
        graph: Normalised.
        kinds: Of ``REGIONS``.
        live: Tensors whose values come from the inputs of the graph.
    """
    if not kinds:
        return frozenset()
    regions = list(_regions(graph, live))
    found = [region for region in regions if _kind(region, live) in kinds]
    if ATTENTION in kinds:
        found += _operands(regions, live)
    nodes = [node for region in found for node in region.nodes]
    return frozenset(map(node_name, nodes + _angles(graph) if ACTIVATION in kinds else nodes))


def _angles(graph: ir.Graph) -> list[ir.Node]:
    """What only sines and cosines read, and these: steps and positions as waves.

    A turn is 6.3, and angles reach a thousand: a step of their grid is most of a turn.
    """
    found: set[ir.Node] = set()
    for node in reversed(list(graph)):
        read = [reader for output in node.outputs for reader, _ in output.uses()]
        left = any(output.is_graph_output() for output in node.outputs)
        before = node.op_type in _ARITHMETIC | _MOVES and read and not left
        if node.op_type in _WAVES or (before and found.issuperset(read)):
            found.add(node)
    return [node for node in graph if node in found]


def _regions(graph: ir.Graph, live: Set[str]) -> Iterator[Region]:
    """Connected by what one node writes and another reads."""
    seen: set[ir.Node] = set()
    for node in graph:
        if node not in seen and _inner(node, live):
            yield _region(node, live, seen)


def _region(start: ir.Node, live: Set[str], seen: set[ir.Node]) -> Region:
    """All that hangs together with ``start``; ``seen`` is told of each node."""
    region, waiting = Region(), deque([start])
    seen.add(start)
    while waiting:
        node = waiting.popleft()
        region.nodes.append(node)
        sources = [p for v in node.inputs if v is not None and (p := v.producer()) is not None]
        readers = [reader for o in node.outputs for reader, _ in o.uses()]
        region.before += [n for n in sources if not _inner(n, live)]
        region.behind += [n for n in readers if not _inner(n, live)]
        new = {n for n in (*sources, *readers) if n not in seen and _inner(n, live)}
        seen |= new
        waiting += new
    return region


def _inner(node: ir.Node, live: Set[str]) -> bool:
    return node.op_type in _INNER and any(o.name in live for o in node.outputs)


def _kind(region: Region, live: Set[str]) -> str | None:
    """What a region is, by the first op that tells; None where none does."""
    if any(node.op_type in _NORMS or _root_of_mean(node) for node in region.nodes):
        return NORMALIZATION
    if any(map(_weighs, region.nodes)) and any(_product(n, live) for n in region.behind):
        return ATTENTION
    gelu = any(n.op_type in _GELUS or _cubic(n) for n in region.nodes)
    return ACTIVATION if gelu or _gates(region, live) else None


def _operands(regions: Iterable[Region], live: Set[str]) -> Iterator[Region]:
    """Those that only prepare what attention multiplies: a scale, a rotation by position."""
    for region in regions:
        alone = region.behind and all(_product(n, live) for n in region.behind)
        if alone and region.has(_ARITHMETIC - {"Add", "Cast"}):
            yield region


def _product(node: ir.Node, live: Set[str]) -> bool:
    """Whether it multiplies two activations."""
    if node.op_type not in {"Einsum", "MatMul"} or len(node.inputs) != 2:
        return False
    return all(v is not None and v.name in live for v in node.inputs)


def _weighs(node: ir.Node) -> bool:
    """A Softmax, or the quotient of an Exp and its sum."""
    if node.op_type != "Div":
        return node.op_type == "Softmax"
    above = None if node.inputs[0] is None else node.inputs[0].producer()
    below = None if node.inputs[1] is None else node.inputs[1].producer()
    while below is not None and below.op_type in _MOVES and below.inputs[0] is not None:
        below = below.inputs[0].producer()
    if above is None or below is None or above.op_type != "Exp":
        return False
    return below.op_type == "ReduceSum" and below.inputs[0] is node.inputs[0]


def _root_of_mean(node: ir.Node) -> bool:
    """A root of a mean along one axis, as every written-out normalization of rows has it.

    Between the two may lie the epsilon, a factor, a bound, the square of the mean that is taken
    off, and what brings the mean back into the shape of the row.
    """
    if node.op_type not in {"Pow", "Sqrt"}:
        return False
    waiting, seen = [node.inputs[0]], set[ir.Node]()
    while waiting and len(seen) < _NODES:
        value = waiting.pop(0)
        made = None if value is None else value.producer()
        if made is None or made in seen:
            continue
        seen.add(made)
        if made.op_type in _MEANS and _squared(made) and _one_axis(made):
            return True
        if made.op_type in _BETWEEN:
            waiting += [v for v in made.inputs if constant(v) is None]
    return False


def _squared(mean: ir.Node) -> bool:
    made = mean.inputs[0].producer() if mean.inputs[0] is not None else None
    if mean.op_type == "ReduceSumSquare":
        return True
    if made is None or made.op_type not in {"Mul", "Pow"}:
        return False
    return made.op_type == "Pow" or made.inputs[0] is made.inputs[1]


def _one_axis(mean: ir.Node) -> bool:
    given = constant(mean.inputs[1]) if len(mean.inputs) > 1 else None
    axes = mean.attributes.get_ints("axes", ()) if given is None else given.ravel().tolist()
    return len(axes) == 1


def _cubic(node: ir.Node) -> bool:
    """The third power within the Tanh of GELU: by Pow, or by products."""
    if node.op_type == "Mul":
        return any(v is not None and _power(node.outputs[0], v) == _CUBE for v in node.inputs)
    exponent = constant(node.inputs[1]) if node.op_type == "Pow" else None
    return exponent is not None and exponent.size == 1 and float(exponent.ravel()[0]) == _CUBE


def _power(value: ir.Value | None, root: ir.Value, most: int = int(_CUBE)) -> float:
    """How often ``root`` is a factor of a product of it and of constants; NaN of anything else."""
    if value is root:
        return 1.0
    if constant(value) is not None:
        return 0.0
    made = None if value is None or most == 0 else value.producer()
    if made is None or made.op_type != "Mul":
        return math.nan
    return sum(_power(v, root, most - 1) for v in made.inputs)


def _gates(region: Region, live: Set[str]) -> bool:
    """Two activations multiplied between layers over tokens, and none added: a gated layer.

    Cells of unrolled recurrent layers add, squeeze-and-excitation lies between convolutions.
    """
    layers = [*region.before, *region.behind]
    if not region.before or not region.behind or any(n.op_type not in _PRODUCTS for n in layers):
        return False
    both = [n.op_type for n in region.nodes if _of_two(n, live)]
    return "Mul" in both and not {"Add", "Sub"} & set(both)


def _of_two(node: ir.Node, live: Set[str]) -> bool:
    return len([v for _, v in data_inputs(node) if v.name in live]) > 1
