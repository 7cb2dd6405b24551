"""A result over the graph of other viewers: node data by the names of nodes, and metadata."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lostbits as lb
from lostbits.case import Case
from lostbits.reporters import overlay as overlays
from lostbits.reporters.html.tables import Row
from lostbits.results.diagnosis import Diagnosis
from made_results import site
from small_nets import Net


@pytest.fixture(scope="module")
def found() -> tuple[Case, Diagnosis]:
    """A network whose nodes have no names, so that the copy must give them some."""
    net = Net(0)
    first = net.add("Relu", [net.conv("x", (4, 3, 1))])
    output = net.add("Add", [first, net.conv(first, (4, 4, 1))])
    model = net.model([3, 4, 4], output, rank=4)
    for node in model.graph.node:
        node.name = "" if node.op_type == "Relu" else node.name
    data = np.random.default_rng(0).normal(size=(8, 3, 4, 4)).astype(np.float32)
    case = lb.load(model, data, "snpe")
    return case, lb.diagnose(case)


@pytest.fixture(scope="module")
def written(found: tuple[Case, Diagnosis], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlay")
    paths = lb.overlay(*found, folder / "net.json")
    assert sorted(p.name for p in paths) == ["net.json", "net.netron.onnx"]
    return folder


def data_of(folder: Path) -> Any:
    return json.loads((folder / "net.json").read_text("utf-8"))["results"]


def test_node_data_name_the_nodes_and_add_up(found: tuple[Case, Diagnosis], written: Path) -> None:
    copy = onnx.load(written / "net.netron.onnx")
    names = [node.name for node in copy.graph.node]
    assert len(set(names)) == len(names) and all(names)
    known = {*names, *(f"[io]{each.name}" for each in copy.graph.input)}
    results = data_of(written)
    assert set(results) <= known and len(results) >= 3
    total = sum(a.share for a in found[1].network.attributions)
    assert sum(r["value"] for r in results.values()) == pytest.approx(100 * total, abs=0.01)


def test_the_copy_is_the_float_network(found: tuple[Case, Diagnosis], written: Path) -> None:
    onnx.checker.check_model(written / "net.netron.onnx", full_check=True)
    again = lb.load(written / "net.netron.onnx", np.ones((8, 3, 4, 4), np.float32), "snpe")
    for name, value in found[0].model.graph.initializers.items():
        other = again.model.graph.initializers[name].const_value
        assert value.const_value is not None and other is not None
        np.testing.assert_array_equal(value.const_value.numpy(), other.numpy())


def test_the_copy_tells_its_figures(found: tuple[Case, Diagnosis], written: Path) -> None:
    copy = onnx.load(written / "net.netron.onnx")
    told = {each.key: each.value for each in copy.metadata_props}
    assert told["lostbits.target"] == "snpe"
    assert told["lostbits.sqnr"] == f"{found[1].baseline.sqnr_db:.1f} dB"
    keys = {each.key for node in copy.graph.node for each in node.metadata_props}
    assert {"lostbits.share", "lostbits.own_error", "lostbits.inherited_error"} <= keys
    sites = {f"lostbits.{s.role} {s.tensor}" for s in found[1].sites if s.node}
    assert sites <= keys


def test_the_network_of_the_case_is_not_changed(found: tuple[Case, Diagnosis]) -> None:
    assert not any(node.metadata_props for node in found[0].model.graph)


def test_colours_go_by_sign_and_size() -> None:
    shares = {"a": 0.5, "b": -0.5, "c": 0.0, "d": 0.1}
    placed = {k: [Row(site(k, node=k), v, 0.0, 0, [])] for k, v in shares.items()}
    colours = {k: v["bgColor"] for k, v in overlays.node_data(placed)["results"].items()}
    assert colours["a"] == "#b8578f" and colours["b"] == "#1b8a8a" and colours["c"] == "#ffffff"
    assert len(set(colours.values())) == 4
    assert overlays.node_data({}) == {"results": {}}


def test_a_model_of_the_same_name_stays(found: tuple[Case, Diagnosis], tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"mine")
    lb.overlay(*found, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == b"mine"
    assert {p.name for p in tmp_path.iterdir()} == {"net.onnx", "net.json", "net.netron.onnx"}


def test_what_cannot_be_written_is_said(found: tuple[Case, Diagnosis], tmp_path: Path) -> None:
    (tmp_path / "net.json").mkdir()
    with pytest.raises(lb.LostbitsError, match="O001"):
        lb.overlay(*found, tmp_path / "net.json")
