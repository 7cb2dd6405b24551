"""Fixtures that several test modules share."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from lostbits.case import Case
from lostbits.data import Source
from other_packages import forget
from small_nets import cnn, make, samples

settings.register_profile("lostbits", deadline=None, derandomize=True)
settings.load_profile("lostbits")
torch.set_num_threads(1)  # tests run in several processes; more threads would only wait


@pytest.fixture(autouse=True, scope="session")
def no_disk_to_wait_for() -> Iterator[None]:
    """Files of tests need not survive a power cut; that others do is for tests/system."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def small(tmp_path: Path) -> tuple[Source, Case]:
    """A small convolutional network under ``snpe``, and its samples."""
    return make(tmp_path, cnn(3), samples(4, 40, 3, 16, 16))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages; what was found of others is forgotten before and after."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    forget()
    yield folder
    forget()
