"""Zero padding before a convolution, made the convolution's own."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.queries import constant
from lostbits.graph.remove_idle_nodes import replace

Pads = NDArray[np.int64]


def fold_paddings(model: ir.Model) -> int:
    """Give the zeros of a Pad to the convolutions that alone read it; returns how many went.

    Zero lies on every grid, so no engine quantizes between the two, and exporters write them
    apart only where their framework does. A padded copy of a feature map costs two more passes
    over memory in every run, and two in the gradient.
    """
    return sum(_fold(model.graph, node) for node in list(model.graph) if node.op_type == "Pad")


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    source, pads, padded = node.inputs[0], _zeros_around(node), node.outputs[0]
    uses = padded.uses()
    if source is None or pads is None or padded.is_graph_output():
        return False
    if not all(use.idx == 0 and _takes(use.node, pads) for use in uses):
        return False
    for use in uses:
        _pad_more(use.node, pads)
    replace(padded, source)
    graph.remove(node, safe=True)
    return True


def _zeros_around(node: ir.Node) -> Pads | None:
    """Shape (2, rank): zeros before and after each axis; None if it pads otherwise."""
    pads, value, axes = [*node.inputs, None, None, None][1:4]
    sizes, fill = constant(pads), constant(value)
    zero = value is None or (fill is not None and not fill.any())
    if sizes is None or not zero or axes is not None:
        return None
    if node.attributes.get_string("mode", "constant") != "constant" or sizes.min() < 0:
        return None
    return sizes.astype(np.int64).reshape(2, -1)


def _takes(conv: ir.Node, pads: Pads) -> bool:
    """Whether the node can pad so by itself."""
    explicit = conv.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    return conv.op_type == "Conv" and explicit and not pads[:, :2].any()


def _pad_more(conv: ir.Node, pads: Pads) -> None:
    spatial = pads[:, 2:].ravel()
    own = conv.attributes.get_ints("pads", [0] * spatial.size)
    conv.attributes["pads"] = ir.AttrInt64s("pads", [int(p) for p in spatial + np.asarray(own)])
