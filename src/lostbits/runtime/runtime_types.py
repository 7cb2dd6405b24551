"""Types and shapes behind ops of ONNX Runtime, which ONNX's own inference knows nothing of."""

import onnx_ir as ir

from lostbits.errors import LostbitsError
from lostbits.runtime.session import Session

_ELEMENTS = {
    "tensor(float)": ir.DataType.FLOAT,
    "tensor(float16)": ir.DataType.FLOAT16,
    "tensor(double)": ir.DataType.DOUBLE,
    "tensor(bool)": ir.DataType.BOOL,
    **{
        f"tensor({sign}int{bits})": ir.DataType[f"{sign}int{bits}".upper()]
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}


def complete_types(model: ir.Model) -> None:
    """Give tensors without a type or a shape what ONNX Runtime infers, where any has no type.

    A session is made of the graph with those tensors as outputs; it says what they are. What it
    cannot say stays unknown, and so does everything where it refuses the model: then running the
    model says why.
    """
    unknown = [
        value for node in model.graph for value in node.outputs if value.name and _open(value)
    ]
    if all(value.type is not None for value in unknown):
        return
    copy = model.clone()
    values = {v.name: v for node in copy.graph for v in node.outputs}
    known = {v.name for v in copy.graph.outputs}
    copy.graph.outputs.extend(values[v.name] for v in unknown if v.name not in known)
    try:
        told = Session(copy, optimise=False).types()
    except LostbitsError:
        return
    for value in unknown:
        _complete(value, *told.get(value.name or "", ("", ())))


def _open(value: ir.Value) -> bool:
    return value.type is None or value.shape is None


def _complete(value: ir.Value, kind: str, shape: tuple[int | str | None, ...] | None) -> None:
    if value.type is None and kind in _ELEMENTS:
        value.type = ir.TensorType(_ELEMENTS[kind])
    if value.shape is None and shape and value.type is not None:
        value.shape = ir.Shape(shape)
