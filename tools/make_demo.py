"""Train the demo digits network and write it, with its data, into src/lostbits/demo/."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as fn

OUT = Path(__file__).resolve().parents[1] / "src" / "lostbits" / "demo"
SEED, EPOCHS, BATCH, PEAK_RATE, DECAY, BN_EPS = 3, 50, 64, 0.4, 5e-3, 5e-4
HELD_OUT, CALIBRATION, MAX_BYTES = 450, 128, 600_000
META = {
    "lostbits.demo.rescaled": "false",
    "licence": "Trained on UCI Optical Recognition of Handwritten Digits, CC BY 4.0",
}
Granularity = Literal["none", "tensor", "channel"]
Ranges = dict[str, tuple[Tensor, Tensor]]


class ConvBn(nn.Module):
    """A convolution without bias, its BatchNorm and, unless linear, a ReLU6."""

    def __init__(self, cin: int, cout: int, k: int = 1, step: int = 1, groups: int = 1) -> None:
        """Square kernel `k`, same padding."""
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k, step, k // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout, eps=BN_EPS)
        self.act: nn.Module = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, clip."""
        return self.act(self.bn(self.conv(x)))


class Block(nn.Module):
    """MobileNetV2 block: expand, depthwise, linear projection, residual where shapes allow."""

    def __init__(self, cin: int, cout: int, step: int, expansion: int = 4) -> None:
        """`step` is the stride of the depthwise convolution."""
        super().__init__()
        wide = cin * expansion
        self.expand = ConvBn(cin, wide)
        self.depthwise = ConvBn(wide, wide, 3, step, wide)
        self.project = ConvBn(wide, cout)
        self.project.act = nn.Identity()
        self.residual = step == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        """Run the three convolutions and add the input where shapes allow."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class DigitNet(nn.Sequential):
    """Stem, three inverted residual blocks, head, pooling, classifier."""

    def __init__(self) -> None:
        """Register the stages under the names that the ONNX file will carry."""
        super().__init__()
        self.stem = ConvBn(1, 16, 3)
        self.block1 = Block(16, 16, 1)
        self.block2 = Block(16, 24, 2)
        self.block3 = Block(24, 24, 1)
        self.head = ConvBn(24, 64)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(64, 10)


def load_split() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, then held-out images and labels (stratified split)."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    parts = train_test_split(images, labels, test_size=HELD_OUT, random_state=0, stratify=labels)
    train_x, held_x, train_y, held_y = (torch.from_numpy(part) for part in parts)
    return train_x, train_y, held_x, held_y


def shifted(images: Tensor) -> Tensor:
    """The batch moved by up to one pixel each way (augmentation)."""
    down, right = torch.randint(0, 3, (2,)).tolist()
    return fn.pad(images, (1, 1, 1, 1))[:, :, down : down + 8, right : right + 8]


def make_optimiser(net: nn.Module) -> torch.optim.SGD:
    """SGD with weight decay on dense weights only: as in MobileNet, none on depthwise or BN."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, param in net.named_parameters():
        groups[param.dim() > 1 and "depthwise" not in name].append(param)
    decayed = {"params": groups[True], "weight_decay": DECAY}
    return torch.optim.SGD([decayed, {"params": groups[False]}], lr=PEAK_RATE, momentum=0.9)


def train(images: Tensor, labels: Tensor, seed: int) -> DigitNet:
    """Train with a one-cycle high learning rate, and return the network in eval mode."""
    torch.manual_seed(seed)
    net = DigitNet()
    optimiser = make_optimiser(net)
    steps = EPOCHS * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, PEAK_RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False
    )
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimiser.zero_grad()
            fn.cross_entropy(net(shifted(images[batch])), labels[batch]).backward()
            optimiser.step()
            schedule.step()
    return net.eval()


def fake_quant(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Round to uint8 and back, zero being exactly representable."""
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = ((high - low) / 255).clamp(min=1e-12)
    zero = torch.round(-low / scale)
    return ((torch.round(x / scale) + zero).clamp(0, 255) - zero) * scale


def quant_weight(weight: Tensor, granularity: Granularity) -> Tensor:
    """Min-max uint8 weights, one range for the tensor or one for each output channel."""
    if granularity == "none":
        return weight
    rows = weight.flatten(1) if granularity == "channel" else weight.reshape(1, -1)
    return fake_quant(rows, rows.amin(1, True), rows.amax(1, True)).view_as(weight)


def folded(net: DigitNet) -> DigitNet:
    """A copy of the network with every BatchNorm folded into its convolution."""
    net = copy.deepcopy(net)
    for unit in (m for m in net.modules() if isinstance(m, ConvBn)):
        unit.conv = nn.utils.fuse_conv_bn_eval(unit.conv, unit.bn)
        unit.bn = nn.Identity()  # type: ignore[assignment]
    return net


def weighted(net: nn.Module) -> Iterator[tuple[str, nn.Conv2d | nn.Linear]]:
    """The named layers with weights."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield name, module


def watch(net: nn.Module, hook: Callable[[str, Tensor], Tensor]) -> None:
    """Pass every activation that the target would store through `hook`."""
    for name, module in net.named_modules():
        if isinstance(module, ConvBn | Block | nn.Linear) or name == "pool":
            module.register_forward_hook(lambda _m, _x, y, name=name: hook(name, y))


def observe(net: DigitNet, images: Tensor) -> Ranges:
    """Min-max range of every stored activation over `images`."""
    ranges: Ranges = {}

    def record(name: str, y: Tensor) -> Tensor:
        ranges[name] = (y.min(), y.max())
        return y

    net = folded(net)
    watch(net, record)
    net(images)
    return ranges


def quantised(net: DigitNet, ranges: Ranges, kind: Granularity, only: str = "") -> DigitNet:
    """Folded network with uint8 activations and weights (those of layers named `only`...)."""
    net = folded(net)
    for name, layer in weighted(net):
        if name.startswith(only):
            layer.weight.data = quant_weight(layer.weight.data, kind)
    watch(net, lambda name, y: fake_quant(y, *ranges[name]))
    return net
