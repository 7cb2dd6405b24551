"""One evaluation of every ``<dv/dx_i, e_i>``: a forward and a backward pass at one ``t``.

The network computes ``x_i(t) = F_i(x(t)) + s_i + t e_i``, where ``s_i`` is zero but for a path that
starts from another plan. Where the gradient of an error's tensor comes
by on its way back, its inner product with the error is taken and the gradient is let go.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from lostbits.graph.site import Site
from lostbits.runtime.chords import evaluated
from lostbits.runtime.executor import Executor, Step, Walk
from lostbits.runtime.gradient_root import rooted
from lostbits.runtime.inner_products import products
from lostbits.runtime.recomputed_constants import Again
from lostbits.runtime.simulation import Frozen

Vector = NDArray[np.float64]
Key = tuple[str, str]  # site, and which of its errors: total, clip or accumulate
Inputs = Sequence[torch.Tensor | None]


def slopes(
    executor: Executor,
    feeds: Mapping[str, NDArray[Any]],
    frozen: Frozen,
    t: float,
    value: Callable[[list[torch.Tensor]], torch.Tensor],
) -> dict[Key, Vector]:
    """``<dv/dx_i, e_i>`` per channel, for every site and cause; ``value`` is v of the outputs."""
    (found,) = slopes_of_each(executor, feeds, frozen, t, [value])
    return found


def slopes_of_each(
    executor: Executor,
    feeds: Mapping[str, NDArray[Any]],
    frozen: Frozen,
    t: float,
    values: Sequence[Callable[[list[torch.Tensor]], torch.Tensor]],
) -> list[dict[Key, Vector]]:
    """The same of each of several values of the outputs, by one forward pass for all."""
    return _Slopes(executor, frozen, t).evaluate(feeds, values)


@final
class _Slopes:
    """What one evaluation gathers."""

    def __init__(self, executor: Executor, frozen: Frozen, t: float) -> None:
        self.executor, self.frozen, self.t = executor, frozen, t
        self.found: dict[Key, Vector] = {}
        self.root = torch.zeros((), requires_grad=True)
        self.grouped = grouped_parameters(executor)
        self.again = Again(partial(_perturbed, executor, frozen, t))

    def evaluate(
        self,
        feeds: Mapping[str, NDArray[Any]],
        values: Sequence[Callable[[list[torch.Tensor]], torch.Tensor]],
    ) -> list[dict[Key, Vector]]:
        """Forward with errors put in, then backward from each value."""
        each: list[dict[Key, Vector]] = []
        with self.again.hooks():
            outputs = self._outputs(feeds)
            for left, value in zip(reversed(range(len(values))), values, strict=True):
                self.found, v = {}, value(outputs)
                if v.requires_grad:
                    torch.autograd.grad(v, self.root, retain_graph=left > 0, allow_unused=True)
                each.append(self.found)
        return each

    def _outputs(self, feeds: Mapping[str, NDArray[Any]]) -> list[torch.Tensor]:
        walk = Walk(self.executor, feeds, self._inject)
        for step in self.executor.steps:
            inputs = walk.read(step)
            outputs = evaluated(self.executor, self.frozen.chords, step, inputs)
            walk.write(step, self._watched(step, inputs, outputs))
        return walk.results()

    def _inject(self, site: Site, x: torch.Tensor) -> torch.Tensor:
        error = self.frozen.total.get(site.key)
        if error is None:
            return x
        z = torch.add(_started(self.frozen, site, x), error, alpha=self.t)
        if site.key not in self.grouped:
            z = rooted(self.root, z)
            z.register_hook(partial(self._at_site, site))
        if site.tensor in self.executor.large:
            self.again.made(z, site)
        return z

    def _watched(
        self, step: Step, inputs: Inputs, outputs: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        """The outputs, the first of them with a hook where a grouped parameter is read."""
        for index in (1, 2):
            site = self.executor.reader_site(step.name, index)
            if site is not None and site.key in self.grouped and site.key in self.frozen.total:
                found = self._at_weight if index == 1 else self._at_bias
                first = rooted(self.root, outputs[0])
                first.register_hook(partial(found, step, inputs[0], site))
                outputs = (first, *outputs[1:])
        return outputs

    def _at_site(self, site: Site, gradient: torch.Tensor) -> None:
        for kind, error in self._errors(site):
            self._add(site, kind, products(gradient, error, site.axis))

    def _at_weight(
        self, step: Step, x: torch.Tensor | None, site: Site, gradient: torch.Tensor
    ) -> None:
        """``<dv/dW, dW> = <dv/dy, x * dW>``, a forward convolution, channel by channel.

        Only of the groups that the error concerns, where they are few: a clip may be in one of a
        thousand.
        """
        assert x is not None
        groups = step.operator.get("group", 1)
        for kind, error in self._errors(site):
            live = error.reshape(groups, -1).any(dim=1).nonzero().flatten()
            slope = np.zeros((groups, len(error) // groups))
            if 2 * len(live) > groups:
                slope[:] = self._products(step, x, error, gradient)
            elif len(live):
                some = (
                    _of_groups(v, d, groups, live) for v, d in ((x, 1), (error, 0), (gradient, 1))
                )
                slope[live] = self._products(_with_groups(step, len(live)), *some)
            self._add(site, kind, slope.ravel() if site.axis is not None else slope.sum()[None])

    def _products(
        self, step: Step, x: torch.Tensor, error: torch.Tensor, gradient: torch.Tensor
    ) -> Vector:
        """Inner products of a gradient with what the error makes of ``x``; (groups, channels)."""
        with torch.no_grad():
            (change,) = self.executor.evaluate(step, [x, error])
        return products(change, gradient, 1).reshape(step.operator.get("group"), -1)

    def _at_bias(
        self, step: Step, x: torch.Tensor | None, site: Site, gradient: torch.Tensor
    ) -> None:
        sums = gradient.sum(dim=[d for d in range(gradient.ndim) if d != 1]).double().numpy()
        for kind, error in self._errors(site):
            slope = sums * error.double().numpy()
            self._add(site, kind, slope if site.axis is not None else slope.sum(keepdims=True))

    def _errors(self, site: Site) -> list[tuple[str, torch.Tensor]]:
        frozen = self.frozen
        pairs = (
            ("total", frozen.total),
            ("clip", frozen.clip),
            ("accumulate", frozen.accumulate),
        )
        return [(kind, errors[site.key]) for kind, errors in pairs if site.key in errors]

    def _add(self, site: Site, kind: str, slope: Vector) -> None:
        known = self.found.get((site.key, kind))
        self.found[site.key, kind] = slope if known is None else known + slope


def _perturbed(executor: Executor, frozen: Frozen, t: float, site: Site) -> torch.Tensor:
    """A constant as the network at ``t`` has it."""
    start = _started(frozen, site, executor.constants[site.tensor])
    return torch.add(start, frozen.total[site.key], alpha=t)


def _started(frozen: Frozen, site: Site, x: torch.Tensor) -> torch.Tensor:
    """``x`` as errors are added to it, with those that are there at t=0."""
    held, start = frozen.held(site, x), frozen.start.get(site.key)
    return held if start is None else held + start


def _with_groups(step: Step, groups: int) -> Step:
    """The convolution with fewer groups."""
    attributes = {**step.operator.attributes, "group": groups}
    return replace(step, operator=replace(step.operator, attributes=attributes))


def _of_groups(x: torch.Tensor, axis: int, groups: int, chosen: torch.Tensor) -> torch.Tensor:
    """What some of the groups along an axis hold, and nothing else read."""
    each = x.shape[axis] // groups
    channels = (chosen[:, None] * each + torch.arange(each)).flatten()
    # Not ``index_select``, which begins with a copy of all in another order.
    return x[:, channels] if axis else x[channels]


def grouped_parameters(executor: Executor) -> set[str]:
    """Keys of the weights and biases that only grouped convolutions read.

    For those torch's gradient of the weight costs several times a forward pass (measured on 5x5
    depthwise ones: 7 times), so that a forward pass with the weight's error in its place is the
    cheaper way to the inner product. For all other nodes the two cost the same.
    """
    grouped = {
        s.name
        for s in executor.steps
        if s.operator.op_type == "Conv" and s.operator.get("group", 1) > 1
    }
    return {
        site.key
        for site in executor.sites
        if not site.streams
        and site.axis in (None, 0)
        and all(use.node in grouped and use.index in (1, 2) for use in site.uses)
    }
