"""Layer normalization that an exporter has written out in single ops.

Platforms find the pattern and run it as one op, in float or in wide integers. Quantizing what is
inside would be wrong by far: the variance of a row, its square root and the quotient of the two
would share 256 levels among all rows.
"""

from collections.abc import Iterator

import onnx_ir as ir

from lostbits.graph.queries import constant, name_of, sole_consumer


def layer_norm_nodes(graph: ir.Graph) -> Iterator[list[ir.Node]]:
    """The nodes of each written-out layer normalization, the one that gives the result last."""
    for node in graph:
        body = _body(node) if node.op_type == "Div" else None
        if body is not None:
            body += _affine(node)
            if _closed(body):
                yield body


def interior(nodes: list[ir.Node]) -> set[str]:
    """Tensors that only these nodes see."""
    return {name_of(output) for node in nodes[:-1] for output in node.outputs}


def _body(division: ir.Node) -> list[ir.Node] | None:
    """The nodes of ``(x - mean) / sqrt(mean((x - mean)^2) + epsilon)``, or None."""
    centred, root = _made_by(division, 0, "Sub"), _made_by(division, 1, "Sqrt")
    total = None if root is None else _made_by(root, 0, "Add")
    if centred is None or root is None or total is None:
        return None
    spread = _any_made_by(total, "ReduceMean")
    mean = _made_by(centred, 1, "ReduceMean")
    square = None if spread is None else _made_by(spread, 0, "Pow", "Mul")
    if spread is None or mean is None or square is None:
        return None
    inner = _made_by(square, 0, "Sub")
    if inner is None or mean.inputs[0] is not centred.inputs[0]:
        return None
    if list(inner.inputs) != list(centred.inputs) or not _squares(square):
        return None
    nodes = [mean, centred, inner, square, spread, total, root, division]
    return list(dict.fromkeys(nodes))


def _squares(node: ir.Node) -> bool:
    if node.op_type == "Mul":
        return node.inputs[0] is node.inputs[1]
    exponent = constant(node.inputs[1])
    return exponent is not None and exponent.size == 1 and float(exponent.reshape(-1)[0]) == 2


def _affine(division: ir.Node) -> list[ir.Node]:
    """The Mul and the Add by constants that follow, as far as they are there."""
    found, value = [], division.outputs[0]
    for wanted in ("Mul", "Add"):
        reader = sole_consumer(value)
        if reader is None or reader.op_type != wanted or not _by_constant(reader):
            break
        found.append(reader)
        value = reader.outputs[0]
    return found


def _by_constant(node: ir.Node) -> bool:
    return any(constant(value) is not None for value in node.inputs)


def _closed(nodes: list[ir.Node]) -> bool:
    """Whether nobody else reads what is inside."""
    outputs = [output for node in nodes[:-1] for output in node.outputs]
    return all(
        not o.is_graph_output() and all(use.node in nodes for use in o.uses()) for o in outputs
    )


def _made_by(node: ir.Node, index: int, *ops: str) -> ir.Node | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    producer = None if value is None else value.producer()
    return producer if producer is not None and producer.op_type in ops else None


def _any_made_by(node: ir.Node, op: str) -> ir.Node | None:
    known = [_made_by(node, index, op) for index in range(len(node.inputs))]
    return next((producer for producer in known if producer is not None), None)
