"""One layer at a time, in the float and the quantized network; see ``runtime.networks``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import say
from lostbits.runtime.cache import Cache, packed, unpacked
from lostbits.runtime.executor import Executor, Step, Walk
from lostbits.runtime.memory import keep_freed_memory
from lostbits.runtime.networks import Array, Networks, Written
from lostbits.runtime.progress import Progress, silent

ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "Sigmoid", "HardSigmoid")


@final
@dataclass(frozen=True)
class Layer:
    """A layer with a quantized weight, in both networks.

    Attributes:
        step: Its node.
        weight: Site of the weight.
        index: Which input of the node that is; the data are the other one of the first two.
        values: The float weight.
        affine: The grid that its codes lie on.
        inputs: What it reads in the float network, one tensor a batch.
        quantized_inputs: What it reads in the quantized one.
        bias: The float bias that the node itself adds.
        activation: The activation function that alone reads its output, or None.
        executor: To evaluate it.
    """

    step: Step
    weight: Site
    index: int
    values: Array
    affine: Affine
    inputs: Sequence[torch.Tensor]
    quantized_inputs: Sequence[torch.Tensor]
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
        return self._bent(self.executor.evaluate(self.step, [*pair, *bias])[0])

    def bent(self, y: torch.Tensor) -> torch.Tensor:
        """Bias and activation function on ``y``, which a convolution made without them."""
        if self.bias is not None:
            y = y + self.bias.reshape(-1, *(1 for _ in y.shape[2:]))
        return self._bent(y)

    def _bent(self, y: torch.Tensor) -> torch.Tensor:
        if self.activation is None:
            return y
        constants = [
            None if n is None else self.executor.constants[n] for n in self.activation.inputs[1:]
        ]
        return self.executor.evaluate(self.activation, [y, *constants])[0]

    @property
    def channel_axis(self) -> int:
        """Axis of the output channels in its output."""
        return 1 if self.step.operator.op_type.startswith("Conv") else -1


@final
@dataclass(frozen=True)
class Solved:
    """What a solver decided for one layer.

    Attributes:
        values: Weights on the grid, in the shape of the layer's weight.
        affine: The grid, if it is not the layer's own.
    """

    values: Array
    affine: Affine | None = None


class Solver(Protocol):
    """Chooses the weights of one layer; None leaves them as the plan rounds them."""

    def __call__(self, layer: Layer) -> Solved | None:
        """The layer's weights."""
        ...


def sweep(
    case: Case,
    source: Source,
    solve: Solver,
    *,
    correct_biases: bool = True,
    cache: Cache | None = None,
    progress: Progress = silent,
) -> Written:
    """Let ``solve`` choose the weights of every layer, in topological order.

    With ``correct_biases`` each layer's bias then takes up the mean error that is left per output
    channel (Nagel et al. 2019, arXiv:1906.04721, section 4.2, empirical form). Layers found in
    ``cache`` are not solved again.
    """
    keep_freed_memory()
    with torch.no_grad():
        return _Sweep(case, source, solve, correct_biases, cache).run(progress)


@final
class _Sweep:
    """One pass in progress."""

    def __init__(
        self, case: Case, source: Source, solve: Solver, correct: bool, cache: Cache | None
    ) -> None:
        self.networks = Networks(case, source)
        self.solve, self.correct, self.cache = solve, correct, cache
        self.number = 0

    def run(self, progress: Progress) -> Written:
        """Advance both networks node by node."""
        networks = self.networks
        steps = networks.executor.steps
        for number, step in enumerate(steps):
            weight = networks.weight(step)
            if weight is not None:
                self._layer(step, *weight)
            networks.advance(step)
            progress("layers", number + 1, len(steps))
        return networks.written

    def _layer(self, step: Step, index: int, site: Site) -> None:
        layer = self._view(step, index, site)
        solved = self._solved(layer)
        if solved is not None:
            self.networks.write(site, solved.values)
            if solved.affine is not None:
                self.networks.change_grid(site, solved.affine)
        if self.correct:
            self._correct_bias(layer)

    def _solved(self, layer: Layer) -> Solved | None:
        """From the cache where an interrupted run has been here before."""
        self.number += 1
        found = None if self.cache is None else self.cache.load(self.number)
        if found is not None:
            self.networks.written.cached += 1
            return Solved(found["values"].astype(np.float32), unpacked(found))
        solved = self.solve(layer)
        if solved is not None and self.cache is not None:
            grid = {} if solved.affine is None else packed(solved.affine)
            self.cache.keep(self.number, values=solved.values, **grid)
        return solved

    def _view(self, step: Step, index: int, site: Site) -> Layer:
        def data(walks: Sequence[Walk]) -> list[torch.Tensor]:
            values = [w.read(step)[1 - index] for w in walks]
            return [v for v in values if v is not None]

        networks = self.networks
        return Layer(
            step,
            site,
            index,
            networks.executor.constants[site.tensor].numpy(),
            networks.plan[site.key],
            data(networks.plain),
            data(networks.quantized),
            self._bias(step),
            self._activation(step),
            networks.executor,
        )

    def _bias(self, step: Step) -> torch.Tensor | None:
        name = step.inputs[2] if len(step.inputs) > 2 else None
        return None if name is None else self.networks.executor.constants.get(name)

    def _activation(self, step: Step) -> Step | None:
        """The step behind, if it alone reads the output, bends it, and reads constants besides."""
        executor = self.networks.executor
        readers = [s for s in executor.steps if step.outputs[0] in s.inputs]
        if len(readers) != 1 or readers[0].operator.op_type not in ACTIVATIONS:
            return None
        others = (n for n in readers[0].inputs[1:] if n is not None)
        return readers[0] if all(n in executor.constants for n in others) else None

    def _correct_bias(self, layer: Layer) -> None:
        networks = self.networks
        bias = networks.biases.get(layer.weight.key)
        if bias is None:
            networks.written.skipped[layer.weight.tensor] = say("skipped.no_bias")
            return
        floats = networks.executor.constants[bias.tensor].numpy()
        shift = self._mean_error(layer).reshape(floats.shape)
        networks.write(bias, (floats + shift).astype(np.float32))

    def _mean_error(self, layer: Layer) -> NDArray[np.float64]:
        """Mean of float minus quantized output per channel, both as the networks have them."""
        networks = self.networks
        weight = networks.constant(layer.weight)
        floats = networks.executor.constants[layer.weight.tensor]
        total: NDArray[np.float64] | float = 0.0
        for part, x, z in zip(networks.parts, layer.inputs, layer.quantized_inputs, strict=True):
            error = part.real(layer.output(x, floats) - layer.output(z, weight))
            axes = [d for d in range(error.ndim) if d != layer.channel_axis % error.ndim]
            total = total + error.double().mean(axes).numpy() * part.size
        return np.asarray(total) / sum(p.size for p in networks.parts)
