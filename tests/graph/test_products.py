"""Products of weights and values, counted against a loop over what a layer computes."""

import pytest

from lostbits.graph.products import products
from text_models import normal, proto, random

LAYERS = {
    "Conv": ("float[1,4,6,6]", "float[1,8,6,6]", "Conv <pads = [1,1,1,1]> (x, w)", (8, 4, 3, 3)),
    "grouped": ("float[1,4,6,6]", "float[1,8,6,6]", "Conv <group = 2> (x, w)", (8, 2, 1, 1)),
    "transposed": ("float[1,4,6,6]", "float[1,8,8,8]", "ConvTranspose (x, w)", (4, 8, 3, 3)),
    "Gemm": ("float[3,4]", "float[3,8]", "Gemm (x, w)", (4, 8)),
    "MatMul": ("float[1,5,4]", "float[1,5,8]", "MatMul (x, w)", (4, 8)),
    "stacked": ("float[3,5,4]", "float[3,5,8]", "MatMul (x, w)", (3, 4, 8)),
    "left": ("float[1,5,4]", "float[1,6,4]", "MatMul (w, x)", (6, 5)),
    "turned": ("float[4,3]", "float[3,8]", "Gemm <transA = 1> (x, w)", (4, 8)),
}
EXPECTED = {
    "Conv": 8 * 36 * 4 * 9,
    "grouped": 8 * 36 * 2,
    "transposed": 4 * 36 * 8 * 9,
    "Gemm": 3 * 4 * 8,
    "MatMul": 5 * 4 * 8,
    "stacked": 3 * 5 * 4 * 8,
    "left": 6 * 5 * 4,
    "turned": 3 * 4 * 8,
}


@pytest.mark.parametrize("name", LAYERS)
def test_products_are_those_of_every_position(name: str) -> None:
    x, y, op, shape = LAYERS[name]
    model = normal(proto(f"g ({x} x) => ({y} y) {{ y = {op} }}", w=random(*shape)))
    assert products(model.graph) == EXPECTED[name]
