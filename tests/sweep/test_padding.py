"""Padding within the inputs of layers: zeros, and no part of any mean."""

from dataclasses import replace

import numpy as np
import torch

from lostbits.data import Batch
from lostbits.graph.output_kinds import Kind
from lostbits.graph.outputs import Compared
from lostbits.graph.padding_masks import Mask
from lostbits.sweep.padding import counted, held, share

MASK = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], np.int64)

PLAIN = Compared("y", Kind.EMBEDDING, ())
MASKED = replace(PLAIN, mask=Mask("a", "ones"))


def batch(size: int = 3) -> Batch:
    return Batch(0, {"a": MASK}, size)


def test_masked_positions_become_zero_and_do_not_count() -> None:
    x = torch.ones(3, 3, 2)
    counts = counted([MASKED], batch(), x)
    assert counts is not None
    np.testing.assert_array_equal(held(x, counts)[..., 0].numpy(), MASK)
    assert share(counts, batch()) == 6 / 9


def test_samples_that_fill_a_batch_up_never_count() -> None:
    counts = counted([MASKED], batch(2), torch.ones(3, 3, 2))
    assert counts is not None
    np.testing.assert_array_equal(counts, [[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert share(counts, batch(2)) == 3 / 6


def test_without_a_mask_or_of_another_length_all_count() -> None:
    x = torch.ones(3, 3, 2)
    assert counted([PLAIN], batch(), x) is None
    assert counted([MASKED], batch(), torch.ones(3, 4, 2)) is None
    assert share(None, batch()) == 1
    assert held(x, None) is x
