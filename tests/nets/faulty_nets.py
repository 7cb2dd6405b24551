"""Small networks with one planted fault each, of which cause and place are known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
import onnx.reference
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lostbits.case import Case, Plan
from lostbits.data import Source
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.findings import findings
from lostbits.diagnoses.settings import Settings
from lostbits.grid import Affine
from lostbits.plan.ranges import make_plan
from lostbits.plan.tensor_settings import Override
from lostbits.quoting import words
from lostbits.results.diagnosis import Finding
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Simulation
from lostbits.verbs.demo import demo_files
from lostbits.workers.progress import silent
from runs import planned

SAMPLES = 24
SETTINGS = Settings(batch=SAMPLES)
Kind = Literal["rescaled", "quarter", "sixteenfold", "outlier", "three_bits"]
Floats = NDArray[np.float32]


class Pair(NamedTuple):
    """A convolution, the Relu behind it, and the only layer that reads it."""

    first: str
    between: str
    second: str


@dataclass(frozen=True)
class Fault:
    """What was planted, and where.

    Attributes:
        kind: Which fault.
        net: In which network: ``plain``, ``mobile`` or ``digits``.
        target: For which platform.
        tensor: The tensor whose range or width was set; of a scaled channel, the activation.
        pair: Of a scaled channel, the layers around it.
    """

    kind: Kind
    net: str
    target: str
    tensor: str
    pair: Pair | None = None

    @property
    def reason(self) -> str:
        """The reason that a finding must give."""
        return {
            "rescaled": "granularity",
            "quarter": "too_narrow",
            "sixteenfold": "too_wide",
            "outlier": "granularity",
            "three_bits": "resolution",
        }[self.kind]

    @property
    def tensors(self) -> set[str]:
        """Where: one of the tensors that became uneven, or the very tensor."""
        if self.kind == "rescaled" and self.pair is not None:
            return {f"{self.pair.first}.weight", self.pair.between, f"{self.pair.second}.weight"}
        return {self.tensor}

    def found_by(self, finding: Finding) -> bool:
        """Whether a finding names reason and place."""
        clip_or_not = self.kind != "quarter" or finding.cause == "clip"
        return finding.reason == self.reason and finding.tensor in self.tensors and clip_or_not

    def __str__(self) -> str:
        return f"{self.kind} at {self.tensor} of {self.net} for {self.target}"


def _between(kind: Kind, net: str, platform: str, *pairs: tuple[str, str, str]) -> list[Fault]:
    return [Fault(kind, net, platform, between, Pair(a, between, b)) for a, between, b in pairs]


def _at(kind: Kind, net: str, platform: str, *tensors: str) -> list[Fault]:
    return [Fault(kind, net, platform, tensor) for tensor in tensors]


# With snpe weights are per tensor, and a scaled channel hurts them too; with openvino they are per
# channel, and it can hurt the activation alone. Gaussian weights and the trained ones of the demo
# differ in how even they are; depthwise, residual and dense layers all take their turn.
FAULTS = [
    *_between("rescaled", "plain", "snpe", ("conv1", "relu1", "conv2")),
    *_between(
        "rescaled", "plain", "snpe", ("conv2", "relu2", "conv3"), ("conv3", "relu3", "conv4")
    ),
    *_between("rescaled", "mobile", "snpe", ("expand1", "expand1.relu", "depthwise1")),
    *_between("rescaled", "mobile", "snpe", ("depthwise2", "depthwise2.relu", "project2")),
    *_at("quarter", "plain", "snpe", "relu3"),
    *_at("quarter", "mobile", "openvino", "depthwise1.relu", "add1"),
    *_at("quarter", "digits", "onnxruntime", "block1.Add", "block2.expand.act.Clip"),
    *_at("sixteenfold", "plain", "snpe", "relu2", "conv4.weight"),
    *_at("sixteenfold", "mobile", "openvino", "expand2.relu"),
    *_at("sixteenfold", "digits", "onnxruntime", "stem.act.Clip", "block2.project.conv.weight"),
    *_between("outlier", "plain", "openvino", ("conv1", "relu1", "conv2")),
    *_between("outlier", "plain", "openvino", ("conv3", "relu3", "conv4")),
    *_between("outlier", "mobile", "openvino", ("expand1", "expand1.relu", "depthwise1")),
    *_between("outlier", "mobile", "openvino", ("depthwise1", "depthwise1.relu", "project1")),
    *_between("outlier", "mobile", "openvino", ("expand2", "expand2.relu", "depthwise2")),
    *_at("three_bits", "plain", "snpe", "conv2.weight"),
    *_at("three_bits", "mobile", "openvino", "depthwise2.weight", "project1.weight"),
    *_at("three_bits", "digits", "onnxruntime", "stem.conv.weight", "block3.expand.conv.weight"),
]


class Net:
    """Layers with random weights of He's variance, one after the other."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def conv(self, x: str, name: str, shape: Sequence[int], stride: int = 1) -> str:
        """A convolution with 'same' padding; depthwise where each filter sees one channel."""
        out, depth, size, _ = shape
        depthwise = depth == 1 and size > 1
        self._constants(name, shape)
        self.nodes.append(
            helper.make_node(
                "Conv",
                [x, f"{name}.weight", f"{name}.bias"],
                [name],
                name,
                group=out if depthwise else 1,
                strides=[stride] * 2,
                pads=[size // 2] * 4,
            )
        )
        return name

    def node(self, op: str, inputs: Sequence[str], name: str) -> str:
        """Any node without attributes."""
        self.nodes.append(helper.make_node(op, inputs, [name], name))
        return name

    def head(self, x: str, channels: int, classes: int = 10) -> str:
        """Mean over the image, and one dense layer."""
        self.node("GlobalAveragePool", [x], "pool")
        self.node("Flatten", ["pool"], "flat")
        self._constants("dense", (channels, classes))
        return self.node("Gemm", ["flat", "dense.weight", "dense.bias"], "logits")

    def model(self) -> onnx.ModelProto:
        """The network, for images of 3 x 12 x 12."""
        x = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 12, 12])
        y = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
        graph = helper.make_graph(self.nodes, "net", [x], [y], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def _constants(self, name: str, shape: Sequence[int]) -> None:
        fan_in = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
        weight = self.random.normal(0, np.sqrt(2 / fan_in), shape)
        bias = self.random.normal(0, 0.05, shape[1] if len(shape) == 2 else shape[0])
        for suffix, array in (("weight", weight), ("bias", bias)):
            tensor = numpy_helper.from_array(array.astype(np.float32), f"{name}.{suffix}")
            self.constants.append(tensor)


def plain() -> onnx.ModelProto:
    """Four convolutions in a row."""
    net, x = Net(1), "image"
    widths = (3, 16, 16, 24, 24)
    for i, (before, after) in enumerate(pairwise(widths), 1):
        x = net.conv(x, f"conv{i}", (after, before, 3, 3), stride=2 if i == 3 else 1)
        x = net.node("Relu", [x], f"relu{i}")
    net.head(x, widths[-1])
    return net.model()


def mobile() -> onnx.ModelProto:
    """Two inverted residual blocks."""
    net = Net(2)
    x = net.node("Relu", [net.conv("image", "stem", (16, 3, 3, 3), stride=2)], "stem.relu")
    for i in (1, 2):
        y = net.node("Relu", [net.conv(x, f"expand{i}", (32, 16, 1, 1))], f"expand{i}.relu")
        y = net.node("Relu", [net.conv(y, f"depthwise{i}", (32, 1, 3, 3))], f"depthwise{i}.relu")
        x = net.node("Add", [x, net.conv(y, f"project{i}", (16, 32, 1, 1))], f"add{i}")
    x = net.node("Relu", [net.conv(x, "last", (32, 16, 1, 1))], "last.relu")
    net.head(x, 32)
    return net.model()


@cache
def images() -> Floats:
    """Smooth random images: neighbouring pixels are alike, as in photographs."""
    coarse = np.random.default_rng(3).normal(0, 1, (SAMPLES, 3, 4, 4))
    fine = np.random.default_rng(4).normal(0, 0.3, (SAMPLES, 3, 12, 12))
    return (coarse.repeat(3, 2).repeat(3, 3) + fine).astype(np.float32)


def scaled(model: onnx.ModelProto, pair: Pair, factor: float = 64.0) -> onnx.ModelProto:
    """One channel between two layers made larger and taken back, the function unchanged.

    Relu is positively homogeneous, so a factor passes through it.
    """
    arrays = {t.name: numpy_helper.to_array(t).copy() for t in model.graph.initializer}
    channel = _liveliest(model, pair)
    for suffix in ("weight", "bias"):
        arrays[f"{pair.first}.{suffix}"][channel] *= factor
    reader = arrays[f"{pair.second}.weight"]
    taken_back = reader if reader.shape[1] == 1 else reader.swapaxes(0, 1)
    taken_back[channel] /= factor
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    return model


def _liveliest(model: onnx.ModelProto, pair: Pair) -> int:
    """The channel that is positive most often: a dead one would be no fault at all."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.append(helper.make_tensor_value_info(pair.between, TensorProto.FLOAT, None))
    values: Any = onnx.reference.ReferenceEvaluator(tapped).run(
        [pair.between], {"image": images()[:4]}
    )
    return int((values[0] > 0).mean((0, 2, 3)).argmax())


@dataclass(frozen=True)
class Patient:
    """A network with its fault, ready to be diagnosed and treated."""

    fault: Fault | None
    source: Source
    case: Case

    def findings(self) -> list[Finding]:
        """What the diagnosis says, most important first."""
        run = Run(self.case, self.source, SETTINGS, None)
        run.diagnose(silent)
        return findings(self.case, run.sites(), run.network(), "lostbits diagnose")

    def treated(self, finding: Finding) -> "Patient":
        """With the setting of the finding's own command; the fault stays everywhere else."""
        wish = Override.parse(words(finding.command)[-1])
        case = replace(self.case, plan=_plan(self.case, self.fault, [wish]))
        return replace(self, case=case)

    def sqnr(self) -> float:
        """Decibels of the output, measured."""
        simulation, plain = Simulation(self.case), Session(self.case.model)
        error = power = 0.0
        for part in self.source.batches(SAMPLES):
            floats = [part.real(x) for x in plain.run(part.feeds).values()]
            others, _ = simulation.run(part)
            error += sum(float(((a - b) ** 2).sum()) for a, b in zip(floats, others, strict=True))
            power += sum(float((a**2).sum()) for a in floats)
        return float(10 * np.log10(power / error))


def patient(net: str, platform: str, folder: Path, fault: Fault | None = None) -> Patient:
    """The network with the fault, or a healthy one."""
    demo = demo_files()
    if net == "digits":
        return _patient(demo["model"], str(demo["data"]), platform, fault)
    proto = {"plain": plain, "mobile": mobile}[net]()
    if fault is not None and fault.pair is not None:
        proto = scaled(proto, fault.pair)
    onnx.save(proto, folder / f"{net}.onnx")
    return _patient(folder / f"{net}.onnx", images(), platform, fault)


def _patient(model: Path, data: object, platform: str, fault: Fault | None) -> Patient:
    source, case = planned(model, data, platform, samples=SAMPLES, batch=SAMPLES)
    return Patient(fault, source, replace(case, plan=_plan(case, fault)))


def planted(fault: Fault, folder: Path) -> Patient:
    """The network of the fault, with it."""
    return patient(fault.net, fault.target, folder, fault)


def _plan(case: Case, fault: Fault | None, wishes: Sequence[Override] = ()) -> Plan:
    """The target's plan with wishes and fault; a wish for the fault's tensor undoes the fault."""
    if fault is None or fault.tensor in {w.tensor for w in wishes}:
        return make_plan(case.model, case.placed, case.seen, case.target, wishes)
    if fault.kind == "three_bits":
        wishes = [*wishes, Override(fault.tensor, bits=3)]
    plan = make_plan(case.model, case.placed, case.seen, case.target, wishes)
    factor = {"quarter": 1 / 4, "sixteenfold": 16.0}.get(fault.kind, 1.0)
    groups = {s.group for s in case.placed.sites if s.tensor == fault.tensor}
    for site in case.placed.sites:
        if site.key in plan and site.role != "bias" and site.group in groups:
            plan[site.key] = _stretched(plan[site.key], factor)
    return plan


def _stretched(affine: Affine, factor: float) -> Affine:
    scale = (affine.scale * np.float32(factor)).astype(np.float32)
    return Affine(affine.grid, scale, affine.zero_point, affine.axis)
