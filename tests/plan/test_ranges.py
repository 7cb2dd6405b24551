"""Ranges of tensors that share their parameters."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import lostbits as lb
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.plan import ranges

BRANCHES = 6


def joined(path: Path) -> Path:
    """Layers side by side, whose outputs share the scale of a Concat."""
    names = [f"y{i}" for i in range(BRANCHES)]
    nodes = [helper.make_node("Conv", ["x", "w"], [name]) for name in names]
    nodes.append(helper.make_node("Concat", names, ["y"], axis=1))
    w = np.random.default_rng(0).normal(size=(2, 2, 1, 1)).astype(np.float32)
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", channels, 4, 4])
        for name, channels in (("x", 2), ("y", 2 * BRANCHES))
    )
    graph = helper.make_graph(nodes, "g", [x], [y], [onnx.numpy_helper.from_array(w, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_a_group_is_estimated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    estimated = ranges._affine

    def counting(site: Site, *rest: Any) -> Affine:
        asked.append(site.group if site.streams else site.key)
        return estimated(site, *rest)

    monkeypatch.setattr(ranges, "_affine", counting)
    x = np.random.default_rng(1).normal(size=(16, 2, 4, 4)).astype(np.float32)
    case = lb.load(joined(tmp_path / "net.onnx"), x, "qnn-htp")
    assert len(asked) == len(set(asked))
    (shared,) = (sites for sites in case.placed.groups.values() if len(sites) > 1)
    assert len(shared) == BRANCHES
    assert len({case.plan[s.key].scale.item() for s in shared}) == 1
