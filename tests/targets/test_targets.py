"""Every target is complete and consistent; users' targets are read and refused with reasons."""

from collections.abc import Iterable
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from lostbits import estimators
from lostbits.errors import TargetError
from lostbits.estimators import estimator
from lostbits.grid import Grid
from lostbits.target import Rule, Source, Target
from lostbits.targets import (
    ALL,
    CNRT,
    ONNXRUNTIME,
    OPENVINO,
    QNN_HTP,
    SNPE,
    TENSORRT,
    target,
    toml_file,
)

LINEAR = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
by_name = pytest.mark.parametrize("member", ALL, ids=lambda t: t.name)


def op_sets(member: Target) -> Iterable[tuple[str, frozenset[str]]]:
    for name in ("ops", "fused_activations", "fusing_ops", "shared_scale", "passes_through"):
        yield name, getattr(member.placement, name)


# ---- the targets that come along ------------------------------------------------------------


def test_there_are_six() -> None:
    names = ["tensorrt", "snpe", "qnn-htp", "cnrt", "onnxruntime", "openvino"]
    assert [t.name for t in ALL] == names
    assert [target(name) for name in names] == list(ALL)
    assert len({t.title for t in ALL}) == 6


@by_name
def test_methods_exist(member: Target) -> None:
    for rule in (member.weights, member.activations):
        assert estimator(rule.method) in estimators.ALL


@by_name
def test_every_rule_has_a_source(member: Target) -> None:
    assert len(member.sources) >= 3
    for source in member.sources:
        assert all((source.rule, source.document, source.version))
    assert member.takes
    assert all(text and not text.endswith(".") for text in member.notes.values())


@by_name
def test_ops_are_ops_of_onnx(member: Target) -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    for name, ops in op_sets(member):
        assert ops <= known, (name, ops - known)


@by_name
def test_placement_is_consistent(member: Target) -> None:
    rules = member.placement
    assert bool(rules.ops) == (rules.mode != "tensors")
    assert rules.mode == "tensors" or rules.ops >= LINEAR
    assert not rules.passes_through & (rules.ops | rules.shared_scale | rules.fusing_ops)
    assert not rules.passes_through & rules.fused_activations
    assert bool(rules.fused_activations) == bool(rules.fusing_ops)
    assert not rules.fusing_ops or rules.fusing_ops >= LINEAR
    assert not rules.fused_residual_add or "Add" in rules.ops


@by_name
def test_rules_suit_the_device(member: Target) -> None:
    assert not member.activations.per_channel  # no platform multiplies with such activations
    for rule in (member.weights, member.activations):
        assert rule.grid in (Grid.of(8, signed=True), Grid.of(8, signed=False))
        assert rule.grid.signed == rule.symmetric
        assert not rule.power_of_two
    assert member.bias_bits in (None, 32)


def test_the_table_of_the_design() -> None:
    table = {
        t.name: (
            t.weights.grid.name,
            t.weights.per_channel,
            t.activations.grid.name,
            t.activations.method,
            t.bias_bits,
            t.placement.mode,
        )
        for t in ALL
    }
    assert table == {
        "tensorrt": ("int8", True, "int8", "entropy", None, "inputs"),
        "snpe": ("uint8", False, "uint8", "min_max", 32, "tensors"),
        "qnn-htp": ("int8", True, "uint8", "min_max", 32, "tensors"),
        "cnrt": ("int8", True, "int8", "min_max", None, "inputs"),
        "onnxruntime": ("int8", True, "uint8", "min_max", 32, "inputs_outputs"),
        "openvino": ("int8", True, "uint8", "min_max", None, "inputs"),
    }
    assert all(t.weights.method == "min_max" for t in ALL)
    assert [t.name for t in ALL if t.placement.fused_residual_add] == ["tensorrt", "openvino"]
    assert [t.activations.minimum_range for t in (SNPE, QNN_HTP, TENSORRT)] == [1e-4, 1e-4, 0]


def test_only_the_htp_has_a_narrower_accumulator() -> None:
    assert {t.name: t.accumulator_bits for t in ALL if t.accumulator_bits != 32} == {"qnn-htp": 28}


def test_what_shares_a_scale() -> None:
    assert TENSORRT.placement.shared_scale == OPENVINO.placement.shared_scale == {"Concat"}
    assert SNPE.placement.shared_scale >= {"AveragePool", "Concat", "Resize"}
    assert QNN_HTP.placement.shared_scale >= SNPE.placement.shared_scale
    assert not CNRT.placement.shared_scale
    assert "Concat" not in ONNXRUNTIME.placement.shared_scale


@pytest.mark.skipif(
    not onnxruntime.__version__.startswith("1.32."), reason="the list was read from 1.32"
)
def test_onnxruntimes_ops_are_those_of_its_own_registry() -> None:
    default = set(QLinearOpsRegistry) | set(QDQRegistry)
    rules = ONNXRUNTIME.placement
    assert rules.ops <= default
    handled = rules.ops | rules.passes_through | rules.fused_activations
    assert default - handled == {"EmbedLayerNormalization", "Where"}


def test_an_unknown_name_is_refused_with_advice() -> None:
    with pytest.raises(TargetError, match=r"T001: .*'tensort'.*did you mean 'tensorrt'"):
        target("tensort")


# ---- users' own -----------------------------------------------------------------------------

WHOLE = """
name = "npu"
title = "Our NPU"
bias_bits = "float"
takes = "Q/DQ model"

[weights]
grid = "int4"
symmetric = true
per_channel = true
method = "mse"
power_of_two = true

[activations]
grid = "uint16"
symmetric = false
per_channel = false
method = "percentile"
minimum_range = 1

[placement]
mode = "inputs"
ops = ["Conv", "Gemm"]
fused_activations = ["Relu"]
fusing_ops = ["Conv"]
shared_scale = []
passes_through = ["MaxPool"]
fused_residual_add = true

[[sources]]
rule = "all"
document = "manual"
version = "1"

[notes]
rounding = "half up"
"""


def parse(text: str) -> Target:
    return toml_file.parse_target(text, "npu.toml", ALL)


def refusal(text: str) -> str:
    with pytest.raises(TargetError) as caught:
        parse(text)
    assert caught.value.code == "T003"
    assert str(caught.value).startswith("T003: npu.toml")
    return str(caught.value)


def test_a_whole_file_becomes_a_target() -> None:
    npu = parse(WHOLE)
    assert (npu.name, npu.title, npu.bias_bits) == ("npu", "Our NPU", None)
    assert npu.weights == Rule(Grid.of(4, signed=True), True, True, "mse", power_of_two=True)
    unsigned = Grid.of(16, signed=False)
    assert npu.activations == Rule(unsigned, False, False, "percentile", minimum_range=1.0)
    assert npu.placement.ops == {"Conv", "Gemm"}
    assert npu.placement.fused_residual_add
    assert npu.sources == (Source("all", "manual", "1"),)
    assert npu.notes == {"rounding": "half up"}


def test_a_base_is_overridden_key_by_key() -> None:
    ours = parse(
        'base = "snpe"\nname = "ours"\nbias_bits = 16\n[activations]\ngrid = "uint16"\n'
        '[placement]\nfused_activations = []\n[notes]\nbias = "16"\n'
    )
    assert ours.activations.grid == Grid.of(16, signed=False)
    assert ours.activations.minimum_range == SNPE.activations.minimum_range
    assert ours.weights == SNPE.weights
    assert ours.placement.passes_through == SNPE.placement.passes_through
    assert (ours.placement.fused_activations, ours.bias_bits) == (frozenset(), 16)
    assert ours.notes == {**SNPE.notes, "bias": "16"}
    assert (ours.title, ours.sources) == (SNPE.title, SNPE.sources)


@pytest.mark.parametrize("member", ALL, ids=lambda t: t.name)
def test_a_base_alone_is_that_target(member: Target) -> None:
    assert parse(f'base = "{member.name}"\nname = "{member.name}"') == member


def test_a_path_is_read(tmp_path: Path) -> None:
    path = tmp_path / "npu.toml"
    path.write_text(WHOLE, encoding="utf-8")
    assert target(str(path)) == parse(WHOLE)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "npu.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TargetError, match=r"T003: .*npu\.toml: must be a readable file"):
        target(str(path))


@pytest.mark.parametrize("line", [x for x in WHOLE.splitlines() if " = " in x])
def test_every_key_without_default_is_asked_for(line: str) -> None:
    key = line.partition(" = ")[0]
    if key in ("power_of_two", "minimum_range", "fused_residual_add", "rounding"):
        parse(WHOLE.replace(line, "", 1))
    else:
        assert f"{key}: must be given: nothing" in refusal(WHOLE.replace(line, "", 1))


@pytest.mark.parametrize("table", ["weights", "activations", "placement", "sources"])
def test_every_table_is_asked_for(table: str) -> None:
    header = f"[[{table}]]" if table == "sources" else f"[{table}]"
    start = WHOLE.index(header)
    end = WHOLE.find("\n[", start)
    assert f"npu.toml: {table}: must be given" in refusal(WHOLE[:start] + WHOLE[end:])


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('grid = "int4"', 'grid = "int1"', "weights: grid: must be int2 to int32"),
        ('grid = "int4"', 'grid = "float8"', "weights: grid: must be int2 to int32"),
        ('grid = "int4"', "grid = 8", "weights: grid: must be int2 to int32"),
        ("symmetric = true", "symmetric = 1", "weights: symmetric: must be true or false: 1"),
        ("symmetric = true", "symetric = true", "symetric: must be a field: no such field: did "),
        ('method = "mse"', "method = true", "weights: method: must be a text: True"),
        ("minimum_range = 1", "minimum_range = true", "minimum_range: must be a number"),
        ("minimum_range = 1", "minimum_range = -1", "must be finite and not negative"),
        ("minimum_range = 1", "minimum_range = nan", "must be finite and not negative"),
        ('mode = "inputs"', 'mode = "input"', "did you mean 'inputs'"),
        ('ops = ["Conv", "Gemm"]', 'ops = "Conv"', "ops: must be a list of op types"),
        ('ops = ["Conv", "Gemm"]', "ops = [1]", "ops: must be a list of op types"),
        ('bias_bits = "float"', 'bias_bits = "none"', 'bias_bits: must be 2 to 32, or "float"'),
        ('bias_bits = "float"', "bias_bits = true", 'bias_bits: must be 2 to 32, or "float"'),
        ('bias_bits = "float"', "bias_bits = 64", 'bias_bits: must be 2 to 32, or "float"'),
        ('bias_bits = "float"', 'bias_bits = "float"\naccumulator_bits = 12', "must be 16 to 32"),
        ('bias_bits = "float"', 'bias_bits = "float"\naccumulator_bits = true', "must be 16 to 32"),
        ('rule = "all"', "rule = 1", "sources: 1: rule: must be a text: 1"),
        ('rounding = "half up"', "rounding = 1", "notes: rounding: must be a text: 1"),
        ('name = "npu"', 'name = "npu"\nbsae = "snpe"', "bsae: must be a field: no such field"),
        ('name = "npu"', 'name = "npu"\nbase = "spne"', "did you mean 'snpe'"),
        ('name = "npu"', 'name = "npu"\nbase = ["snpe"]', "base: must be the name of a target"),
        ('name = "npu"', "name = npu", "must be TOML"),
        ('name = "npu"', 'name = " "', "name: must be a text that is not empty"),
        ("[weights]", "weights = 1\n[weight]", "weights: must be a table: 1"),
    ],
)
def test_a_wrong_key_is_refused_with_place_and_advice(right: str, wrong: str, said: str) -> None:
    assert right in WHOLE
    assert said in refusal(WHOLE.replace(right, wrong, 1))


def test_sources_are_an_array_of_tables() -> None:
    text = 'base = "snpe"\nname = "x"\nsources = '
    assert "must be one table or more" in refusal(text + "[]")
    assert "must be one table or more" in refusal(text + '"here"')
    assert "sources: 1: must be a table" in refusal(text + '["here"]')


def test_a_base_needs_a_new_name() -> None:
    assert "npu.toml: name: must be given" in refusal('base = "snpe"')
