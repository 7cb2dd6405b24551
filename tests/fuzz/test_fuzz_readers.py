"""Every reader answers any file with what it holds or with its own error, never with another."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzzing import edit_arrays, edit_bytes, edit_images, edit_model, edit_text, networks
from benchmarks.fuzzing.corpus import BY_HAND, PREPROCESS, TARGET
from benchmarks.fuzzing.tries import file_edited
from exported_nets import case_of
from lostbits.data import InputSpec, Preprocess, open_source, read_labels
from lostbits.errors import DataError, LostbitsError, ModelError, ReadError, TargetError
from lostbits.exporters import ALL as EXPORTERS
from lostbits.graph.load import load
from lostbits.readers import read
from lostbits.targets import QNN_HTP, TENSORRT, target

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 2**32)
X = InputSpec("x", np.dtype(np.float32), (None, 3, 8, 8))


def parameter_files() -> dict[str, bytes]:
    """A case in every format, and files that other tools write."""
    found = dict(BY_HAND)
    for each in EXPORTERS:
        cases = (case_of(target=t) for t in (QNN_HTP, TENSORRT))
        fitting = (case for case in cases if not any(e.code < "E004" for e in each.lint(case)))
        for name, content in each.write(next(fitting)).items():
            found[f"{each.name}/{name}"] = b"".join(
                [content] if isinstance(content, bytes) else content
            )
    return found


FILES = parameter_files()


def answered(
    kind: type[LostbitsError], suffix: str, content: bytes, read: Callable[[Path], Any]
) -> bool:
    """Whether a file with this content is read; refusing it must be done by the right error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        try:
            read(path)
        except kind:
            return False
        return True


@pytest.mark.parametrize("name", networks.ALL)
@settings(max_examples=20)
@given(seed=SEEDS)
def test_models(name: str, seed: int) -> None:
    dice, model = Random(seed), networks.ALL[name]().model
    edit_model.edited(model, dice)
    content = model.SerializeToString()
    if dice.random() < 0.2:
        content = edit_bytes.edited(content, dice)
    answered(ModelError, ".onnx", content, load)


@given(seed=SEEDS, packed=st.booleans())
def test_arrays(seed: int, packed: bool) -> None:
    x = networks.normal(4, 3, 8, 8)
    content = edit_arrays.npz({"x": x}) if packed else edit_arrays.npy(x)
    edited = edit_arrays.edited(content, Random(seed))
    answered(DataError, ".npz" if packed else ".npy", edited, samples)


def samples(path: Path) -> list[Any]:
    source = open_source(path, [X])
    return [batch for batch in source.slice(0, min(len(source), 6)).batches(2)]


@settings(max_examples=40)
@given(seed=SEEDS)
def test_images(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        path.write_bytes(edit_images.edited(edit_images.picture(0), Random(seed)))
        try:
            list(open_source(Path(folder), [X], preprocess=Preprocess(size=(8, 8))).batches(1))
        except DataError:
            return


@given(seed=SEEDS)
def test_settings_of_images(seed: int) -> None:
    edited = edit_text.edited(PREPROCESS, Random(seed))
    answered(DataError, ".toml", edited, Preprocess.from_toml)


@given(seed=SEEDS)
def test_targets(seed: int) -> None:
    edited = edit_text.edited(TARGET, Random(seed))
    answered(TargetError, ".toml", edited, lambda path: target(str(path)))


@given(seed=SEEDS, suffix=st.sampled_from([".txt", ".npy", ".npz"]))
def test_labels(seed: int, suffix: str) -> None:
    labels, dice = np.arange(8), Random(seed)
    match suffix:
        case ".txt":
            content = edit_text.edited("\n".join(map(str, labels)).encode(), dice)
        case ".npy":
            content = edit_arrays.edited(edit_arrays.npy(labels), dice)
        case _:
            content = edit_arrays.edited(edit_arrays.npz({"y": labels}), dice)
    answered(DataError, suffix, content, lambda path: read_labels(path, 8))


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25)
@given(seed=SEEDS)
def test_parameters(name: str, seed: int) -> None:
    edited = file_edited(name, FILES[name], Random(seed))
    try:
        found = read(edited)
    except ReadError:
        return
    assert all(np.isfinite(entry.affine.scale).all() for entry in found.entries)
