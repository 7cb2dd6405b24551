"""An interpreter with gradients: walks the graph node by node in torch.

ONNX Runtime decides what the quantized network computes; this executor explains it. It evaluates
the float graph with an error added at every site, so that no quantizer stands in the way of the
gradient.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from lostbits.errors import ModelError
from lostbits.graph.large import large_constants
from lostbits.graph.queries import constant, is_float, name_of, node_name, opset
from lostbits.graph.site import Site
from lostbits.runtime.memory_layout import channels_last, in_file
from lostbits.runtime.rules import RULES, Operator, Unsupported
from lostbits.runtime.session import Session
from lostbits.system.arrays_on_disk import spilled
from lostbits.system.memory import lacks_memory, too_large

Inject = Callable[[Site, torch.Tensor], torch.Tensor]
_PICKS = frozenset({"NonMaxSuppression", "Unique"})  # places, which have no slope, as of ArgMax


@final
@dataclass(frozen=True)
class Step:
    """One node, ready to evaluate.

    Attributes:
        name: The node's name.
        operator: Its type and attributes.
        inputs: Tensor names, None for omitted ones.
        outputs: Tensor names; ``""`` for those nobody reads.
        last_reads: Tensors that no later step needs.
        node: The node itself, for what torch cannot do.
    """

    name: str
    operator: Operator
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    last_reads: tuple[str, ...]
    node: ir.Node


@final
class Executor:
    """A normalised model compiled to torch steps.

    Attributes:
        steps: In topological order.
        opaque: Names of float nodes that ran outside torch so far; no gradient passes them.
        large: Names of constants that lie in files.
    """

    def __init__(self, model: ir.Model, sites: Sequence[Site]) -> None:
        self.model = model
        self.sites = tuple(sites)
        self.opaque: set[str] = set()
        self.large = large_constants(model.graph)
        self.outputs = [name_of(v) for v in model.graph.outputs]
        self._readers = {(use.node, use.index): site for site in sites for use in site.uses}
        self._sessions: dict[str, Session] = {}

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every node with the tensors that may be forgotten after it."""
        nodes = list(self.model.graph)
        last = {v.name: i for i, node in enumerate(nodes) for v in node.inputs if v is not None}
        return tuple(self._step(i, node, last) for i, node in enumerate(nodes))

    def _step(self, number: int, node: ir.Node, last: Mapping[str | None, int]) -> Step:
        inputs = tuple(None if v is None else name_of(v) for v in node.inputs)
        done = {n for n in inputs if n is not None and last[n] == number}
        done |= {name_of(o) for o in node.outputs if o.name and o.name not in last}
        return Step(
            node_name(node),
            _operator(node, opset(self.model)),
            inputs,
            tuple(o.name or "" for o in node.outputs),
            tuple(sorted(done - set(self.outputs) - set(self.constants))),
            node,
        )

    @cached_property
    def constants(self) -> dict[str, torch.Tensor]:
        """Initializers by name."""
        arrays = {n: constant(v) for n, v in self.model.graph.initializers.items()}
        return {
            n: torch.from_numpy(_writable(a)) if n in self.large else _tensor(a, n)
            for n, a in arrays.items()
            if a is not None
        }

    def reader_site(self, node: str, index: int) -> Site | None:
        """The site whose quantized value this input reads, if any."""
        return self._readers.get((node, index))

    @cached_property
    def by_tensor(self) -> dict[str, list[Site]]:
        """Sites of each tensor."""
        table: dict[str, list[Site]] = {}
        for site in self.sites:
            table.setdefault(site.tensor, []).append(site)
        return table

    def evaluate(
        self, step: Step, inputs: Sequence[torch.Tensor | None]
    ) -> tuple[torch.Tensor, ...]:
        """Outputs of one node: by its torch rule, else by a one-node ONNX Runtime session.

        Raises:
            SimulationError: S001 where ONNX Runtime cannot compute the node either.
            Exception: Of a rule that fails where ONNX Runtime does not: the rule is wrong, and
                a run without it would quietly explain less.
        """
        domain, op = step.node.domain, step.operator.op_type
        rule = RULES.get(op if domain in ("", "ai.onnx") else f"{domain}::{op}")
        if rule is not None:
            try:
                return rule(step.operator, inputs)
            except Unsupported:
                pass
            except Exception as error:
                if not lacks_memory(error):
                    self._outside(step, inputs)
                    error.add_note(f"in the rule of {op}, at node {step.name!r}")
                raise
        if op not in _PICKS and any(map(_varies, step.node.inputs)):
            self.opaque.add(step.name)
        return self._outside(step, inputs)

    def _outside(
        self, step: Step, inputs: Sequence[torch.Tensor | None]
    ) -> tuple[torch.Tensor, ...]:
        if step.name not in self._sessions:
            self._sessions[step.name] = Session(_one_node(step.node, self.model))
        feeds = {
            f"in{i}": v.detach().contiguous().numpy() for i, v in enumerate(inputs) if v is not None
        }
        values = self._sessions[step.name].run(feeds)
        nothing = torch.empty(0)
        return tuple(_tensor(np.asarray(values[n]), n) if n else nothing for n in step.outputs)

    def run(
        self, feeds: Mapping[str, NDArray[Any]], inject: Inject | None = None
    ) -> list[torch.Tensor]:
        """Outputs of the graph on one batch, with ``inject`` applied at every site."""
        walk = Walk(self, feeds, inject)
        for step in self.steps:
            walk.advance(step)
        return walk.results()


@final
class Walk:
    """One run in progress: the values that later nodes still need.

    Two walks advanced side by side compare a float and a quantized network node by node without
    ever holding all tensors of either.
    """

    def __init__(
        self, executor: Executor, feeds: Mapping[str, NDArray[Any]], inject: Inject | None
    ) -> None:
        self.executor = executor
        self.inject = inject
        self.values = dict(executor.constants)
        self.quantized: dict[str, torch.Tensor] = {}
        for name in executor.constants:
            if name not in executor.large:
                self._visit(name)
        for name, array in feeds.items():
            self.values[name] = _tensor(np.asarray(array), name)
            self._visit(name)

    def read(self, step: Step) -> list[torch.Tensor | None]:
        """Inputs of ``step`` as its node sees them."""
        return [
            None if name is None else self._seen(step.name, index, name)
            for index, name in enumerate(step.inputs)
        ]

    def write(self, step: Step, outputs: Sequence[torch.Tensor]) -> None:
        """Store what ``step`` computed, quantize it at a site, forget what nobody reads again."""
        for name, value in zip(step.outputs, outputs, strict=False):
            if name:
                self.values[name] = value
                self._visit(name)
        for name in step.last_reads:
            self.values.pop(name, None)
            for site in self.executor.by_tensor.get(name, ()):
                self.quantized.pop(site.key, None)

    def advance(self, step: Step) -> None:
        """Read, evaluate and write one node."""
        self.write(step, self.executor.evaluate(step, self.read(step)))

    def lay_down(self, names: Iterable[str], walks: int) -> None:
        """Put tensors that wait into files, if so many walks with them are too much."""
        sites = [s.key for n in names for s in self.executor.by_tensor.get(n, ())]
        for values, known in ((self.values, names), (self.quantized, sites)):
            for name in known:
                if name in values and too_large(values[name].nbytes * walks):
                    values[name] = in_file(values[name])

    def results(self) -> list[torch.Tensor]:
        """Outputs of the graph."""
        return [self._seen("", i, name) for i, name in enumerate(self.executor.outputs)]

    def _seen(self, node: str, index: int, name: str) -> torch.Tensor:
        site = self.executor.reader_site(node, index)
        return self.values[name] if site is None else self.at(site, name)

    def at(self, site: Site, name: str) -> torch.Tensor:
        """What readers of a site see; of a large constant it is made anew for each of them."""
        if name in self.executor.large and self.inject is not None:
            return self.inject(site, self.values[name])
        return self.quantized.get(site.key, self.values[name])

    def _visit(self, name: str) -> None:
        if self.inject is not None:
            for site in self.executor.by_tensor.get(name, ()):
                self.quantized[site.key] = self.inject(site, self.values[name])


def _varies(value: ir.Value | None) -> bool:
    return value is not None and is_float(value) and constant(value) is None


def _operator(node: ir.Node, version: int) -> Operator:
    attributes = {name: _python(a) for name, a in node.attributes.items()}
    return Operator(node.op_type, attributes, version, len(node.outputs))


def _python(attribute: ir.Attr) -> Any:
    match attribute.type:
        case ir.AttributeType.TENSOR:
            return attribute.value.numpy()
        case ir.AttributeType.INTS | ir.AttributeType.FLOATS | ir.AttributeType.STRINGS:
            return list(attribute.value)
        case _:
            return attribute.value


def _tensor(array: NDArray[Any], name: str) -> torch.Tensor:
    try:
        return channels_last(torch.from_numpy(np.array(array, order="C")))
    except TypeError as error:
        raise ModelError("M008.array", f"tensor {name!r}", str(array.dtype)) from error


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    """An array that torch takes as it lies; what Ray has sent may not be written to."""
    return array if array.flags.writeable else spilled(array)


def _one_node(node: ir.Node, model: ir.Model) -> ir.Model:
    """The node alone, its inputs renamed ``in0``, ``in1`` ... so that names cannot clash."""
    proto = ir.to_proto(node)
    infos = []
    for index, value in enumerate(node.inputs):
        if value is not None:
            proto.input[index] = f"in{index}"
            dtype = int(value.dtype) if value.dtype is not None else 1
            infos.append(onnx.helper.make_tensor_value_info(f"in{index}", dtype, None))
    outputs = [onnx.ValueInfoProto(name=n) for n in proto.output if n]
    graph = onnx.helper.make_graph([proto], "one_node", infos, outputs)
    opsets = [onnx.helper.make_opsetid(d, v) for d, v in model.opset_imports.items()]
    functions = [
        ir.to_proto(f) for key, f in model.functions.items() if key == node.op_identifier()
    ]
    settings = {"opset_imports": opsets, "ir_version": model.ir_version, "functions": functions}
    return ir.from_proto(onnx.helper.make_model(graph, **settings))
