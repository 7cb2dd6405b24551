"""How many multiplications the linear layers of a network and its matrix products take."""

import onnx_ir as ir

from lostbits.data import Batch
from lostbits.graph.instrument import with_outputs
from lostbits.graph.products import measures, products_of
from lostbits.graph.queries import LINEAR, name_of, node_name
from lostbits.runtime.session import Session


def multiplications(model: ir.Model, part: Batch) -> dict[str, int]:
    """Multiply-accumulates by the name of each linear layer and matrix product, for a batch.

    Args:
        model: The float network; run once, because shapes may hang on the samples.
        part: The batch.
    """
    nodes = [node for node in model.graph if node.op_type in LINEAR]
    inputs = {name_of(v) for v in model.graph.inputs}
    needed = {name_of(v) for node in nodes for v in measures(node)} - inputs
    found = Session(with_outputs(model, sorted(needed))).run(part.feeds) if needed else {}
    shapes = {name: array.shape for name, array in {**part.feeds, **found}.items()}
    return {node_name(node): products_of(node, shapes) for node in nodes}
