"""Graphs with ops that ONNX Runtime lacks, run piece by piece."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from lostbits.errors import LostbitsError
from lostbits.kernels.integer_ops import DOMAIN
from lostbits.runtime.pieces import in_pieces
from lostbits.runtime.session import Session


def lookup(source: str, result: str) -> onnx.NodeProto:
    """Not a model by itself: what turns codes round."""
    table = numpy_helper.from_array(np.arange(255, -1, -1).astype(np.uint8))
    attributes: dict[str, Any] = {"table": table, "to": TensorProto.UINT8, "zero": 0}
    return helper.make_node("Lookup", [source], [result], domain=DOMAIN, name=result, **attributes)


def model(*nodes: onnx.NodeProto, outputs: tuple[str, ...] = ("y",)) -> ir.Model:
    entry = helper.make_tensor_value_info("x", TensorProto.UINT8, ["N"])
    ends = [helper.make_tensor_value_info(n, TensorProto.UINT8, None) for n in outputs]
    one = numpy_helper.from_array(np.array([1], np.uint8), "one")
    graph = helper.make_graph(list(nodes), "net", [entry], ends, [one])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    found = ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    for node in found.graph:
        node.outputs[0].dtype = ir.DataType.UINT8
    return found


X = np.array([0, 7, 200], np.uint8)


def test_what_lies_before_between_and_behind_kernels_is_computed() -> None:
    made = model(
        helper.make_node("Add", ["x", "one"], ["a"]),
        lookup("a", "b"),
        helper.make_node("Add", ["b", "x"], ["c"]),
        lookup("c", "d"),
        helper.make_node("Sub", ["d", "a"], ["y"]),
    )
    assert in_pieces(made.graph)
    a = X + np.uint8(1)
    expected = (255 - ((255 - a) + X)) - a
    np.testing.assert_array_equal(Session(made).run({"x": X})["y"], expected)


def test_kernels_side_by_side_read_what_one_piece_gives() -> None:
    nodes = [lookup("x", "a"), lookup("x", "b"), helper.make_node("Max", ["a", "b"], ["y"])]
    made = model(*nodes, outputs=("y", "a"))
    found = Session(made).run({"x": X})
    np.testing.assert_array_equal(found["y"], 255 - X)
    np.testing.assert_array_equal(found["a"], found["y"])


def test_an_op_that_nobody_has_is_still_refused() -> None:
    made = model(lookup("x", "a"), helper.make_node("Nothing", ["a"], ["y"]))
    with pytest.raises(LostbitsError):
        Session(made)


def test_a_model_without_kernels_is_one_piece() -> None:
    assert not in_pieces(model(helper.make_node("Add", ["x", "one"], ["y"])).graph)
