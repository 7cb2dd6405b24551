"""Small random networks as ONNX models, always the same for a seed, and cases built from them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.network import NetworkErrors, attributed_report
from lostbits.grid import Affine
from lostbits.recovery import Change, Context, Diagnosed, Effort, Sweeping
from lostbits.results.diagnosis import NetworkReport
from lostbits.runtime.compare_networks import observe
from lostbits.runtime.executor import Executor
from lostbits.runtime.metrics import Value
from lostbits.runtime.simulation import Frozen, Simulation
from lostbits.target import Target
from lostbits.targets import target
from runs import planned

Floats = NDArray[np.float32]
NOTHING = Diagnosed(None, ())  # type: ignore[arg-type] # for what asks for no diagnosis


def change_by(
    recovery: Sweeping, case: Case, source: Source, diagnosed: Diagnosed = NOTHING, **effort: Any
) -> Change:
    """What a sweep proposes, with the effort that the keywords tell."""
    return recovery.change(case, Context(source, diagnosed, Effort(**effort)))


class Net:
    """A graph under construction; every method appends a node and returns its output's name."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: NDArray[Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def normal(self, *shape: int, fan: int | None = None) -> str:
        scale = np.sqrt(2 / (fan or int(np.prod(shape[1:]))))
        return self.constant(self.random.normal(0, scale, shape))

    def bias(self, size: int) -> str:
        return self.constant(self.random.normal(0, 0.1, size))

    def conv(self, x: str, shape: tuple[int, int, int], stride: int = 1, group: int = 1) -> str:
        outputs, inputs, kernel = shape
        weight = self.normal(outputs, inputs // group, kernel, kernel)
        pads = [kernel // 2] * 4
        inputs_of = [x, weight, self.bias(outputs)]
        return self.add("Conv", inputs_of, pads=pads, strides=[stride] * 2, group=group)

    def relu6(self, x: str) -> str:
        return self.add("Clip", [x, self.constant(np.array(0.0)), self.constant(np.array(6.0))])

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        weight = self.normal(outputs, inputs)
        return self.add("Gemm", [x, weight, self.bias(outputs)], transB=1)

    def model(self, shape: Sequence[int], output: str, rank: int = 2) -> onnx.ModelProto:
        entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])
        extent = ["N"] + [None] * (rank - 1)
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, extent)
        graph = helper.make_graph(self.nodes, "net", [entry], [result], self.constants)
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def mlp(seed: int, widths: Sequence[int] = (6, 8, 8, 4), relu: bool = True) -> onnx.ModelProto:
    """Gemm layers with bias, Relu between them."""
    net, x = Net(seed), "x"
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        x = net.add("Relu", [x]) if relu and number else x
        x = net.gemm(x, inputs, outputs)
    return net.model([widths[0]], x)


def linear(seed: int, widths: Sequence[int] = (6, 5, 4)) -> onnx.ModelProto:
    """MatMul after MatMul: no bias, nothing nonlinear."""
    net, x = Net(seed), "x"
    for inputs, outputs in pairwise(widths):
        x = net.add("MatMul", [x, net.normal(inputs, outputs, fan=inputs)])
    return net.model([widths[0]], x)


def cnn(seed: int) -> onnx.ModelProto:
    """Conv, depthwise, ReLU6, a residual Add, pooling and Gemm."""
    net = Net(seed)
    stem = net.relu6(net.conv("x", (8, 3, 3), stride=2))
    wide = net.relu6(net.conv(stem, (16, 8, 1)))
    deep = net.relu6(net.conv(wide, (16, 16, 3), group=16))
    block = net.add("Add", [net.conv(deep, (8, 16, 1)), stem])
    pooled = net.add("MaxPool", [block], kernel_shape=[2, 2], strides=[2, 2])
    head = net.relu6(net.conv(pooled, (12, 8, 3)))
    flat = net.add("Flatten", [net.add("GlobalAveragePool", [head])])
    return net.model([3, 16, 16], net.gemm(flat, 12, 5))


def runtime_ops(op: str, seed: int = 0) -> onnx.ModelProto:
    """Gemm layers with an op of ONNX Runtime's own between them, as its optimizer writes it."""
    net = Net(seed)
    x = net.gemm("x", 6, 8)
    for _ in range(3):
        x = net.gemm(net.add(op, [x], domain="com.microsoft"), 8, 8)
    model = net.model([6], x)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def classical_ops(op: str, seed: int = 0) -> onnx.ModelProto:
    """Gemm layers with an op of ``ai.onnx.ml`` between them, that nothing has a gradient of."""
    net, options = Net(seed), {"Scaler": {"offset": [0.1] * 8, "scale": [1.5] * 8}}
    x = net.gemm("x", 6, 8)
    for _ in range(3):
        x = net.gemm(net.add(op, [x], domain="ai.onnx.ml", **options.get(op, {})), 8, 8)
    model = net.model([6], x)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


def samples(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed + 1000).normal(size=shape).astype(np.float32)


def built(
    model: onnx.ModelProto, data: Floats, target: Target, folder: Path
) -> tuple[Source, Case]:
    """Calibrated and planned, as ``diagnose`` would."""
    path = folder / "net.onnx"
    onnx.save(model, path)
    return planned(path, data, target)


def make(tmp_path: Path, model: Any, data: Any, name: str = "snpe") -> tuple[Source, Case]:
    source, case = built(model, data, target(name), tmp_path)
    return source, case


def coarsened(case: Case, bits: int) -> Case:
    """The case with the steps of every 8-bit grid so long that data reach few codes of it."""
    plan = dict(case.plan)
    for key, old in case.plan.items():
        if old.grid.bits == 8:
            factor = 2 ** (8 - bits)
            zero = np.rint(old.zero_point / factor).astype(np.int64)
            plan[key] = Affine(old.grid, np.float32(factor) * old.scale, zero, old.axis)
    return replace(case, plan=plan)


def coarse_weights(case: Case) -> Case:
    """Weights at 4 bits, activations as they were."""
    coarse = coarsened(case, 4).plan
    return replace(case, plan={**case.plan, **{k: coarse[k] for k in coarse if ":weight" in k}})


def narrowed(case: Case, key: str, factor: float) -> Case:
    """The case with one range scaled: below 1 it clips, above 1 it idles."""
    old = case.plan[key]
    scale = (old.scale * np.float32(factor)).astype(np.float32)
    return replace(case, plan={**case.plan, key: Affine(old.grid, scale, old.zero_point, old.axis)})


def value_of(case: Case, metric: Literal["nsr", "kl"] = "nsr") -> Value:
    return Value(metric, case.output_energy, case.samples)


def attributed(case: Case, source: Source, batch: int = 16, **options: Any) -> NetworkErrors:
    """The gradient's attribution of all samples."""
    executor, simulation = Executor(case.model, case.sites), Simulation(case)
    errors = NetworkErrors(case, executor, value_of(case), **options)

    def outputs(part: Batch) -> tuple[Frozen, list[torch.Tensor], list[torch.Tensor]]:
        others, frozen = simulation.run(part)
        return frozen, observe(executor, part), [torch.from_numpy(np.array(o)) for o in others]

    for part in source.batches(batch):
        errors.update(part, *outputs(part))
    while finer := errors.sums.unsettled(errors.tolerance, errors.rules[1]):
        for part in source.batches(batch):
            if part.first in finer:
                errors.refine(part, *outputs(part), finer[part.first])
    return errors


def report_of(errors: NetworkErrors) -> NetworkReport:
    """What is told of all that was attributed."""
    return attributed_report(errors.case, errors.value.metric, errors.sums)
