"""Sound inputs of every kind: what lostbits reads, made by lostbits itself where it writes it."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzzing import networks
from benchmarks.fuzzing.bounds import Bounds
from benchmarks.fuzzing.edit_arrays import npy, npz
from benchmarks.fuzzing.edit_images import picture
from benchmarks.fuzzing.networks import Network
from benchmarks.fuzzing.playground import FURNITURE, Playground
from benchmarks.fuzzing.server import Run, run
from benchmarks.fuzzing.tree import Tree, taken

MODEL, DATA = "../in/net.onnx", "../in/x.npz"
TARGETS = ("onnxruntime", "openvino", "tensorrt", "snpe", "qnn-htp", "cnrt")
FORMATS = (
    "json", "qdq-onnxruntime", "qdq-openvino", "qdq-tensorrt", "qdq-qnn", "tensorrt-cache",
    "tensorrt-ranges", "encodings-0.6.1", "encodings-1.0.0", "encodings-2.0.0", "cambricon",
    "baked",
)  # fmt: skip
EXPORTS = {
    "onnxruntime": "json,qdq-onnxruntime,baked",
    "openvino": "qdq-openvino",
    "tensorrt": "qdq-tensorrt,tensorrt-cache,tensorrt-ranges",
    "qnn-htp": "qdq-qnn,encodings-1.0.0,encodings-2.0.0",
    "snpe": "encodings-0.6.1",
    "cnrt": "cambricon",
}
BRIEF = ("--samples", "4", "--threads", "1")
_DIAGNOSE = ("diagnose", MODEL, "--data", DATA, "--target", "snpe", *BRIEF, "--out", "../out")
_RECOVER = (
    "recover", MODEL, "--data", DATA, "--target", "snpe", "--budget", "30s", "--threads", "1",
    "--methods", "equalization,second_order,bias_correction", "--out", "../out",
)  # fmt: skip
# When a run takes away what it keeps for the next one, or gives a file its name.
_MOMENTS = ("shutil.rmtree", "os.remove", "os.rename", "os.rmdir")
_OF_A_RUN = {"created": "2026-01-01T00:00:00+00:00", "seconds": {}, "peak_memory_bytes": 1}


@dataclass(frozen=True)
class Interrupted:
    """What a run that was cut short leaves, and the command that goes on from there."""

    argv: tuple[str, ...]
    tree: Tree


def files_of(network: Network) -> Tree:
    """The model and its samples, as the commands here name them."""
    return {"in/net.onnx": network.model.SerializeToString(), "in/x.npz": npz(network.feeds)}


class Corpus:
    """Sound inputs, each made when it is first asked for.

    Args:
        root: A folder for playgrounds, which nobody else uses.
    """

    def __init__(self, root: Path) -> None:
        self._root = root / "corpus"
        self.networks: dict[str, Network] = {n: make() for n, make in networks.ALL.items()}

    @property
    def plain(self) -> Network:
        """The network that most other files belong to."""
        return self.networks["convolutions"]

    def made(
        self, argv: Sequence[str], tree: Tree, before: Callable[[], None] | None = None
    ) -> tuple[Run, Tree]:
        """Run a command, and take what it has written into ``out``."""
        Playground.of(tree, self._root)
        ended = run(argv, self._root, Bounds(busy=300, idle=60), before=before)
        return ended, _of_a_run(taken(self._root / "out"))

    def _needed(self, argv: Sequence[str], tree: Tree) -> Tree:
        ended, files = self.made(argv, tree)
        if ended.status not in (0, 1):
            raise RuntimeError(f"{' '.join(argv)}: {ended.errors.decode()}")
        return files

    @cached_property
    def diagnosed(self) -> Tree:
        """What a diagnosis writes."""
        labels = {"in/labels.npy": npy(np.arange(networks.SAMPLES) % 4)}
        more = ("--labels", "../in/labels.npy", "--format", "json,html")
        return self._needed(
            (*_DIAGNOSE[:-4], *more, *_DIAGNOSE[-2:]), {**files_of(self.plain), **labels}
        )

    @cached_property
    def recovered(self) -> Tree:
        """The folder of a recovery."""
        return self._needed(_RECOVER, files_of(self.plain))

    @cached_property
    def parameters(self) -> dict[str, bytes]:
        """Files of every format that the readers know, for the plain network."""
        found = dict(BY_HAND)
        for target, formats in EXPORTS.items():
            found |= self._exported(target, formats)
        for name in ("integers", "quantized"):
            found[f"{name}.onnx"] = self.networks[name].model.SerializeToString()
        # Neither scripts nor the float model, of which each format has a copy.
        unread = (".sh", ".cpp", "/model.onnx")
        return {name: content for name, content in found.items() if not name.endswith(unread)}

    def _exported(self, target: str, formats: str) -> dict[str, bytes]:
        # So many samples that entropy has the values that it asks for.
        many = npz({"x": networks.normal(64, 3, 8, 8, seed=9)})
        how = ("--to", formats, "--target", target, "--tensorrt", "10.3.0")
        argv = ("export", MODEL, "--data", DATA, *how, "--out", "../out")
        files = self._needed(argv, {**files_of(self.plain), "in/x.npz": many})
        return {name: content for name, content in files.items() if isinstance(content, bytes)}

    @cached_property
    def interrupted(self) -> dict[str, Interrupted]:
        """Runs that were cut short when they had kept most."""
        commands = {"diagnose": _DIAGNOSE, "recover": _RECOVER}
        return {name: self._cut_short(argv) for name, argv in commands.items()}

    def _cut_short(self, argv: tuple[str, ...]) -> Interrupted:
        out, kept = self._root / "out", self._root.with_name("kept")
        shutil.rmtree(kept, ignore_errors=True)
        self.made(argv, files_of(self.plain), lambda: _watch(out, kept))
        # Not the results themselves, which lie at the top.
        files = {name: content for name, content in taken(kept).items() if "/" in name}
        tree = {f"out/{name}": content for name, content in files.items()}
        if not tree:
            raise RuntimeError(f"{argv[0]} keeps nothing to go on with")
        return Interrupted(argv, {**files_of(self.plain), **tree})

    @cached_property
    def pictures(self) -> Tree:
        """A folder of images, and how they become samples."""
        images = {f"in/images/{n}.png": picture(n, (9 + n, 12)) for n in range(4)}
        return {**images, "in/preprocess.toml": PREPROCESS}

    @cached_property
    def raw(self) -> Tree:
        """A list of raw files, as SNPE reads it."""
        x = self.plain.feeds["x"]
        lines = "\n".join(f"x:=raw/{n}.raw" if n % 2 else f"raw/{n}.raw" for n in range(len(x)))
        files = {f"in/raw/{n}.raw": sample.tobytes() for n, sample in enumerate(x)}
        return {**files, "in/list.txt": lines.encode()}


def _of_a_run(files: Tree) -> Tree:
    """Without what was there before, and results without what differs from run to run."""
    kept = {n: c for n, c in files.items() if f"out/{n}" not in FURNITURE and n != "cache"}
    if isinstance(content := kept.get("result.json"), bytes):
        kept["result.json"] = json.dumps({**json.loads(content), **_OF_A_RUN}).encode()
    return kept


def _watch(out: Path, kept: Path) -> None:
    """From now on copy what this process keeps, whenever that may be the most so far."""
    most, busy = [0], [False]

    def hook(event: str, arguments: Any) -> None:
        mine = event in _MOMENTS and os.path.abspath(os.fspath(arguments[0])).startswith(str(out))
        if mine and not busy[0]:
            busy[0] = True
            most[0] = max(most[0], _copied(out, kept, most[0]))
            busy[0] = False

    sys.addaudithook(hook)


def _copied(out: Path, kept: Path, least: int) -> int:
    """How many files of this run there are; they are copied if that is more than ``least``."""
    mine = {os.path.join("out", name) for name in ("notes.txt", "cache/mine.npz")}
    files = [p for p in out.rglob("*") if p.is_file() and p.suffix != ".part"]
    files = [p for p in files if str(p.relative_to(out.parent)) not in mine]
    if len(files) > least:
        shutil.rmtree(kept, ignore_errors=True)
        for path in files:
            (kept / path.relative_to(out)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept / path.relative_to(out))
    return len(files)


PREPROCESS = b"""size = [8, 8]
resize = "crop"
shorter = 9
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
scale = 0.00392156862745098
layout = "NCHW"
colour = "RGB"
"""
TARGET = b"""base = "snpe"
name = "our-dsp"
title = "SNPE with 16-bit activations"
bias_bits = 32
takes = "Q/DQ model"
accumulator_bits = 32

[activations]
grid = "uint16"
minimum_range = 0.01
symmetric = false
per_channel = false
method = "percentile"

[weights]
grid = "int8"
symmetric = true
per_channel = true
method = "min_max"

[placement]
mode = "inputs_outputs"
ops = ["Conv", "Gemm", "Add"]
fused_activations = ["Relu", "Clip"]
fusing_ops = ["Conv", "Add"]
shared_scale = ["Concat"]
passes_through = ["MaxPool", "Reshape", "Flatten", "Transpose"]

[[sources]]
rule = "everything"
document = "manual"
version = "1.2"

[notes]
owner = "the camera team"
"""
BY_HAND = {
    "nvidia.cache": b"TRT-7000-EntropyCalibration2\nx: 3c008912\nr: 3c88edfc\ny: 3c010a14\n",
    "ranges.txt": b"x: 1.5\nc: 2.5\nr: 0.25\ny: 3e-1\n",
    "ranges.json": json.dumps({"blob_range": {"x": 1.5, "c": {"min": -3, "max": 3}}}).encode(),
    "overrides.json": json.dumps(
        {"x": [{"scale": 0.1, "zero_point": 3, "quant_type": "QUInt8"}], "w": [{"scale": 0.01}] * 6}
    ).encode(),
    "encodings.json": json.dumps(
        {
            "version": "0.6.1",
            "activation_encodings": {
                "x": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 2.0,
                       "min": -2.0, "offset": -128, "scale": 0.0157}]
            },
            "param_encodings": {
                "w": [{"bitwidth": 8, "dtype": "int", "is_symmetric": "True", "max": 1.0,
                       "min": -1.0, "offset": -128, "scale": 0.0078}] * 6
            },
        }
    ).encode(),
}  # fmt: skip
