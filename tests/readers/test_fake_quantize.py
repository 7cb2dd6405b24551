"""FakeQuantize nodes, as NNCF exports them, against the definition of the op."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper

from lostbits.readers import parameters_of
from text_models import proto, random


def read(low: Any, high: Any, levels: int, out: Any = None) -> Any:
    """The parameters of a model whose input goes through one FakeQuantize."""
    ends = {"a": low, "b": high, "c": low, "d": high if out is None else out}
    arrays = {name: np.asarray(value, np.float32) for name, value in ends.items()}
    model = proto("g (float[N, 3, 4] x) => (float[N, 3, 4] y) { y = Relu(x) }", **arrays)
    node = helper.make_node(
        "FakeQuantize", ["x", *"abcd"], ["q"], levels=levels, domain="org.openvinotoolkit"
    )
    model.graph.node[0].input[0] = "q"
    model.graph.node.insert(0, node)
    model.opset_import.append(helper.make_opsetid("org.openvinotoolkit", 1))
    return parameters_of(ir.from_proto(model))


def defined(x: NDArray[Any], low: Any, high: Any, levels: int) -> NDArray[Any]:
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    step = (high - low) / (levels - 1)
    found: NDArray[Any] = np.rint((np.clip(x, low, high) - low) / step) * step + low
    return found


@pytest.mark.parametrize(
    ("low", "high", "levels", "grid", "zero"),
    [
        (-1.0, 1.0, 255, ("int8", -127, 127), 0),
        (-1.28, 1.27, 256, ("int8", -128, 127), 0),
        (0.0, 2.55, 256, ("uint8", 0, 255), 0),
        (-0.55, 2.0, 256, ("uint8", 0, 255), 55),
        (-0.8, 0.7, 16, ("int4", -8, 7), 0),
        ([[-1.0], [-2.0], [-0.5]], [[1.0], [2.0], [0.5]], 255, ("int8", -127, 127), 0),
    ],
)
def test_the_grid_is_that_of_the_definition(
    low: Any, high: Any, levels: int, grid: tuple[str, int, int], zero: int
) -> None:
    (entry,) = read(low, high, levels).entries
    affine = entry.affine
    assert (entry.tensor, affine.axis) == ("x", None if np.ndim(low) == 0 else 0)
    assert (affine.grid.name, affine.grid.qmin, affine.grid.qmax) == grid
    assert (affine.zero_point == zero).all()
    x = 3 * random(3, 400)
    steps = affine.scale.reshape(-1, 1), affine.zero_point.reshape(-1, 1)
    found = (affine.codes(x) - steps[1]) * steps[0]
    near = np.abs(found - defined(x, low, high, levels))
    assert np.quantile(near, 0.99) < 1e-5 and (near <= 1.01 * steps[0]).all()


@pytest.mark.parametrize(
    ("low", "high", "levels", "out"),
    [(0.0, 1.0, 2, None), (1.0, 0.0, 256, None), (0.0, 1.0, 256, 2.0), (0.0, np.inf, 256, None)],
)
def test_what_is_no_grid_is_a_problem(low: float, high: float, levels: int, out: Any) -> None:
    found = read(low, high, levels, out)
    assert not found.entries
    assert [problem.code for problem in found.problems] == ["I008"]
