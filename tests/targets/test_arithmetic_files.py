"""Arithmetics of a user's own, as TOML."""

from dataclasses import fields
from pathlib import Path

import pytest

from lostbits.arithmetics import ALL, arithmetic
from lostbits.errors import TargetError
from lostbits.target import Arithmetic
from lostbits.targets import ALL as TARGETS
from lostbits.targets import target, with_arithmetic
from lostbits.targets.toml_file import parse_arithmetic, parse_target

WHOLE = """
name = "npu"
title = "Our NPU"
accumulator_bits = 24
overflow = "saturate"
pairs = "u8s8"
pair_overflow = "wrap"
pair_distance = 4
bias_bits = 16
requantization = "fixed"
multiplier_bits = 16
rounding = "floor"
twice = false
addition = "fixed"
mean = "fixed"
tables = ["Sigmoid"]
layers = ["Conv", "MatMul"]
sums = ["MatMul"]

[[sources]]
rule = "everything"
document = "manual"
version = "1"
"""


def test_a_file_says_all_that_an_arithmetic_has() -> None:
    found = parse_arithmetic(WHOLE, "npu.toml")
    given = {line.split(" = ")[0] for line in WHOLE.splitlines() if " = " in line}
    assert {f.name for f in fields(Arithmetic)} - given == {"sources", "fitted"}
    assert (found.accumulator_bits, found.bias_bits, found.multiplier_bits) == (24, 16, 16)
    assert found.tables == {"Sigmoid"}
    assert found.sources[0].document == "manual"


def test_a_base_gives_what_the_file_leaves_out() -> None:
    found = parse_arithmetic('base = "x86-avx2"\nname = "ours"\nbias_bits = 16\n', "ours.toml")
    assert (found.pairs, found.bias_bits, found.name) == ("u8s8", 16, "ours")


@pytest.mark.parametrize(
    "line",
    [
        "accumulator_bits = 8",
        'overflow = "clamp"',
        'pairs = "u8u8"',
        "pair_distance = 0",
        'bias_bits = "float"',
        'requantization = "integer"',
        "multiplier_bits = 64",
        'rounding = "nearest"',
        'twice = "yes"',
        'tables = "Sigmoid"',
        'fitted = "tensorrt"',
        "wide_bits = 16",
    ],
)
def test_what_is_wrong_in_it_is_refused(line: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_arithmetic(f'base = "x86-vnni"\nname = "ours"\n{line}\n', "ours.toml")
    assert caught.value.code == "T003"


@pytest.mark.parametrize(
    "text", ['base = "x86-vnni"', 'base = "nothing"\nname = "a"', 'name = "a"']
)
def test_a_name_and_a_base_that_exists_are_needed(text: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_arithmetic(text, "ours.toml")
    assert caught.value.code == "T003"


def test_a_target_names_one_or_has_a_table() -> None:
    head = 'base = "onnxruntime"\nname = "ours"\n'
    named = parse_target(f'{head}arithmetic = "tflite"\n', "ours.toml", TARGETS)
    assert named.arithmetic == arithmetic("tflite")
    table = f'{head}[arithmetic]\nbase = "tflite"\nname = "npu"\naccumulator_bits = 24\n'
    own = parse_target(table, "ours.toml", TARGETS).arithmetic
    assert own is not None
    assert (own.accumulator_bits, own.twice) == (24, True)


def test_a_name_a_file_and_the_thing_itself_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "npu.toml"
    path.write_text(WHOLE, encoding="utf-8")
    plain = target("onnxruntime")
    assert with_arithmetic(plain, None) is plain
    for given in (path, str(path), parse_arithmetic(WHOLE, "npu.toml")):
        found = with_arithmetic(plain, given).arithmetic
        assert found is not None
        assert found.name == "npu"
    with pytest.raises(TargetError) as caught:
        with_arithmetic(plain, "x86-avx")
    assert caught.value.code == "T050"


def test_every_built_in_one_tells_its_sources() -> None:
    for each in ALL:
        assert each.sources
        assert all(s.rule and s.document and s.version for s in each.sources)
    assert all(t.arithmetic is None for t in TARGETS)
