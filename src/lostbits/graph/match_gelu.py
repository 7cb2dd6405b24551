"""GELU that an exporter has written out in single ops, with the error function or with Tanh.

Integer platforms find the pattern and run it as one op, by a table of its codes. What is inside
has no scale of its own there.
"""

from collections.abc import Iterator

import onnx_ir as ir

from lostbits.graph.queries import constant, opset, sole_consumer

_MOST = 10  # nodes between the input and the error function, or Tanh
_STANDARD = 20  # opset that has the op
_INNER = frozenset({"Add", "Div", "Mul", "Pow"})


def gelu_nodes(graph: ir.Graph) -> Iterator[tuple[list[ir.Node], ir.Value]]:
    """The nodes of each written-out GELU, the one that gives the result last, and its input."""
    for node in graph:
        found = _ahead(node) if node.op_type in {"Erf", "Tanh"} else None
        if found is None:
            continue
        nodes, source = found
        before = _before(node, source)
        if before is not None and _closed([*before, *nodes]):
            yield [*before, *nodes], source


def _ahead(core: ir.Node) -> tuple[list[ir.Node], ir.Value] | None:
    """``(core + 1) * x * 0.5`` in any order: the nodes from the core on, and x."""
    add = sole_consumer(core.outputs[0])
    if add is None or add.op_type != "Add" or _number(_other(add, core.outputs[0])) != 1:
        return None
    nodes, source, half, value = [core, add], None, False, add.outputs[0]
    while source is None or not half:
        product = sole_consumer(value)
        if product is None or product.op_type != "Mul" or len(nodes) > 4:
            return None
        other = _other(product, value)
        halved = None if half else _halved(other)
        if _number(other) == 0.5 and not half:
            half = True
        elif halved is not None and source is None:
            nodes.append(halved[0])
            source, half = halved[1], True
        elif source is None:
            source = other
        else:
            return None
        nodes.append(product)
        value = product.outputs[0]
    return nodes, source


def _halved(value: ir.Value | None) -> tuple[ir.Node, ir.Value] | None:
    """The node that makes a value by halving another, and that one."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "Mul":
        return None
    for index in (0, 1):
        source = node.inputs[1 - index]
        if _number(node.inputs[index]) == 0.5 and source is not None:
            return node, source
    return None


def _before(core: ir.Node, source: ir.Value) -> list[ir.Node] | None:
    """The nodes that make the core's operand of ``source`` and of constants alone."""
    found: list[ir.Node] = []
    waiting = [core.inputs[0]]
    while waiting:
        value = waiting.pop()
        node = None if value is None else value.producer()
        if value is source or constant(value) is not None or node in found:
            continue
        if node is None or node.op_type not in _INNER or len(found) == _MOST:
            return None
        found.append(node)
        waiting += node.inputs
    return found[::-1]


def _other(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """The operand beside ``value``."""
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def _number(value: ir.Value | None) -> float | None:
    array = constant(value)
    return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None


def _closed(nodes: list[ir.Node]) -> bool:
    """Whether nobody else reads what is inside."""
    inner = [output for node in nodes[:-1] for output in node.outputs]
    return not any(
        o.is_graph_output() or any(reader not in nodes for reader, _ in o.uses()) for o in inner
    )


def fuse_gelus(model: ir.Model) -> None:
    """Write each as one op, in place: that of ONNX where the opset has it, else Microsoft's."""
    graph = model.graph
    domain = "" if opset(model) >= _STANDARD else "com.microsoft"
    for body, source in list(gelu_nodes(graph)):
        last, tanh = body[-1], any(node.op_type == "Tanh" for node in body)
        if tanh and domain:
            continue  # Microsoft's has the error function alone
        how = {"approximate": "tanh"} if tanh else {}
        fused = ir.node("Gelu", [source], how, domain=domain, name=last.name)
        old, made = last.outputs[0], fused.outputs[0]
        made.name, made.type, made.shape = old.name, old.type, old.shape
        old.replace_all_uses_with(made, replace_graph_outputs=True)
        graph.insert_before(last, fused)
        graph.remove(body, safe=True)
        if domain:
            model.opset_imports.setdefault(domain, 1)
