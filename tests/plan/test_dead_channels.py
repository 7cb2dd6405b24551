"""What a grid leaves of channels, against counting; and which parts are called dead."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dead_nets import IMAGES, branches, detector, points, unlike_inputs
from lostbits.grid import Grid, affine_from_range
from lostbits.plan.dead_channels import dead_parts, rounded
from lostbits.statistics import Extrema, Histogram
from small_nets import cnn, make, samples


@given(st.integers(0, 10_000), st.floats(0.0, 4.0))
def test_channels_with_a_single_code_are_counted_exactly(seed: int, spread: float) -> None:
    random = np.random.default_rng(seed)
    sizes = 10.0 ** random.uniform(-spread, 0, 7)
    x = (random.uniform(-1, 1, (3, 7, 50)) * sizes.reshape(1, 7, 1)).astype(np.float32)
    x[:, 0] = 0
    affine = affine_from_range(x.min(), x.max(), Grid.of(8, signed=False), symmetric=False)
    ends = Extrema(1).update(x)
    found = rounded(Histogram(ends.lo, ends.hi, 32, 1).update(x), affine)
    codes = affine.codes(x).swapaxes(0, 1).reshape(7, -1)
    single = [len(np.unique(row)) == 1 for row in codes[1:]]
    assert (found.channels, found.constant) == (6, sum(single))
    exact = affine.fake_quantize(x) - x
    assert found.power == pytest.approx(float((x.astype(float) ** 2).sum()), rel=0.05)
    assert 0.5 < found.error / float((exact.astype(float) ** 2).sum()) < 2


@pytest.mark.parametrize("name", ["snpe", "qnn-htp", "onnxruntime"])
def test_scores_beside_boxes_are_dead_by_the_concat(tmp_path: Path, name: str) -> None:
    (part,) = dead_parts(make(tmp_path, detector(), IMAGES, name)[1])
    assert part.node.startswith("concat") and part.beside.startswith("mul")
    assert [each.startswith("sigmoid") for each in part.operands] == [True]
    assert (part.rounded.channels, part.rounded.constant) == (3, 3)
    assert part.rounded.reach < part.scale / 2 < part.widest
    assert part.rounded.sqnr_db == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize("name", ["tensorrt", "openvino", "cnrt"])
def test_where_the_concat_stays_in_float_nothing_is_dead(tmp_path: Path, name: str) -> None:
    assert not dead_parts(make(tmp_path, detector(), IMAGES, name)[1])


def test_dead_channels_of_an_input_are_those_that_lose_everything(tmp_path: Path) -> None:
    (part,) = dead_parts(make(tmp_path, unlike_inputs(), points(), "tensorrt")[1])
    assert (part.tensor, part.node, part.operands) == ("x", "", ())
    assert (part.rounded.channels, part.rounded.constant) == (3, 3)


def test_a_concat_between_layers_counts_too(tmp_path: Path) -> None:
    (part,) = dead_parts(make(tmp_path, branches(), IMAGES, "openvino")[1])
    assert part.node.startswith("concat") and len(part.sources) == 2


def test_a_usual_network_has_no_dead_part(tmp_path: Path) -> None:
    for name in ("snpe", "tensorrt", "onnxruntime"):
        assert not dead_parts(make(tmp_path, cnn(3), samples(4, 16, 3, 16, 16), name)[1])
