"""A device with a known fault: its first deviating tensor is found, and explained."""

from functools import cache
from pathlib import Path

import pytest

import lostbits as lb
from device import Array, Fault
from device_faults import NETS, case_of, dumped, faults
from lostbits.case import Case

pytestmark = pytest.mark.slow
KINDS = (
    *("scale", "fine scale", "zero point", "override", "axis", "layout", "stale model"),
    *(
        "truncation",
        "saturation",
        "wrap",
        "activation",
        "leaky",
        "float",
        "single codes",
        "bias",
        "pairs",
    ),
)


@cache
def planned(net: str) -> tuple[Case, Array, dict[str, tuple[str, Fault]]]:
    case, data = case_of(net)
    return case, data, faults(case, net, data)


@pytest.mark.parametrize("net", NETS)
def test_a_device_without_fault_passes(net: str, tmp_path: Path) -> None:
    case, data, _ = planned(net)
    found = lb.verify(case, dumps=dumped(case, None, data, net, tmp_path / "dump"))
    assert found.passed
    assert not found.problems
    assert found.tensors_compared == found.tensors_dumped == found.tensors_planned
    assert max(row.codes or 0 for row in found.tensors) < 0.1


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_found_where_it_is_and_explained(net: str, kind: str, tmp_path: Path) -> None:
    case, data, known = planned(net)
    if kind not in known:
        pytest.skip("not of this layer")
    explanation, fault = known[kind]
    found = lb.verify(case, dumps=dumped(case, fault, data, net, tmp_path / "dump"))
    first = found.first_deviation
    assert not found.passed
    assert first is not None
    assert (first.tensor, first.explanation) == (fault.tensor, explanation), str(first.text)
