"""Networks of any depth, and folders of any number of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE, WIDTH, CLASSES = 64, 32, 10
WIDE = 2048  # of the large network


def blocks(count: int, path: Path) -> Path:
    """A network of so many equal blocks (depthwise and pointwise convolution, ReLU) at ``path``."""
    random = np.random.default_rng(0)
    nodes, constants, x = [], [], "image"

    def normal(name: str, *shape: int) -> str:
        values = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        constants.append(numpy_helper.from_array(values, name))
        return name

    def add(op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    x = add("Conv", [x, normal("stem.w", WIDTH, 3, 3, 3)], "stem", strides=[2, 2], pads=[1] * 4)
    for i in range(count):
        kernel = normal(f"{i}.depthwise.w", WIDTH, 1, 3, 3)
        x = add("Conv", [x, kernel], f"{i}.depthwise", group=WIDTH, pads=[1] * 4)
        x = add("Conv", [x, normal(f"{i}.pointwise.w", WIDTH, WIDTH, 1, 1)], f"{i}.pointwise")
        x = add("Relu", [x], f"{i}.relu")
    x = add("Flatten", [add("GlobalAveragePool", [x], "pool")], "flat")
    x = add("Gemm", [x, normal("head.w", CLASSES, WIDTH)], "logits", transB=1)
    ends: tuple[tuple[str, list[str | int | None]], ...] = (
        ("image", ["n", 3, SIDE, SIDE]),
        (x, ["n", CLASSES]),
    )
    entry, exit_ = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ends)
    graph = helper.make_graph(nodes, "blocks", [entry], [exit_], constants)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def large(count: int, path: Path, width: int = WIDE) -> Path:
    """So many residual blocks of two matrices, ``32 width**2`` bytes each, as external data."""
    random, data = np.random.default_rng(0), path.with_suffix(".data")
    nodes, constants, x = [], [], "input"
    with data.open("wb") as file:

        def constant(name: str, *shape: int, mean: float = 0.0, spread: float = 1.0) -> str:
            array = random.standard_normal(shape, np.float32) * np.float32(spread)
            constants.append(_external(name, shape, data.name, file.tell()))
            (array + np.float32(mean)).tofile(file)
            return name

        for i in range(count):
            up = [constant(f"{i}.up.w", width, 2 * width, spread=width**-0.5)]
            up += [constant(f"{i}.up.b", 2 * width, mean=1.0, spread=0.2)]
            down = [constant(f"{i}.down.w", 2 * width, width, spread=0.2 * width**-0.5)]
            down += [constant(f"{i}.down.b", width, spread=0.1)]
            nodes.append(helper.make_node("Gemm", [x, *up], [f"{i}.up"], name=f"{i}.up"))
            nodes.append(helper.make_node("Relu", [f"{i}.up"], [f"{i}.relu"], name=f"{i}.relu"))
            inner = [f"{i}.relu", *down]
            nodes.append(helper.make_node("Gemm", inner, [f"{i}.down"], name=f"{i}.down"))
            nodes.append(helper.make_node("Add", [x, f"{i}.down"], [f"{i}.sum"], name=f"{i}.add"))
            x = f"{i}.sum"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", width]) for n in ("input", x)]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def _external(name: str, shape: Sequence[int], location: str, offset: int) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset, "length": 4 * int(np.prod(shape))}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def noise(count: int) -> NDArray[np.float32]:
    """Images of smooth noise, as arrays."""
    random = np.random.default_rng(1)
    coarse = random.normal(size=(count, 3, SIDE // 8, SIDE // 8)).astype(np.float32)
    return np.ascontiguousarray(coarse.repeat(8, axis=2).repeat(8, axis=3))


def folder_of_images(folder: Path, count: int, side: int = SIDE) -> Path:
    """So many PNG files; those that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        path = folder / f"{i:06}.png"
        if not path.exists():
            pixels = np.random.default_rng(i).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
            image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
            image.save(path, compress_level=1)
    return folder
