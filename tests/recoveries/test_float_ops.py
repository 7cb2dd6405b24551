"""Ops in float: what is worth it is found, costs are told, and files carry the choice."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import lostbits as lb
from lostbits.graph.scale_marks import Scaling, scaling
from lostbits.language import verbatim
from lostbits.recoveries.float_ops import FloatOps, marked, without
from lostbits.recovery import Change, Context, Diagnosed, Effort
from lostbits.results.diagnosis import NetworkReport
from lostbits.runtime.held_out_figures import Judges
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.multiplications import multiplications
from lostbits.system.deadline import NEVER, Deadline
from lostbits.targets import target as lb_target
from small_nets import built, cnn, samples
from text_models import proto, random

# One branch is a hundred times as large as the other, which alone reaches the output: their sum
# holds both, and its grid leaves little of the small one.
UNLIKE = """g (float[N,8] x) => (float[N,8] y) { a = Gemm (x, u)  b = Gemm (x, v)
    s = Add (a, b)  d = Sub (s, b)  y = Gemm (d, w) }"""
WEIGHTS = {"u": random(8, 8), "w": random(8, 8, seed=1), "v": 64 * random(8, 8, seed=2)}
DATA = {"x": np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)}


def load(folder: Path, model: onnx.ModelProto, data: Any, target: str) -> lb.Case:
    onnx.save(model, folder / "net.onnx")
    return lb.load(folder / "net.onnx", data, target)


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_a_sum_that_loses_a_branch_goes_to_float(tmp_path: Path, target: str) -> None:
    case = load(tmp_path, proto(UNLIKE, **WEIGHTS), DATA, target)
    better = lb.recover(case, methods=["float_ops"], out=tmp_path / "r")
    [entry] = better.ledger
    assert (entry.method, entry.kept) == ("float_ops", True) and entry.gain_db > 10
    marks = {n.op_type for n in better.case.model.graph if scaling(n) is Scaling.PLAIN}
    assert marks and marks <= {"Add", "Sub"}
    again = lb.load(tmp_path / "r", DATA)
    assert {s.key for s in again.sites} == {s.key for s in better.case.sites}


# What comes in has one value a thousand times the others, which the first layer does away with.
LOUD = """g (float[N,8] x) => (float[N,8] y) { a = Gemm (x, u)  b = Tanh (a)
    c = Gemm (b, v)  d = Relu (c)  y = Gemm (d, w) }"""


@pytest.mark.parametrize(("loud", "moved"), [(1000.0, True), (1.0, False)])
def test_a_layer_that_loses_the_network_goes_to_float(
    tmp_path: Path, loud: float, moved: bool
) -> None:
    """A third of the multiplications; a network that is good keeps all of its layers."""
    scale = np.array([loud, *[1.0] * 7], np.float32)
    weights = {"u": random(8, 8) / scale[:, None], "v": WEIGHTS["v"] / 64, "w": WEIGHTS["w"]}
    case = load(tmp_path, proto(LOUD, **weights), {"x": DATA["x"] * scale}, "onnxruntime")
    better = lb.recover(case, methods=["float_ops"])
    marks = {n.op_type for n in better.case.model.graph if scaling(n) is Scaling.PLAIN}
    assert ("Gemm" in marks or "MatMul" in marks) is moved
    if moved:
        assert better.ledger[0].kept and better.ledger[0].gain_db > 10
        assert "33.3% of all multiplications" in str(better.ledger[0].note)


def counted(folder: Path, deadline: Deadline) -> tuple[list[set[str]], Change]:
    """Nodes in float of the cases that were judged, and what came of it."""
    source, case = built(proto(UNLIKE, **WEIGHTS), DATA["x"], lb_target("onnxruntime"), folder)
    judge, runs = Judges(source).judge(case), list[set[str]]()

    def counting(other: lb.Case) -> Baseline:
        runs.append(plain(other))
        return judge(other)

    class Counting:
        def judge(self, case: lb.Case, most: int) -> Any:
            return counting

    network = NetworkReport("aumann-shapley", "nsr", 1.0, 0.0, 0.0, [], {}, verbatim(""))
    effort = Effort(deadline=deadline)
    context = Context(source, Diagnosed(network, ()), effort, judges=Counting())  # type: ignore[arg-type]
    return runs, FloatOps().change(case, context)


def plain(case: lb.Case) -> set[str]:
    return {str(n.name) for n in case.model.graph if scaling(n) is Scaling.PLAIN}


def test_no_choice_is_run_twice(tmp_path: Path) -> None:
    runs, change = counted(tmp_path, NEVER)
    assert change.model is not None and all(runs.count(nodes) == 1 for nodes in runs)


def test_what_all_of_them_win_is_kept_when_time_is_up(tmp_path: Path) -> None:
    runs, change = counted(tmp_path, Deadline.after(0))
    assert change.model is not None and len(runs) == 2


def test_integer_only_platforms_are_not_offered_it(tmp_path: Path) -> None:
    case = load(tmp_path, proto(UNLIKE, **WEIGHTS), DATA, "qnn-htp")
    assert not lb.recover(case, methods=["float_ops"]).ledger


def test_marked_nodes_lose_their_sites_and_nothing_else_changes(tmp_path: Path) -> None:
    case = load(tmp_path, proto(UNLIKE, **WEIGHTS), DATA, "onnxruntime")
    nodes = frozenset(str(n.name) for n in case.model.graph if n.op_type != "Gemm")
    found = without(case, nodes)
    assert {s.tensor for s in found.sites if s.streams} < {s.tensor for s in case.sites}
    assert all(found.plan[key] == case.plan[key] for key in found.plan)
    assert all(scaling(n) is None for n in case.model.graph)


def test_a_node_with_another_mark_keeps_it(tmp_path: Path) -> None:
    case = load(tmp_path, proto(UNLIKE, **WEIGHTS), DATA, "onnxruntime")
    first = next(iter(case.model.graph))
    once = marked(case.model, frozenset({str(first.name)}))
    again = marked(once, frozenset({str(n.name) for n in once.graph}))
    assert all(scaling(n) is Scaling.PLAIN for n in again.graph)


def test_multiplications_are_those_of_the_formulas(tmp_path: Path) -> None:
    text = """g (float[N,4,9,9] x) => (float[N,5,5] y) {
        c = Conv <strides = [2,2], pads = [1,1,1,1], group = 2> (x, k)
        r = Reshape (c, s)  m = MatMul (r, w)  y = MatMul (r, m) }"""
    weights = {"k": random(10, 2, 3, 3), "s": np.array([0, 5, 50]), "w": random(50, 50)}
    wide = text.replace(
        "y = MatMul (r, m)", "t = Transpose <perm = [0,2,1]> (m)  y = MatMul (r, t)"
    )
    source, case = built(
        proto(wide, **weights), random(2, 4, 9, 9), lb_target("onnxruntime"), tmp_path
    )
    found = multiplications(case.model, next(iter(source.batches(2))))
    assert sorted(found.values()) == sorted([2 * 10 * 25 * 2 * 9, 2 * 5 * 50 * 50, 2 * 5 * 5 * 50])


def test_a_network_without_such_ops_has_nothing_to_try(tmp_path: Path) -> None:
    case = load(tmp_path, cnn(1), {"x": samples(1, 8, 3, 16, 16)}, "onnxruntime")
    assert all(not e.kept or e.gain_db > 0 for e in lb.recover(case, methods=["float_ops"]).ledger)
