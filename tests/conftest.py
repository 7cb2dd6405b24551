"""Fixtures that several test modules share."""

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("lostbits", deadline=None, derandomize=True)
settings.load_profile("lostbits")
torch.set_num_threads(1)  # tests run in several processes; more threads would only wait


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)
