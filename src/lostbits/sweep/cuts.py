"""Where a network can be cut: wherever one float tensor alone is waiting to be read."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import final

from lostbits.graph.queries import is_float
from lostbits.runtime.executor import Executor, Step
from lostbits.sweep.twin_networks import quantized_weight

_LEAST = 3  # weights: a block of fewer is joined with the next, so that layers can help each other
MOST = 24  # weights of a block: the activations of more would not fit into memory


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
    """The steps of the network, cut where a single tensor crosses, in blocks of enough weights.

    Where a connection spans more of them than a block can hold, or several inputs stay in use, it
    is cut again where all that a run of steps reads and makes is one tensor each. Others may pass
    by there: what is added or joined behind is no part of such a block.
    """
    cuts = _Cuts(executor)
    start, weights, waiting = 0, 0, set(cuts.entering)
    for number, step in enumerate(executor.steps, 1):
        waiting = cuts.waiting({*waiting, *step.outputs}, number)
        weights += cuts.weighty[number - 1]
        last = number == len(executor.steps)
        if last or (len(waiting & cuts.floats) == 1 and weights >= _LEAST):
            whole = cuts.segment(start, number)
            parted = weights > MOST or (weights and not (whole.entrance and whole.exit))
            yield from cuts.parts(start, number) if parted else [whole]
            start, weights = number, 0


@final
class _Cuts:
    """What crosses the places between the steps.

    Attributes:
        entering: Inputs of the network that are read.
        floats: Names of all float tensors.
        weighty: Of every step, whether it reads a quantized weight.
    """

    def __init__(self, executor: Executor) -> None:
        self.steps = executor.steps
        self._last = {
            n: i for i, step in enumerate(self.steps, 1) for n in step.inputs if n is not None
        }
        self._last |= dict.fromkeys(executor.outputs, len(self.steps) + 1)
        graph = executor.model.graph
        self.entering = {v.name for v in graph.inputs if v.name in self._last}
        made = (v for node in graph for v in node.outputs)
        self.floats = {v.name for v in (*graph.inputs, *made) if v.name and is_float(v)}
        self.weighty = [quantized_weight(executor, step) is not None for step in self.steps]

    def waiting(self, names: Collection[str], number: int) -> set[str]:
        """Those that are read after so many steps."""
        return {n for n in names if self._last.get(n, 0) > number}

    def segment(self, start: int, end: int) -> Segment:
        """With its ends, where there is one tensor at each."""
        steps = self.steps[start:end]
        made = {n for step in steps for n in step.outputs}
        read = {n for step in steps for n in step.inputs if n} - made
        known = read & (self.entering | {n for step in self.steps[:start] for n in step.outputs})
        whole = frozenset(known - self.floats)
        leaving = self.waiting(made & self.floats, end)
        return Segment(start, steps, _only(known & self.floats), _only(leaving), whole)

    def parts(self, start: int, end: int) -> Iterator[Segment]:
        """These steps in smaller blocks, and in single steps that belong to none."""
        while start < end:
            stop = self._stop(start, end) or start + 1
            yield self.segment(start, stop)
            start = stop

    def _stop(self, start: int, end: int) -> int | None:
        """Where a block that begins here can end: with as many weights as it takes, if it can."""
        read, made, waiting, weights, found = set[str](), set[str](), set[str](), 0, None
        for number, step in enumerate(self.steps[start:end], start + 1):
            read |= self.floats.intersection(n for n in step.inputs if n and n not in made)
            weights += self.weighty[number - 1]
            if len(read) > 1 or weights > MOST:
                break
            made |= {n for n in step.outputs if n}
            waiting = self.waiting({*waiting, *made.intersection(step.outputs)}, number)
            if weights and len(waiting & self.floats) == 1:
                found = number
                if weights >= _LEAST:
                    break
        return found


def _only(names: Collection[str]) -> str:
    return next(iter(names)) if len(names) == 1 else ""
