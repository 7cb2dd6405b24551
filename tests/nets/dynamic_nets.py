"""Files whose activations are quantized while they run, or not at all."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from fused_nets import MS, noise, of_nodes

ROWS, HIDDEN, CLASSES = 64, 32, 5


def layers() -> onnx.ModelProto:
    """Two products with a Relu between: x (N, 3, 64) -> y (N, 3, 5)."""
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "down"], ["y"], name="last"),
    ]
    return of_nodes(nodes, {"x": noise(2, 3, ROWS)}, ["y"], floats())


def floats() -> dict[str, np.ndarray]:
    return {"up": noise(ROWS, HIDDEN, seed=1) / 8, "down": noise(HIDDEN, CLASSES, seed=2) / 6}


def batch(count: int = 24) -> np.ndarray:
    return noise(count, 3, ROWS, seed=3)


def embedding() -> onnx.ModelProto:
    """Rows of a table, places, and a layer over them: tokens (N, 6) -> y (N, 6, 5)."""
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"], name="look_up"),
        helper.make_node("Add", ["rows", "places"], ["placed"], name="place"),
        helper.make_node("MatMul", ["placed", "layer"], ["y"], name="last"),
    ]
    constants = {
        "table": noise(20, 8, seed=4),
        "places": noise(6, 8, seed=6),
        "layer": noise(8, CLASSES, seed=5),
    }
    model = of_nodes(nodes, {"tokens": tokens(2)}, ["y"], constants)
    model.graph.output[0].type.tensor_type.shape.dim.add()
    return model


def tokens(count: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 20, (count, 6))


def by_onnxruntime(model: onnx.ModelProto, folder: Path, **options: object) -> tuple[Path, Path]:
    """Paths of the model and of what ``quantize_dynamic`` makes of it.

    Weights have 8 bits with a zero point, whose kernels do not saturate without VNNI.
    """
    path, quantized = folder / "model.onnx", folder / "model_int8.onnx"
    onnx.save(model, path)
    quantize_dynamic(path, quantized, **{"weight_type": QuantType.QUInt8, **options})
    return path, quantized


def of_casts(*, zero: bool = False, channels: bool = True) -> onnx.ModelProto:
    """``layers`` with int8 weights behind Cast, perhaps Sub, and Mul."""
    constants: dict[str, np.ndarray] = {}
    nodes = []
    for name, array in floats().items():
        scale = np.abs(array).max(0 if channels else None, keepdims=True) / np.float32(127)
        codes = np.rint(array / scale).astype(np.int8)
        point = np.int8(3 if zero else 0)
        constants |= {f"{name}_quantized": (codes // 2 + point).astype(np.int8)}
        constants |= {f"{name}_scale": (scale * 2).astype(np.float32)}
        nodes.append(helper.make_node("Cast", [f"{name}_quantized"], [f"{name}_cast"], to=1))
        read = f"{name}_cast"
        if zero:
            constants |= {f"{name}_zero": np.array(point, np.float32)}
            nodes.append(helper.make_node("Sub", [read, f"{name}_zero"], [f"{name}_steps"]))
            read = f"{name}_steps"
        nodes.append(helper.make_node("Mul", [read, f"{name}_scale"], [f"{name}_real"]))
    nodes += [
        helper.make_node("MatMul", ["x", "up_real"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "down_real"], ["y"], name="last"),
    ]
    return of_nodes(nodes, {"x": noise(2, 3, ROWS)}, ["y"], constants)


def of_dequantizers() -> onnx.ModelProto:
    """``layers`` with int8 weights behind a DequantizeLinear with a scale for each column."""
    model, constants = layers(), dict[str, np.ndarray]()
    for name, array in floats().items():
        scale = np.abs(array).max(0) / np.float32(127)
        constants |= {f"{name}_q": np.rint(array / scale).astype(np.int8), f"{name}_s": scale}
        inputs = [f"{name}_q", f"{name}_s"]
        model.graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [name], axis=1))
    return of_nodes(list(model.graph.node), {"x": noise(2, 3, ROWS)}, ["y"], constants)


def in_blocks(bits: int = 4) -> onnx.ModelProto:
    """``layers`` with MatMulNBits, blocks of 16."""
    constants: dict[str, np.ndarray] = {}
    nodes = []
    for name, read, gives in (("up", "x", "h"), ("down", "r", "y")):
        rows, columns = floats()[name].shape
        blocks = floats()[name].T.reshape(columns, rows // 16, 16)
        middle = 1 << (bits - 1)
        scale = np.abs(blocks).max(-1, keepdims=True) / (middle - 1)
        codes = (np.rint(blocks / scale) + middle).astype(np.uint8)
        parts = codes.reshape(columns, rows // 16, -1, 8 // bits)
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        packed = (parts << shifts).sum(-1, dtype=np.uint8)
        constants |= {f"{name}_Q{bits}": packed, f"{name}_scales": scale.ravel()}
        attributes = {"K": rows, "N": columns, "bits": bits, "block_size": 16}
        inputs = [read, f"{name}_Q{bits}", f"{name}_scales"]
        node = "first" if name == "up" else "last"
        made = helper.make_node(
            "MatMulNBits", inputs, [gives], domain=MS, name=f"{node}_Q{bits}", **attributes
        )
        nodes.append(made)
    nodes.insert(1, helper.make_node("Relu", ["h"], ["r"], name="relu"))
    return of_nodes(nodes, {"x": noise(2, 3, ROWS)}, ["y"], constants)


WEIGHT_ONLY: dict[str, Callable[[], onnx.ModelProto]] = {
    "cast": of_casts,
    "cast and zero point": lambda: of_casts(zero=True),
    "cast, one scale": lambda: of_casts(channels=False),
    "pairs": of_dequantizers,
    "4 bits": in_blocks,
    "8 bits": lambda: in_blocks(8),
}
