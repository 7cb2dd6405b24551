"""Where a float network leaves the numbers: the first node that makes no number of numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import constant, is_float, name_of
from lostbits.runtime.session import Session

Arrays = Mapping[str, NDArray[Any]]


def first_runaway(model: ir.Model, feeds: Arrays) -> str | None:
    """The tensor that is not finite although all that its node reads is; None if there is none.

    What is behind masks of -infinity is no such tensor, and a site may be many nodes behind it.
    """
    made = [o for node in model.graph for o in node.outputs if o.name and is_float(o)]
    values = {**feeds, **Session(with_outputs(model, [name_of(v) for v in made])).run(feeds)}
    for value in made:
        node = value.producer()
        read = [] if node is None else [v for v in node.inputs if v is not None]
        if not _finite(values[name_of(value)]) and all(_finite(_of(v, values)) for v in read):
            return name_of(value)
    return None


def _of(value: ir.Value, values: Arrays) -> NDArray[Any]:
    array = constant(value)
    return values.get(name_of(value), np.zeros(1)) if array is None else array


def _finite(array: NDArray[Any]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
