"""Train the demo digits network and write it, with its data, into src/lostbits/demo/."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.optim.lr_scheduler import OneCycleLR

OUT = Path(__file__).resolve().parents[1] / "src" / "lostbits" / "demo"
SEED, EPOCHS, BATCH, PEAK_RATE, DECAY, BN_EPS = 3, 50, 64, 0.4, 5e-3, 5e-4
HELD_OUT, CALIBRATION = 450, 128
LICENCE = "Trained on UCI Optical Recognition of Handwritten Digits (CC BY 4.0)"


class ConvBn(nn.Sequential):
    """A convolution without bias, its BatchNorm and, unless linear, a ReLU6."""

    def __init__(self, cin: int, cout: int, k: int = 1, step: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k, step, k // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout, eps=BN_EPS)
        self.act: nn.Module = nn.ReLU6()


class Block(nn.Sequential):
    """MobileNetV2 block: expand, depthwise, linear projection, residual where shapes allow."""

    def __init__(self, cin: int, cout: int, step: int, wider: int = 4) -> None:
        super().__init__()
        self.expand = ConvBn(cin, cin * wider)
        self.depthwise = ConvBn(cin * wider, cin * wider, 3, step, cin * wider)
        self.project = ConvBn(cin * wider, cout)
        self.project.act = nn.Identity()
        self.residual = step == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """Run the three convolutions and add the input where shapes allow."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class DigitNet(nn.Sequential):
    """Stem, three inverted residual blocks, head, pooling, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBn(1, 16, 3)
        self.block1 = Block(16, 16, 1)
        self.block2 = Block(16, 24, 2)
        self.block3 = Block(24, 24, 1)
        self.head = ConvBn(24, 64)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(64, 10)


def load_split() -> tuple[Tensor, ...]:
    """Training images, held-out images, training labels, held-out labels (stratified split)."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    parts = train_test_split(images, labels, test_size=HELD_OUT, random_state=0, stratify=labels)
    return tuple(torch.from_numpy(part) for part in parts)


def make_optimiser(net: nn.Module) -> torch.optim.SGD:
    """SGD with weight decay on dense weights only: as in MobileNet, none on depthwise or BN."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, param in net.named_parameters():
        groups[param.dim() > 1 and "depthwise" not in name].append(param)
    settings = [{"params": groups[decay], "weight_decay": DECAY * decay} for decay in groups]
    return torch.optim.SGD(settings, lr=PEAK_RATE, momentum=0.9)


def train(images: Tensor, labels: Tensor, seed: int) -> DigitNet:
    """Train with a high one-cycle learning rate, and return the network in eval mode."""
    torch.manual_seed(seed)
    net = DigitNet()
    sgd, steps = make_optimiser(net), EPOCHS * -(-len(images) // BATCH)
    cycle = OneCycleLR(sgd, PEAK_RATE, steps, pct_start=0.1, cycle_momentum=False)
    for batch in (
        b for _ in range(EPOCHS) for b in torch.split(torch.randperm(len(images)), BATCH)
    ):
        down, right = torch.randint(0, 3, (2,)).tolist()  # shift by up to one pixel each way
        shifted = fn.pad(images[batch], (1, 1, 1, 1))[:, :, down : down + 8, right : right + 8]
        sgd.zero_grad()
        torch.autograd.backward(fn.cross_entropy(net(shifted), labels[batch]))
        sgd.step()
        cycle.step()
    return net.eval().requires_grad_(False)


def fake_quant(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Round to uint8 and back, zero being exactly representable."""
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = ((high - low) / 255).clamp(min=1e-12)
    zero = torch.round(-low / scale)
    return ((torch.round(x / scale) + zero).clamp(0, 255) - zero) * scale


def quant_weight(weight: Tensor, kind: str) -> Tensor:
    """Min-max uint8 weights: one range for the tensor, or one for each output channel."""
    rows = weight.flatten(1) if kind == "channel" else weight.reshape(1, -1)
    return fake_quant(rows, rows.amin(1, True), rows.amax(1, True)).view_as(weight)


def folded(net: DigitNet) -> DigitNet:
    """Copy the network and fold every BatchNorm into its convolution."""
    net = copy.deepcopy(net)
    for unit in (m for m in net.modules() if isinstance(m, ConvBn)):
        unit.conv = nn.utils.fuse_conv_bn_eval(unit.conv, unit.bn)
        unit.bn = nn.Identity()  # type: ignore[assignment]
    return net


def watch(net: DigitNet, hook: Callable[[str, Tensor], Tensor]) -> None:
    """Replace every activation that the target stores by what `hook` returns for it."""
    net.register_forward_pre_hook(lambda _m, x: hook("image", x[0]))
    for name, module in net.named_modules():
        if isinstance(module, ConvBn | Block | nn.Linear) or name == "pool":
            module.register_forward_hook(lambda _m, _x, y, name=name: hook(name, y))


def quantised(net: DigitNet, calibration: Tensor, kind: str, only: str = "") -> DigitNet:
    """Folded network, uint8 activations, and uint8 weights in layers whose name starts `only`."""
    net, ranges = folded(net), dict[str, tuple[Tensor, Tensor]]()

    def store(name: str, y: Tensor) -> Tensor:
        """Record the range on the first (calibration) pass, quantise on later ones."""
        if name in ranges:
            return fake_quant(y, *ranges[name])
        ranges[name] = y.min(), y.max()
        return y

    watch(net, store)
    net(calibration)
    for name, param in net.named_parameters():
        if kind != "none" and param.dim() > 1 and name.startswith(only):
            param.data = quant_weight(param.data, kind)
    return net


def evaluate(net: DigitNet, seen: Tensor, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy in percent: float, three weight granularities, each layer alone per tensor."""
    kinds = ("none", "tensor", "channel")
    nets = {"float": net, **{f"weights={kind}": quantised(net, seen, kind) for kind in kinds}}
    for name in (name for name, param in net.named_parameters() if param.dim() > 1):
        nets[name] = quantised(net, seen, "tensor", name)
    percent = 100 / len(labels)
    return {k: percent * int((v(images).argmax(1) == labels).sum()) for k, v in nets.items()}


def tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Dotted tensor names without exporter noise; no source paths; our metadata."""
    for node in model.graph.node:
        node.ClearField("doc_string")
        node.name = node.name.strip("/").replace("/", ".")
        for names in (node.input, node.output):
            names[:] = [n.strip("/").replace("/", ".").removesuffix("_output_0") for n in names]
    onnx.helper.set_model_props(model, {"lostbits.demo.rescaled": "false", "licence": LICENCE})
    onnx.checker.check_model(model, full_check=True)
    return model


def export(net: DigitNet, example: Tensor, path: Path) -> None:
    """Write the network as ONNX, its BatchNormalization nodes kept."""
    torch.onnx.export(
        net, (example,), path, dynamo=False, opset_version=17, input_names=["image"],
        output_names=["logits"], dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
        training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
    )  # fmt: skip
    model = tidy(onnx.load(path))
    kept = sum(node.op_type == "BatchNormalization" for node in model.graph.node)
    if kept != sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()):
        raise SystemExit(f"only {kept} BatchNormalization nodes survived the export")
    onnx.save(model, path)


def main(out: Path = OUT, seed: int = SEED) -> None:
    """Train, print the figures, write the folder."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train_x, held_x, train_y, held_y = load_split()
    net, seen = train(train_x, train_y, seed), train_x[:CALIBRATION]
    for name, figure in evaluate(net, seen, held_x, held_y).items():
        print(f"{name:30} {figure:5.1f} %")
    export(net, seen[:1], out / "digits.onnx")
    np.savez_compressed(out / "calibration.npz", image=seen.numpy())
    np.savez_compressed(out / "heldout.npz", image=held_x.numpy())
    np.save(out / "labels.npy", held_y.numpy())


if __name__ == "__main__":
    main()
