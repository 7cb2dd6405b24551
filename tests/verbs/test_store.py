"""A recovered case on disk: what is loaded is what was saved, or an error."""

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exported_nets import case_of, rounded_down
from lostbits.errors import LostbitsError, OutputError, TargetError
from lostbits.runtime.simulation import quantized_model
from lostbits.target import Target
from lostbits.targets import ALL, SNPE
from lostbits.verbs.case_files import (
    FLOAT,
    PLAN,
    QUANTIZED,
    WRITTEN,
    files_of,
    holds_case,
    load_case,
)
from lostbits.verbs.output import replace_file
from lostbits.verbs.recover import saver
from runs import stored
from text_models import outputs, random


@pytest.mark.parametrize("target", ALL, ids=lambda t: t.name)
def test_what_is_loaded_is_what_was_saved(target: Target, tmp_path: Path) -> None:
    case = rounded_down(case_of(target=target))
    loaded, _ = load_case(stored(case, tmp_path))
    assert loaded.plan == case.plan
    assert loaded.placed.sites == case.placed.sites
    assert set(loaded.written) == set(case.written)
    assert all(np.array_equal(loaded.written[name], case.written[name]) for name in case.written)
    x = random(2, 4, 6, 6)
    same = zip(*(outputs(quantized_model(c), x=x) for c in (case, loaded)), strict=True)
    assert all(np.array_equal(a, b) for a, b in same)


def test_sites_left_in_float_stay_in_float(tmp_path: Path) -> None:
    case = case_of()
    plan = {key: affine for key, affine in case.plan.items() if key != "w:weight"}
    loaded, _ = load_case(stored(replace(case, plan=plan), tmp_path))
    assert loaded.plan == plan


def test_the_folder_holds_four_files_and_the_quantized_one_runs(tmp_path: Path) -> None:
    case = rounded_down(case_of())
    assert not holds_case(tmp_path)
    assert {p.name for p in stored(case, tmp_path).iterdir()} == {FLOAT, QUANTIZED, WRITTEN, PLAN}
    assert holds_case(tmp_path)
    x = random(2, 4, 6, 6)
    ours, file = quantized_model(case), ir.load(tmp_path / QUANTIZED)
    assert all(map(np.array_equal, outputs(ours, x=x), outputs(file, x=x)))


def test_saving_twice_gives_the_same_bytes() -> None:
    case = rounded_down(case_of())
    assert files_of(case) == files_of(case)


def test_the_plan_is_written_last() -> None:
    assert list(files_of(case_of()))[-1] == PLAN


def test_an_attempt_that_was_dropped_is_not_saved(tmp_path: Path) -> None:
    dropped = type("Dropped", (), {"kept": False})()
    saver(tmp_path)(case_of(), [dropped])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("name", [FLOAT, WRITTEN, PLAN])
def test_a_missing_part_is_named(name: str, tmp_path: Path) -> None:
    (stored(case_of(), tmp_path) / name).unlink()
    with pytest.raises(OutputError, match=rf"O003: .*{name}"):
        load_case(tmp_path)


@pytest.mark.parametrize("name", [FLOAT, WRITTEN])
def test_files_of_two_moments_are_not_mixed(name: str, tmp_path: Path) -> None:
    case = case_of()
    stored(case, tmp_path)
    later = {key: rounded_down(case).written[key] + 1 for key in ("w", "u")}
    other = replace(case, written=later)
    if name == FLOAT:
        model = case.model.clone()
        model.graph.initializers["w"].const_value = ir.tensor(later["w"], name="w")
        other = replace(case, model=model)
    replace_file(tmp_path / name, files_of(other)[name])
    with pytest.raises(OutputError, match=rf"O004: .*{name}"):
        load_case(tmp_path)


def test_a_plan_for_other_places_is_refused(tmp_path: Path) -> None:
    case = case_of(target=SNPE)
    stored(case, tmp_path)
    plan = json.loads((tmp_path / PLAN).read_text())
    plan["sites"][0]["tensor"] = "elsewhere"
    (tmp_path / PLAN).write_text(json.dumps(plan))
    with pytest.raises(OutputError, match=r"O004: .*elsewhere"):
        load_case(tmp_path)


def test_a_hole_larger_than_memory_is_not_read(tmp_path: Path) -> None:
    with (stored(case_of(), tmp_path) / FLOAT).open("r+b") as file:
        file.truncate(1 << 42)
    with pytest.raises(OutputError, match=r"O003: .*float\.onnx"):
        load_case(tmp_path)


def test_a_target_from_a_file_must_be_given(tmp_path: Path) -> None:
    own = replace(SNPE, name="mine")
    case = case_of(target=own)
    stored(case, tmp_path)
    with pytest.raises(TargetError, match="T001"):
        load_case(tmp_path)
    assert load_case(tmp_path, own)[0].plan == case.plan


def test_damaged_constants_are_refused(tmp_path: Path) -> None:
    stored(rounded_down(case_of()), tmp_path)
    content = (tmp_path / WRITTEN).read_bytes()[:-40]
    (tmp_path / WRITTEN).write_bytes(content)
    with pytest.raises(OutputError, match="O004"):
        load_case(tmp_path)
    plan = json.loads((tmp_path / PLAN).read_text())
    plan["digests"][WRITTEN] = hashlib.sha256(content).hexdigest()
    (tmp_path / PLAN).write_text(json.dumps(plan))
    with pytest.raises(OutputError, match="O003"):
        load_case(tmp_path)


def signed(folder: Path, content: bytes) -> None:
    """Other constants, with the digest of their own in the plan."""
    (folder / WRITTEN).write_bytes(content)
    plan = json.loads((folder / PLAN).read_text())
    plan["digests"][WRITTEN] = hashlib.sha256(content).hexdigest()
    (folder / PLAN).write_text(json.dumps(plan))


def archive(**arrays: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


ONE = np.zeros(1, np.float32)
NAMED = np.array(["nowhere"])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (archive(**{"names": NAMED, "0": ONE}), "O004"),
        (archive(**{"names": np.array(["w"]), "0": ONE}), "O004"),
        (archive(**{"names": NAMED}), "O003"),
        (archive(**{"0": ONE}), "O003"),
        (archive(names=np.array([3])), "O003"),
        (archive(names=np.array("x")), "O003"),
        (b"PK", "O003"),
        (b"", "O003"),
        (pickle.dumps(["names"]), "O003"),
    ],
)
def test_constants_that_the_model_lacks_are_refused(
    tmp_path: Path, content: bytes, code: str
) -> None:
    signed(stored(rounded_down(case_of()), tmp_path), content)
    with pytest.raises(OutputError, match=code):
        load_case(tmp_path)


@pytest.mark.parametrize("name", [FLOAT, WRITTEN, PLAN])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_part_that_is_no_file_is_refused_at_once(
    tmp_path: Path, name: str, make: Callable[[Path], Any]
) -> None:
    part = stored(case_of(), tmp_path) / name
    part.unlink()
    make(part)
    with pytest.raises(OutputError, match=rf"O003: .*{name}"):
        load_case(tmp_path)


@pytest.mark.slow
@given(st.data())
def test_a_damaged_folder_has_a_code(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Any part, cut or with another byte, with a right digest of it where there is one."""
    folder = stored(rounded_down(case_of()), tmp_path_factory.mktemp("case"))
    name = data.draw(st.sampled_from([FLOAT, WRITTEN, PLAN]))
    content = (folder / name).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255))
    content = content[:at] + bytes([other]) + content[at + 1 :] if other else content[:at]
    if name == WRITTEN:
        signed(folder, content)
    else:
        (folder / name).write_bytes(content)
    with suppress(LostbitsError):
        load_case(folder)
