"""The scale of a bias, by hand."""

import numpy as np

from lostbits.grid import Affine, Grid
from lostbits.plan.bias_scale import bias_affine


def affine(*scales: float, axis: int | None = None) -> Affine:
    scale = np.asarray(scales if axis is not None else scales[0], np.float32)
    return Affine(Grid.of(8, signed=True), scale, np.zeros(scale.shape, np.int64), axis)


def test_it_is_the_product_of_both_scales_and_repeats_over_groups() -> None:
    found = bias_affine(affine(0.5), affine(0.25, 2.0, axis=0), 4, 32)
    assert found.scale.tolist() == [0.125, 1.0, 0.125, 1.0]
    assert bias_affine(affine(0.5), affine(0.25), 4, 32).scale.tolist() == 0.125


def test_inputs_of_several_scales_have_a_bias_of_the_coarsest() -> None:
    inputs = affine(0.5, 0.125, 0.25, axis=1)
    assert bias_affine(inputs, affine(0.25, 2.0, axis=0), 2, 32).scale.tolist() == [0.125, 1.0]
