"""Where a network can be cut: wherever one float tensor alone is waiting to be read."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import final

from lostbits.graph.queries import is_float
from lostbits.runtime.executor import Executor, Step
from lostbits.sweep.twin_networks import quantized_weight

_LEAST = (
    3  # weights: a segment of fewer is joined with the next, so that layers can help each other
)


@final
@dataclass(frozen=True)
class Segment:
    """A run of steps between two places where only one float tensor is waiting to be read.

    Attributes:
        start: Index of the first step.
        steps: In order.
        entrance, exit: That tensor before and after it; empty where there is none or several.
        shapes: Whole numbers from before that it reads.
    """

    start: int
    steps: tuple[Step, ...]
    entrance: str
    exit: str
    shapes: frozenset[str] = frozenset()


def segments(executor: Executor) -> Iterator[Segment]:
    """The steps of the network, cut where a single tensor crosses, in blocks of enough weights."""
    last = {n: i for i, step in enumerate(executor.steps, 1) for n in step.inputs if n is not None}
    floats = _floats(executor)
    waiting = {v.name for v in executor.model.graph.inputs if v.name in last}
    start, weights, entering = 0, 0, waiting
    for number, step in enumerate(executor.steps, 1):
        waiting = {n for n in {*waiting, *step.outputs} if last.get(n, 0) > number}
        weights += quantized_weight(executor, step) is not None
        if number == len(executor.steps):
            yield _segment(start, executor.steps[start:], entering, set(executor.outputs), floats)
        elif len(waiting & floats) == 1 and weights >= _LEAST:
            yield _segment(start, executor.steps[start:number], entering, waiting, floats)
            start, weights, entering = number, 0, waiting


def _floats(executor: Executor) -> set[str]:
    graph = executor.model.graph
    made = (v for node in graph for v in node.outputs)
    return {v.name for v in (*graph.inputs, *made) if v.name and is_float(v)}


def _segment(
    start: int, steps: tuple[Step, ...], entering: set[str], leaving: set[str], floats: set[str]
) -> Segment:
    made = {name for step in steps for name in step.outputs}
    exit = _only(leaving & floats)
    whole = frozenset((entering - floats) & {n for step in steps for n in step.inputs if n})
    return Segment(start, steps, _only(entering & floats), exit if exit in made else "", whole)


def _only(names: Collection[str]) -> str:
    return next(iter(names)) if len(names) == 1 else ""
