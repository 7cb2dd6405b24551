"""Where the operands of the last Concat lie: against labels that are moved by the graph itself."""

from itertools import pairwise

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from lostbits.graph.compared_outputs import compared_outputs
from lostbits.graph.output_parts import WHOLE, boxes
from output_nets import detector, turned_detector
from text_models import normal, outputs, proto

ENDS = {
    "concat": "y = Concat<axis=1>(a, b)",
    "three": "y = Concat<axis=1>(a, b, a)",
    "turned": "c = Concat<axis=1>(a, b) y = Transpose<perm=[0, 2, 3, 1]>(c)",
    "flat": "c = Concat<axis=1>(a, b) y = Reshape(c, rows)",
    "turned flat": "c = Concat<axis=1>(a, b) d = Reshape(c, rows) y = Transpose<perm=[0,2,1]>(d)",
    "nested": "c = Concat<axis=1>(a, b) y = Concat<axis=1>(c, a)",
    "nested behind": "c = Concat<axis=1>(a, b) y = Concat<axis=1>(a, c)",
    "scales": "c = Concat<axis=1>(a, b) y = Concat<axis=3>(c, c)",
    "unlike scales": "c = Concat<axis=1>(a, b) d = Concat<axis=1>(b, a) y = Concat<axis=3>(c, d)",
    "scaled": "c = Concat<axis=1>(a, b) y = Mul(c, two)",
    "cut": "c = Concat<axis=1>(a, b) y = Slice(c, one, five, one)",
    "split": "c = Concat<axis=1>(a, b) y, z = Split<axis=1>(c, sizes)",
    "unsqueezed": "c = Concat<axis=1>(a, b) y = Unsqueeze(c, one)",
}
SHAPES = {
    "turned": "N, 4, 4, 6",
    "flat": "N, 6, 16",
    "turned flat": "N, 16, 6",
    "three": "N, 8, 4, 4",
    "nested": "N, 8, 4, 4",
    "nested behind": "N, 8, 4, 4",
    "scales": "N, 6, 4, 8",
    "unlike scales": "N, 6, 4, 8",
    "cut": "N, 4, 4, 4",
    "split": "N, 3, 4, 4",
    "unsqueezed": "N, 1, 6, 4, 4",
}


def labelled(end: str) -> onnx.ModelProto:
    """Two inputs of 2 and 4 channels, put together at the end."""
    more: dict[str, np.ndarray] = {
        "rows": np.array([0, 6, -1]),
        "two": np.array(2, np.float32),
        "one": np.array([1]),
        "five": np.array([5]),
        "sizes": np.array([3, 3]),
    }
    text, shape = ENDS[end], SHAPES.get(end, "N, 6, 4, 4")
    graph = f"net (float[N, 2, 4, 4] a, float[N, 4, 4, 4] b) => (float[{shape}] y) {{ {text} }}"
    used = {name: array for name, array in more.items() if name in text.replace(")", ",")}
    return proto(graph, **used)


@pytest.mark.parametrize("end", list(ENDS))
def test_each_part_holds_one_operand_and_all_parts_hold_everything(end: str) -> None:
    model = labelled(end)
    a, b = np.full((3, 2, 4, 4), 1, np.float32), np.full((3, 4, 4, 4), 4, np.float32)
    (labels,) = outputs(model, a=a, b=b)
    (found,) = compared_outputs(normal(model).graph)
    parts = [labels[part.index] for part in found.parts]
    assert len(parts) > 1
    assert all(np.unique(part).size == 1 for part in parts)
    assert sum(part.size for part in parts) == labels.size
    covered = np.zeros(labels.shape, int)
    for part in found.parts:
        covered[part.index] += 1
    assert (covered == 1).all()


def test_a_cut_through_an_unknown_shape_parts_nothing() -> None:
    arrays = {"zero": np.array([0]), "one": np.array([1])}
    text = "net (float[N, 4] a, int64[R] s) => (float[M, 1] y)"
    text += " { r = Reshape(a, s) y = Slice(r, zero, one, one) }"
    (found,) = compared_outputs(normal(proto(text, **arrays)).graph)
    assert len(found.parts) <= 1


def test_a_chain_of_thousands_of_ops_parts_nothing() -> None:
    names = ["c", *(f"t{number}" for number in range(3000)), "y"]
    moves = [f"{new} = Identity({old})" for old, new in pairwise(names)]
    text = "net (float[N, 2] a, float[N, 3] b) => (float[N, 5] y) { c = Concat<axis=1>(a, b) "
    parsed = onnx.parser.parse_graph(text + " ".join(moves) + " }")
    value = ir.from_proto(parsed).outputs[0]
    assert boxes(value) == [WHOLE]


def test_names_read_like_indices() -> None:
    (flat,), (turned,) = (
        compared_outputs(normal(net).graph) for net in (detector(), turned_detector())
    )
    assert [part.name for part in flat.parts] == ["output0[:, :4]", "output0[:, 4:]"]
    assert [part.name for part in turned.parts] == ["output0[:, :, :4]", "output0[:, :, 4:]"]
