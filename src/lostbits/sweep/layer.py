"""A layer with a quantized weight, as it stands in the float and in the quantized network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import torch

from lostbits.data import Batch, Source
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.runtime.executor import Executor, Step, Walk
from lostbits.sweep.padding import counted, held, share
from lostbits.sweep.twin_networks import BATCH, Array, Networks, quantized_weight

ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "Sigmoid", "HardSigmoid")

# What a shard tells of a layer may be two square matrices of its columns. Of more shards than these
# the driver would do nothing but receive and add such matrices.
_MOST_SHARDS = 16


class Shard(NamedTuple):
    """A part of the samples that stays with one worker.

    Attributes:
        number: Counted from 0.
        samples: Of the source.
        total: Samples of all shards.
    """

    number: int
    samples: range
    total: int


def shards(source: Source) -> list[Shard]:
    """The samples in shards of whole batches, whose borders know nothing of workers."""
    least = max(BATCH, -(-len(source) // _MOST_SHARDS))
    chunks = source.chunks(BATCH, least)
    return [Shard(number, samples, len(source)) for number, samples in enumerate(chunks)]


def whole(source: Source) -> list[Shard]:
    """All samples in one shard."""
    return [Shard(0, range(len(source)), len(source))]


@final
@dataclass(frozen=True)
class Layer:
    """A layer with a quantized weight, in both networks.

    Attributes:
        number: Layers are counted from 1, in topological order.
        step: Its node.
        weight: Site of the weight.
        index: Which input of the node that is; the data are the other one of the first two.
        values: The float weight.
        affine: The grid that its codes lie on.
        shard: Which of the samples are here.
        parts: Their batches; none where a layer is meant without its samples.
        inputs: What it reads in the float network, one tensor a batch; zeros at positions that are
            padding.
        quantized_inputs: What it reads in the quantized one.
        shares: Of each batch, the part of the positions that is no padding.
        bias: The float bias that the node itself adds.
        activation: The activation function that alone reads its output, or None.
        executor: To evaluate it.
    """

    number: int
    step: Step
    weight: Site
    index: int
    values: Array
    affine: Affine
    shard: Shard
    parts: Sequence[Batch]
    inputs: Sequence[torch.Tensor]
    quantized_inputs: Sequence[torch.Tensor]
    shares: Sequence[float]
    bias: torch.Tensor | None
    activation: Step | None
    executor: Executor

    def output(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """What the node computes from ``x`` and ``weight``, without its bias."""
        pair = (x, weight) if self.index == 1 else (weight, x)
        return self.executor.evaluate(self.step, pair)[0]

    def activated(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """The same with its bias, and through the activation function behind it, if any."""
        pair = (x, weight) if self.index == 1 else (weight, x)
        bias = [] if self.bias is None else [self.bias]
        return self._activate(self.executor.evaluate(self.step, [*pair, *bias])[0])

    def bent(self, y: torch.Tensor) -> torch.Tensor:
        """Bias and activation function on ``y``, which a convolution made without them."""
        if self.bias is not None:
            y = y + self.bias.reshape(-1, *(1 for _ in y.shape[2:]))
        return self._activate(y)

    def _activate(self, y: torch.Tensor) -> torch.Tensor:
        if self.activation is None:
            return y
        constants = [
            None if n is None else self.executor.constants[n] for n in self.activation.inputs[1:]
        ]
        return self.executor.evaluate(self.activation, [y, *constants])[0]

    @property
    def opaque(self) -> list[str]:
        """Nodes of it that no gradient passes; known once it has been computed."""
        steps = [self.step] if self.activation is None else [self.step, self.activation]
        return [step.name for step in steps if step.name in self.executor.opaque]

    @property
    def channel_axis(self) -> int:
        """Axis of the output channels in its output."""
        return 1 if self.step.operator.op_type.startswith("Conv") else -1


class Place(NamedTuple):
    """Where a layer stands: its number, its node's index, the input with the weight, and that."""

    number: int
    position: int
    input: int
    weight: Site


def places(executor: Executor) -> list[Place]:
    """Every layer with a quantized weight, in topological order."""
    found = ((i, quantized_weight(executor, step)) for i, step in enumerate(executor.steps))
    known = ((i, *weight) for i, weight in found if weight is not None)
    return [Place(number, *where) for number, where in enumerate(known, 1)]


def view(networks: Networks, place: Place, shard: Shard, *, apart: bool = False) -> Layer:
    """A layer that all walks of ``networks`` have just come to.

    Apart from the others, what it reads in the quantized network is the float value on its grid.
    """
    executor = networks.executor
    step = executor.steps[place.position]

    def data(walks: Sequence[Walk]) -> list[torch.Tensor]:
        values = [w.read(step)[1 - place.input] for w in walks]
        return [v for v in values if v is not None]

    def on_grid(values: list[torch.Tensor]) -> list[torch.Tensor]:
        site = executor.reader_site(step.name, 1 - place.input)
        return values if site is None else [networks.quantize(site, x) for x in values]

    floats = data(networks.plain)
    pairs = zip(networks.parts, floats, strict=True)
    counts = [counted(networks.case.compared, part, x) for part, x in pairs]

    def tokens(values: list[torch.Tensor]) -> list[torch.Tensor]:
        return [held(x, c) for x, c in zip(values, counts, strict=True)]

    return Layer(
        place.number,
        step,
        place.weight,
        place.input,
        executor.constants[place.weight.tensor].numpy(),
        networks.plan[place.weight.key],
        shard,
        networks.parts,
        tokens(floats),
        tokens(on_grid(floats) if apart else data(networks.quantized)),
        [share(c, part) for c, part in zip(counts, networks.parts, strict=True)],
        _bias(executor, step),
        _activation(executor, step),
        executor,
    )


def _bias(executor: Executor, step: Step) -> torch.Tensor | None:
    name = step.inputs[2] if len(step.inputs) > 2 else None
    return None if name is None else executor.constants.get(name)


def _activation(executor: Executor, step: Step) -> Step | None:
    """The step behind, if it alone reads the output, bends it, and reads constants besides."""
    readers = [s for s in executor.steps if step.outputs[0] in s.inputs]
    if len(readers) != 1 or readers[0].operator.op_type not in ACTIVATIONS:
        return None
    others = (n for n in readers[0].inputs[1:] if n is not None)
    return readers[0] if all(n in executor.constants for n in others) else None
