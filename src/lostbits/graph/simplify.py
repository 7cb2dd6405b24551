"""The reference: the user's network without what an inference engine would fold away."""

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import final

import onnx_ir as ir
from onnx_ir.passes import common

from lostbits.graph.branches import NOTHING_KNOWN, Conditions, inline_branches
from lostbits.graph.channel_affine import Folded, asks_for_ranks, fold_affines
from lostbits.graph.convert_opset import convert_opset
from lostbits.graph.enclose import enclose
from lostbits.graph.ends import declare_ends
from lostbits.graph.fold import fold_constants
from lostbits.graph.inference import infer
from lostbits.graph.padding import fold_paddings
from lostbits.graph.queries import name_of
from lostbits.graph.remove_idle_nodes import remove_dropouts, strip_quantizers
from lostbits.graph.unfuse import unfuse
from lostbits.system.logs import silenced

_NESTED = 32  # levels of functions that are inlined one by one


@final
@dataclass(frozen=True)
class Normalisation:
    """What normalising changed, in counts of nodes.

    Attributes:
        constants: Nodes evaluated once and for all.
        batch_norms: BatchNormalizations folded into a linear layer.
        batch_norms_left: Outputs of those that could not be (none directly before or behind).
        bypassed: Dropout and Identity nodes, and Pad nodes whose zeros a convolution took over.
        quantizers: Q/DQ pairs taken out to get back the float network.
        opset: That of the file, where it was converted to another one; else 0.
        floats: Types of the file other than float32 that were widened to it, or narrowed.
        branches: Ifs whose branch took their place, by name.
        assumed: Those of them whose condition was that of all samples.
        control_flow: Nodes with graphs inside that run as they are, in float, by name.
        fused: Ops of ONNX Runtime's optimizers that were taken apart.
        affines: Mul, Div, Add and Sub of constants per channel folded into a linear layer.
    """

    constants: int = 0
    batch_norms: int = 0
    batch_norms_left: list[str] = field(default_factory=list)
    bypassed: int = 0
    quantizers: int = 0
    opset: int = 0
    floats: list[str] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    control_flow: list[str] = field(default_factory=list)
    fused: int = 0
    affines: int = 0


def without_quantizers(model: ir.Model) -> tuple[ir.Model, int]:
    """A copy in which functions are inlined and no Q/DQ pair is left, and how many there were.

    An output that is listed several times is listed once: one tensor is measured once.

    Every node and tensor has a name of its own in it, and constants are initializers.
    """
    copy = opened(model)
    outputs = list(dict.fromkeys(copy.graph.outputs))
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(outputs)
    return copy, strip_quantizers(copy)


def repeated_outputs(model: ir.Model) -> list[str]:
    """Names of outputs that are listed more than once."""
    counts = Counter(name_of(value) for value in model.graph.outputs)
    return [name for name, count in counts.items() if count > 1]


def opened(model: ir.Model) -> ir.Model:
    """A copy in which functions are inlined, everything has a name, constants are initializers."""
    copy = model.clone()
    _open_dimensions(copy.graph)
    declare_ends(copy.graph)
    with silenced("onnx_ir"):
        _inline(copy)
        common.NameFixPass()(copy)
        common.RemoveInitializersFromInputsPass()(copy)
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(copy)
    return copy


def _inline(model: ir.Model) -> None:
    """Put the bodies of functions in place of their calls, the innermost functions first.

    From the outside, each of n copies of one body would look for a name among those of all copies
    before it: n squared.
    """
    for _ in range(_NESTED):
        outer = [f for f in model.functions.values() if _calls(model, f)]
        inner = set(model.functions) - {function.identifier() for function in outer}
        if not common.InlinePass(partial(_among, inner))(model).modified:
            break
    common.InlinePass()(model)


def _among(keys: set[ir.OperatorIdentifier], function: ir.Function) -> bool:
    return function.identifier() in keys


def _calls(model: ir.Model, function: ir.Function) -> bool:
    return any(node.op_identifier() in model.functions for node in function.all_nodes())


def _open_dimensions(graph: ir.Graph) -> None:
    """Forget dimensions that no tensor can have: -1, and 0 of an input, stand for any length."""
    inputs = set(graph.inputs)
    for value in (*inputs, *graph.outputs, *(o for node in graph for o in node.outputs)):
        if value.shape is not None:
            least = 1 if value in inputs else 0
            impossible = [isinstance(d, int) and d < least for d in value.shape]
            dims = zip(value.shape, impossible, strict=True)
            value.shape = ir.Shape([None if odd else d for d, odd in dims])


def normalise(
    model: ir.Model, *, fold: bool = True, conditions: Conditions = NOTHING_KNOWN
) -> tuple[ir.Model, Normalisation]:
    """Convert the opset, fold constants, channel scales, padding, bypass what does nothing.

    Names stay the user's.

    ``model`` is the result of ``without_quantizers`` and is not changed. Without ``fold``,
    scales and shifts of channels stay, as they do in what some tools quantize. ``conditions`` are
    those of Ifs that the model alone does not settle, by node.
    """
    copy = model.clone()
    opset, branches = convert_opset(copy), inline_branches(copy, conditions)
    control_flow = enclose(copy)
    fused = unfuse(copy)
    bypassed = remove_dropouts(copy)
    constants = fold_constants(copy)
    bypassed += fold_paddings(copy)
    folded = _fold_affines(copy) if fold else Folded(0, 0, [])
    common.RemoveUnusedNodesPass()(copy)
    common.NameFixPass()(copy)
    common.TopologicalSortPass()(copy)
    infer(copy)
    changes = Normalisation(constants, folded.norms, folded.left, bypassed, opset=opset)
    changes = replace(changes, affines=folded.affines, fused=fused)
    return copy, replace(changes, branches=branches, control_flow=control_flow)


def _fold_affines(model: ir.Model) -> Folded:
    """With the ranks of tensors known, where it is they that say what a constant does."""
    if asks_for_ranks(model.graph):
        infer(model)
    return fold_affines(model)
