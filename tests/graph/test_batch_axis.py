"""The batch axis of inputs, from names and from what recurrent layers take."""

import pytest

from lostbits.runtime.float_reference import input_specs, open_reference
from text_models import proto, random

LSTM = """g ({0} x) => (float[T,M,K,H] y) {{ y = LSTM<hidden_size = 3>(x, w, r) }}"""
WEIGHTS = {"w": random(1, 12, 4), "r": random(1, 12, 3)}


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ("float[T,1,4]", 1),
        ("float[50,1,4]", 1),
        ("float[T,M,4]", 1),
        ("float[50,8,4]", 0),
        ("float[T,batch_size,4]", 1),
        ("float[batch,T,4]", 0),
        ("float[1,T,4]", 0),
    ],
)
def test_the_batch_axis_of_a_recurrent_layer_is_its_second(shape: str, axis: int) -> None:
    text = LSTM.format(shape)
    (spec,) = input_specs(open_reference(proto(text, **WEIGHTS)).model)
    assert spec.batch_axis == axis
