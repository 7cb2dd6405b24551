"""Types and shapes inside a graph, found by ONNX's inference from its inputs and constants."""

import onnx_ir as ir
from onnx_ir.passes import common

from lostbits.errors import ModelError
from lostbits.system.logs import silenced


def infer(model: ir.Model) -> None:
    """Give every tensor its type and shape, as far as ONNX can tell.

    What the file says of its outputs comes last: the inference does not start from it, because one
    false shape would end it, and the shape that was found holds where the two contradict.

    Raises:
        ModelError: M002 for an output whose type is another one than the file says.
    """
    outputs = list(dict.fromkeys(model.graph.outputs))
    declared = [(value, value.type, value.shape) for value in outputs]
    for value in outputs:
        value.type, value.shape = None, None
    _tell_default(model.graph)
    with silenced("onnx_ir"):
        common.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    for value, kind, shape in declared:
        if value.type is None:
            value.type = kind
        elif kind is not None and kind != value.type:
            found = f"{value.type} where the file says {kind}"
            raise ModelError("M002.output", f"output {value.name!r}", found)
        if value.shape is None or (shape is not None and _agree(shape, value.shape)):
            value.shape = shape


def _tell_default(graph: ir.Graph) -> None:
    """ONNX takes a STFT that leaves ``onesided`` out for a whole spectrum; its default is half."""
    for node in graph:
        if node.op_type == "STFT" and "onesided" not in node.attributes:
            node.attributes["onesided"] = ir.AttrInt64("onesided", 1)


def _agree(declared: ir.Shape, found: ir.Shape) -> bool:
    """Whether both may be the shape of one tensor."""
    if len(declared) != len(found):
        return False
    pairs = zip(declared, found, strict=True)
    return all(d == f for d, f in pairs if isinstance(d, int) and isinstance(f, int))
