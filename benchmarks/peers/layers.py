"""AdaRound of single layers: AIMET and lostbits, the same inputs, iterations and batch.

Each layer is cut out of the network with its activation function and stands alone; its inputs are
those that photographs give it. Errors are those of the rounded weights alone, hard-rounded, on
the same inputs, relative to nearest rounding on the tool's own grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
import onnx.utils
from onnx import numpy_helper

from benchmarks.peers.job import Floats, Job, seconds
from benchmarks.peers.judge import outputs
from benchmarks.peers.run import Done, run
from benchmarks.results import Rows, recorded
from benchmarks.table import Column

SETTING = "qnn-htp"
PHOTOGRAPHS = 32
COLUMNS = (
    Column("layer"),
    Column("AIMET", "s", ".1f"),
    Column("lostbits", "s", ".1f"),
    Column("its steps"),
    Column("ratio", "", ".1f"),
    Column("of all cores", "", ".1f"),
    Column("AIMET's error", "", ".3f"),
    Column("ours", "", ".3f"),
)


@dataclass(frozen=True)
class Cut:
    """A layer by itself: its kind, its network, its inputs."""

    kind: str
    model: Path
    data: Path


def compare(model: Path, photographs: Floats, scratch: Path, iterations: int, save: bool) -> None:
    """One row for the middle layer of every kind."""
    n = f"{PHOTOGRAPHS} photographs, {iterations} iterations, {SETTING}"
    with recorded("adaround", COLUMNS, n=n, save=save) as rows:
        for cut in cuts(onnx.load(str(model)), photographs[:PHOTOGRAPHS], scratch):
            jobs = [
                Job(tool, SETTING, cut.model, cut.data, cut.data.parent / tool, iterations)
                for tool in ("aimet-adaround", "lostbits-adaround")
            ]
            add(rows, cut, [run(job) for job in jobs])


def add(rows: Rows, cut: Cut, both: list[Done]) -> None:
    """Add the row of one layer."""
    failed = [f"{done.job.tool}: {done.reason}" for done in both if done.seconds is None]
    if failed:
        rows.add(cut.kind, "; ".join(failed))
        return
    theirs, ours = (seconds(done.job.out / "learning") for done in both)
    steps = int((both[1].job.out / "iterations").read_text())
    ratios = (a / b for a, b in zip(theirs, ours, strict=True))
    errors = (error(cut, np.load(done.job.out / "weights.npz")) for done in both)
    rows.add(cut.kind, theirs[0], ours[0], steps, *ratios, *errors)


def error(cut: Cut, weights: Any) -> float:
    """Squared error of the layer's output with learned weights over that with the nearest."""
    data = np.load(cut.data)
    floats, learned, nearest = (
        np.concatenate(list(outputs(_with(cut, weights[name]), data)))
        for name in ("float", "learned", "nearest")
    )
    return float(((learned - floats) ** 2).sum() / ((nearest - floats) ** 2).sum())


def _with(cut: Cut, weights: Floats) -> Path:
    model, path = onnx.load(str(cut.model)), cut.model.with_name("weights.onnx")
    for tensor in model.graph.initializer:
        if tuple(tensor.dims) == weights.shape:
            tensor.CopyFrom(numpy_helper.from_array(weights.astype(np.float32), tensor.name))
    onnx.save(model, str(path))
    return path


def cuts(model: Any, photographs: Floats, scratch: Path) -> list[Cut]:
    """Return the middle layer of every kind, by itself, with its inputs."""
    kinds: dict[str, list[Any]] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            kinds.setdefault(kind(model, node), []).append(node)
    chosen = {name: nodes[len(nodes) // 2] for name, nodes in kinds.items()}
    return [_cut(model, node, name, photographs, scratch) for name, node in chosen.items()]


def kind(model: Any, node: Any) -> str:
    """Return what sort of convolution a node is."""
    shape = weight(model, node)
    return f"{shape[2]}x{shape[3]} {'depthwise' if shape[1] == 1 else 'dense'}"


def weight(model: Any, node: Any) -> tuple[int, ...]:
    """Return the shape of a convolution's weight."""
    return next(tuple(t.dims) for t in model.graph.initializer if t.name == node.input[1])


def _cut(model: Any, node: Any, name: str, photographs: Floats, scratch: Path) -> Cut:
    folder = scratch / name.replace(" ", "-")
    folder.mkdir()
    readers = [n for n in model.graph.node if node.output[0] in n.input]
    last = readers[0] if len(readers) == 1 and readers[0].op_type == "Clip" else node
    whole = onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model))
    onnx.save(whole.extract_model([node.input[0]], [last.output[0]]), folder / "layer.onnx")
    np.save(folder / "inputs.npy", _inputs(whole, model, node, folder, photographs))
    shape = "x".join(map(str, weight(model, node)))
    return Cut(f"{name}, weight {shape}", folder / "layer.onnx", folder / "inputs.npy")


def _inputs(whole: Any, model: Any, node: Any, folder: Path, photographs: Floats) -> Floats:
    """What the layer reads, in the float network."""
    first = model.graph.input[0].name
    if node.input[0] == first:
        return np.array(photographs)
    onnx.save(whole.extract_model([first], [node.input[0]]), folder / "before.onnx")
    return np.concatenate(list(outputs(folder / "before.onnx", photographs)))
