"""The float and the quantized network side by side, all samples at once, one layer at a time.

A recovery that chooses a layer's weights must know the inputs that the layer will really have:
those that the layers before it produce, already quantized and already recovered. Walking both
networks node by node with every sample in hand gives each layer exactly that in one pass, whatever
the number of layers, and lets what one layer cannot repair be seen, and made good, by the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.case import Case, plan_biases
from lostbits.data import Source
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import say
from lostbits.runtime.cache import Cache, packed, unpacked
from lostbits.runtime.executor import Executor, Step, Walk
from lostbits.runtime.memory import keep_freed_memory
from lostbits.runtime.progress import Progress, silent
from lostbits.runtime.simulation import fake_quantize

LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "Sigmoid", "HardSigmoid")
_BATCH = 16
Array = NDArray[np.float32]


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
        y = self.executor.evaluate(self.step, [*pair, *bias])[0]
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


@final
@dataclass
class Written:
    """What a sweep over the layers chose.

    Attributes:
        constants: Weights and biases by tensor.
        plan: Grids that changed, by site key.
        skipped: Layers or biases that stayed as they were, with reasons.
    """

    constants: dict[str, Array] = field(default_factory=dict)
    plan: dict[str, Affine] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


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
        self.case, self.solve, self.correct, self.cache = case, solve, correct, cache
        self.number = 0
        self.executor = Executor(case.model, (*case.sites, *case.placed.float_biases))
        self.parts = list(source.batches(_BATCH))
        self.plan: dict[str, Affine] = dict(case.plan)
        self.biases = {s.scales[1]: s for s in case.placed.biases if s.scales is not None}
        self.written = Written(constants=dict(case.written))
        self.plain = [Walk(self.executor, p.feeds, None) for p in self.parts]
        self.quantized = [Walk(self.executor, p.feeds, self._inject) for p in self.parts]

    def _inject(self, site: Site, x: torch.Tensor) -> torch.Tensor:
        if site.tensor in self.written.constants:
            x = torch.from_numpy(self.written.constants[site.tensor])
        affine = self.plan.get(site.key)
        return x if affine is None else fake_quantize(x, affine)

    def run(self, progress: Progress) -> Written:
        """Advance both networks node by node."""
        steps = self.executor.steps
        for number, step in enumerate(steps):
            weight = self._weight(step)
            if weight is not None:
                self._layer(step, *weight)
            for walk in (*self.plain, *self.quantized):
                walk.advance(step)
            progress("layers", number + 1, len(steps))
        return self.written

    def _weight(self, step: Step) -> tuple[int, Site] | None:
        """The quantized weight that a linear step is the first to read."""
        if step.operator.op_type not in LINEAR:
            return None
        for index in (1, 0):
            site = self.executor.reader_site(step.name, index)
            if site is not None and site.role == "weight" and site.uses[0].node == step.name:
                return index, site
        return None

    def _layer(self, step: Step, index: int, site: Site) -> None:
        layer = self._view(step, index, site)
        solved = self._solved(layer)
        if solved is not None:
            self._write(site, solved.values)
            if solved.affine is not None:
                self._change_grid(site, solved.affine)
        if self.correct:
            self._correct_bias(layer)

    def _solved(self, layer: Layer) -> Solved | None:
        """From the cache where an interrupted run has been here before."""
        self.number += 1
        found = None if self.cache is None else self.cache.load(self.number)
        if found is not None:
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

        return Layer(
            step,
            site,
            index,
            self.executor.constants[site.tensor].numpy(),
            self.plan[site.key],
            data(self.plain),
            data(self.quantized),
            self._bias(step),
            self._activation(step),
            self.executor,
        )

    def _bias(self, step: Step) -> torch.Tensor | None:
        name = step.inputs[2] if len(step.inputs) > 2 else None
        return None if name is None else self.executor.constants.get(name)

    def _activation(self, step: Step) -> Step | None:
        """The step behind, if it alone reads the output, bends it, and reads constants besides."""
        readers = [s for s in self.executor.steps if step.outputs[0] in s.inputs]
        if len(readers) != 1 or readers[0].operator.op_type not in ACTIVATIONS:
            return None
        known = self.executor.constants
        others = (n for n in readers[0].inputs[1:] if n is not None)
        return readers[0] if all(n in known for n in others) else None

    def _write(self, site: Site, values: Array) -> None:
        self.written.constants[site.tensor] = values
        self._visit(site)

    def _visit(self, site: Site) -> None:
        """Let the quantized network see the constant as it is now."""
        value = self._inject(site, self.executor.constants[site.tensor])
        for walk in self.quantized:
            walk.quantized[site.key] = value

    def _change_grid(self, site: Site, affine: Affine) -> None:
        """A new scale of a weight is one of its bias too."""
        self.plan[site.key] = self.written.plan[site.key] = affine
        self._visit(site)
        bias = self.biases.get(site.key)
        if bias is not None and bias.key in self.plan:
            case = self.case
            grids = plan_biases(case.model, case.placed, self.plan, case.target)
            self.plan[bias.key] = grids[bias.key]
            self._visit(bias)

    def _correct_bias(self, layer: Layer) -> None:
        bias = self.biases.get(layer.weight.key)
        if bias is None:
            self.written.skipped[layer.weight.tensor] = say("skipped.no_bias")
            return
        floats = self.executor.constants[bias.tensor].numpy()
        shift = self._mean_error(layer).reshape(floats.shape)
        self._write(bias, (floats + shift).astype(np.float32))

    def _mean_error(self, layer: Layer) -> NDArray[np.float64]:
        """Mean of float minus quantized output per channel, both as the networks have them."""
        weight = self.quantized[0].quantized[layer.weight.key]
        floats = self.executor.constants[layer.weight.tensor]
        total: NDArray[np.float64] | float = 0.0
        for part, x, z in zip(self.parts, layer.inputs, layer.quantized_inputs, strict=True):
            error = part.real(layer.output(x, floats) - layer.output(z, weight))
            axes = [d for d in range(error.ndim) if d != layer.channel_axis % error.ndim]
            total = total + error.double().mean(axes).numpy() * part.size
        return np.asarray(total) / sum(p.size for p in self.parts)
