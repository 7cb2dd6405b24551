"""Tensors of a dump by name, and the file of names."""

from pathlib import Path

import pytest

from lostbits.dump import Stored
from lostbits.errors import DumpError
from lostbits.verification.dump_names import named, names_in, normal


def stored(*names: str) -> list[Stored]:
    return [Stored(name, None, name, lambda: b"") for name in names]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("/layer1/conv/Conv_output_0", "layer1_conv_Conv_output_0"),
        ("/layer1/conv/Conv_output_0", "_layer1_conv_Conv_output_0:0"),
        ("model.4.relu", "model_4_relu"),
        ("conv", "conv_QuantizeLinear_Output"),
        ("conv", "conv_dequantized"),
        ("a/b:0", "a_b"),
    ],
)
def test_what_tools_change_does_not_part_names(name: str, other: str) -> None:
    assert normal(name) == normal(other)


@pytest.mark.parametrize(("name", "other"), [("conv1", "conv2"), ("conv_1", "conv_11"), ("a", "b")])
def test_other_names_stay_others(name: str, other: str) -> None:
    assert normal(name) != normal(other)


def test_codes_come_before_reals_and_exact_names_before_changed_ones() -> None:
    tensors = {"a": ("a_codes", "a_back", "a/0"), "b": ("b_codes", "b_back", "b")}
    found = named(stored("a_0", "a_codes", "a/0", "b", "c"), tensors, {})
    assert next(iter(found.found["a"])) == "a_codes"
    assert list(found.found["b"]) == ["b"]
    assert list(found.rest) == ["c"]
    assert not found.unsure


def test_two_changed_names_of_one_tensor_are_unsure() -> None:
    found = named(stored("a:b", "a.b"), {"t": ("a/b",)}, {})
    assert found.unsure == ["t"]


@pytest.mark.parametrize(
    "text",
    [
        "out_17 conv\n# remark\n\nout_18,relu\n",
        '{"out_17": "conv", "out_18": "relu"}',
        "out_17 = conv\nout_18\trelu",
    ],
)
def test_a_file_of_names_gives_pairs(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.txt").write_text(text)
    pairs = names_in(tmp_path / "names.txt")
    assert pairs == {"out_17": "conv", "out_18": "relu"}
    found = named(stored("out_17", "out_18"), {"conv": ("conv",), "relu": ("relu",)}, pairs)
    assert set(found.found) == {"conv", "relu"}


@pytest.mark.parametrize("text", ["one", "a b c", '{"a": 1}', '{"a"', None])
def test_other_files_of_names_are_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "names.txt").write_text(text)
    with pytest.raises(DumpError) as error:
        names_in(tmp_path / "names.txt")
    assert error.value.code == "V009"
