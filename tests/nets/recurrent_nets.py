"""Networks of LSTM, GRU and RNN, as exporters write them."""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
WIDTH, UNITS, CLASSES = 6, 8, 5


def weights(op: str, both: bool, width: int = WIDTH, seed: int = 0) -> dict[str, np.ndarray]:
    """W, R and B of one op."""
    random, d, rows = np.random.default_rng(seed), 1 + both, GATES[op] * UNITS
    shapes = {"W": (d, rows, width), "R": (d, rows, UNITS), "B": (d, 2 * rows)}
    return {n: (random.normal(size=s) / 2).astype(np.float32) for n, s in shapes.items()}


def tagger(op: str = "LSTM", *, both: bool = False, steps: Any = 9) -> onnx.ModelProto:
    """A linear layer, a recurrent one, and one that answers at every step: (N, T, 6) -> (N, T, 5).

    The batch comes first, as users feed it, and is turned before the recurrent op.
    """
    random, d = np.random.default_rng(1), 1 + both
    arrays = {
        **weights(op, both),
        "first": random.normal(size=(WIDTH, WIDTH)).astype(np.float32),
        "last": random.normal(size=(d * UNITS, CLASSES)).astype(np.float32),
        "flat": np.array([0, 0, -1], np.int64),
    }
    attributes: dict[str, Any] = {
        "hidden_size": UNITS,
        "direction": "bidirectional" if both else "forward",
    }
    if op == "GRU":
        attributes["linear_before_reset"] = 1
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"], name="first_layer"),
        helper.make_node("Transpose", ["a"], ["t"], name="turn", perm=[1, 0, 2]),
        helper.make_node(op, ["t", "W", "R", "B"], ["y", "h"], name="recurrent", **attributes),
        helper.make_node("Transpose", ["y"], ["z"], name="back", perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["z", "flat"], ["f"], name="flatten"),
        helper.make_node("MatMul", ["f", "last"], ["out"], name="last_layer"),
    ]
    graph = helper.make_graph(
        nodes,
        "tagger",
        [helper.make_tensor_value_info("x", 1, ["N", steps, WIDTH])],
        [helper.make_tensor_value_info("out", 1, ["N", steps, CLASSES])],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def streaming(op: str = "LSTM") -> onnx.ModelProto:
    """One step at a time: x (N, 6) and the states (1, N, 8) come in, y and new states go out."""
    arrays = {**weights(op, both=False), "axis": np.array([0], np.int64)}
    states = ["h", "c"] if op == "LSTM" else ["h"]
    fed, given = [f"{s}_in" for s in states], [f"{s}_out" for s in states]
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["step"], name="step"),
        helper.make_node(
            op,
            ["step", "W", "R", "B", "", *fed],
            ["y", *given],
            name="recurrent",
            hidden_size=UNITS,
        ),
    ]
    shapes: dict[str, list[Any]] = {"x": ["N", WIDTH], "y": [1, 1, "N", UNITS]}
    infos = {n: shapes.get(n, [1, "N", UNITS]) for n in ("x", *fed, "y", *given)}
    inputs, outputs = (
        [helper.make_tensor_value_info(n, 1, infos[n]) for n in names]
        for names in (("x", *fed), ("y", *given))
    )
    constants = [numpy_helper.from_array(a, n) for n, a in arrays.items()]
    graph = helper.make_graph(nodes, "streaming", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def sequences(seed: int = 0, count: int = 12, steps: int = 9) -> np.ndarray:
    """Samples for ``tagger``."""
    return np.random.default_rng(seed).normal(size=(count, steps, WIDTH)).astype(np.float32)
