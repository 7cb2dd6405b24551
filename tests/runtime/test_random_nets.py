"""Random networks: valid, finite, of many ops, and the same for a seed."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from lostbits.runtime.session import Session
from random_nets import OPSETS, ops_of, random_net, samples_for

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(33))
def test_networks_are_valid_and_finite_at_every_opset(seed: int) -> None:
    model = random_net(seed)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == OPSETS[seed % len(OPSETS)]
    found = Session(ir.from_proto(model), optimise=False).run(samples_for(model, 3, seed))
    for output in model.graph.output:
        shape = [d.dim_value for d in output.type.tensor_type.shape.dim[1:]]
        assert found[output.name].shape == (3, *shape)
        assert np.isfinite(found[output.name]).all()


def test_a_seed_stands_for_one_network() -> None:
    one, other = (random_net(7).SerializeToString(deterministic=True) for _ in range(2))
    assert one == other
    assert one != random_net(18).SerializeToString(deterministic=True)


def test_a_few_hundred_networks_hold_more_than_fifty_kinds_of_ops() -> None:
    assert len(ops_of(range(330))) > 50
