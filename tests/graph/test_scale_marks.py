"""Marks of nodes: what placement makes of them, that they last, and what is left to the host."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from dead_nets import IMAGES, detector, points, unlike_inputs
from lostbits.channels.input_scales import scaled_inputs
from lostbits.graph.place import place
from lostbits.graph.scale_marks import Scaling, cut_at_marks, host_lines, scaling, with_marks
from lostbits.plan.ranges import make_plan, rule_of
from lostbits.runtime.session import Session
from lostbits.targets import target
from small_nets import make


def marked(folder: Path, how: Scaling, name: str) -> tuple[Any, Any]:
    case = make(folder, detector(), IMAGES, name)[1]
    concat = next(node for node in case.model.graph if node.op_type == "Concat")
    model = with_marks(case.model, {str(concat.name): how})
    return case, model


def concat_groups(model: ir.Model, name: str) -> tuple[set[str], bool]:
    """Groups of what the Concat reads, and whether its result has a site."""
    placed = place(model, target(name))
    concat = next(node for node in model.graph if node.op_type == "Concat")
    read = {str(v.name) for v in concat.inputs if v is not None}
    groups = {site.group for site in placed.sites if site.tensor in read}
    return groups, any(site.tensor == concat.outputs[0].name for site in placed.sites)


def test_a_marked_concat_is_apart_wide_or_unrounded(tmp_path: Path) -> None:
    plain, own = marked(tmp_path, Scaling.OWN, "snpe")
    assert [len(concat_groups(m, "snpe")[0]) for m in (plain.model, own)] == [1, 2]
    assert not concat_groups(plain.model, "snpe")[1] and concat_groups(own, "snpe")[1]
    for how in (Scaling.FLOAT, Scaling.SPLIT):
        groups, site = concat_groups(marked(tmp_path, how, "snpe")[1], "snpe")
        assert len(groups) == 2 and not site
    _, floating = marked(tmp_path, Scaling.FLOAT, "onnxruntime")
    assert not concat_groups(floating, "onnxruntime")[1]


def test_the_wide_grid_is_that_of_all_that_shares_the_scale(tmp_path: Path) -> None:
    case, wide = marked(tmp_path, Scaling.WIDE, "qnn-htp")
    placed = place(wide, case.target)
    plan = make_plan(wide, placed, case.seen, case.target)
    sites = {site.tensor: site for site in placed.sites}
    names = [t for t in sites if t.startswith(("mul", "sigmoid"))]
    assert [plan[sites[t].key].grid.bits for t in names] == [16, 16]
    assert plan[sites[names[0]].key] == plan[sites[names[1]].key]
    others = [s for t, s in sites.items() if s.streams and t not in names]
    assert {rule_of(s, case.target).grid.bits for s in others} == {8}


def test_marks_last_in_a_file_and_other_metadata_is_none(tmp_path: Path) -> None:
    _, model = marked(tmp_path, Scaling.SPLIT, "snpe")
    ir.save(model, tmp_path / "marked.onnx")
    found = [scaling(node) for node in ir.load(tmp_path / "marked.onnx").graph]
    assert found.count(Scaling.SPLIT) == 1
    node = ir.node("Relu", [None])
    node.metadata_props["lostbits.output_scale"] = "something"
    assert scaling(node) is None


def test_the_lines_for_the_host_join_the_outputs_that_are_split(tmp_path: Path) -> None:
    case, model = marked(tmp_path, Scaling.SPLIT, "snpe")
    cut = cut_at_marks(model)
    assert len(cut.graph.outputs) == 2 and len(model.graph.outputs) == 1
    outputs = dict(Session(cut).run({"x": IMAGES}))
    (line,) = host_lines(model)
    exec(line, {"np": np, "outputs": outputs})  # it is what users are told to run
    for name, wanted in Session(case.model).run({"x": IMAGES}).items():
        np.testing.assert_array_equal(outputs[name], wanted)


@pytest.mark.parametrize("name", ["snpe", "tensorrt", "onnxruntime"])
def test_the_lines_for_the_host_divide_the_input(tmp_path: Path, name: str) -> None:
    case = make(tmp_path, unlike_inputs(), points(), name)[1]
    rows = {s.tensor: case.seen[s.key].channels for s in case.sites if s.key in case.seen}
    model = case.model.clone()
    (found,) = scaled_inputs(case.model, rows)
    made = found.store(model)
    assert {np.log2(f) % 1 for f in found.factors} == {0.0}
    sites = {s.tensor for s in place(model, case.target).sites}
    assert made in sites and "x" not in sites and not any("factors" in s for s in sites)
    wanted = Session(case.model).run({"x": points()})
    feeds = {"x": points()}
    (line,) = host_lines(model)
    whole = Session(model).run(feeds)
    exec(line, {"np": np, "feeds": feeds})
    parted = Session(cut_at_marks(model)).run(feeds)
    for name_of, value in wanted.items():
        np.testing.assert_array_equal(whole[name_of], parted[name_of])
        np.testing.assert_allclose(whole[name_of], value, rtol=1e-5, atol=1e-5)
