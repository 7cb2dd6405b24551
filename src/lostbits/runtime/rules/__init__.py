"""ONNX operators as differentiable torch functions.

A rule takes what it must know of a node and the node's inputs, and returns the outputs; it never
writes to an input. Integers stay integers, and gradients flow wherever they make sense. What a
rule cannot match it refuses with :class:`Unsupported`, so that another back-end can run the node.

>>> import torch
>>> relu = Operator("Relu", attributes={}, opset=17)
>>> RULES["Relu"](relu, [torch.tensor([-1.0, 2.0])])
(tensor([0., 2.]),)
"""

import functools
from collections.abc import Mapping
from types import MappingProxyType

from lostbits.runtime.rules import (
    activation,
    attention,
    constant,
    contributed,
    elementwise,
    index,
    linear,
    logic,
    pad,
    pool,
    recurrent,
    reduce,
    resize,
    sampling,
    shape,
    spectrum,
    spread,
)
from lostbits.runtime.rules import normalization as normalise
from lostbits.runtime.rules.rule import Operator, Outputs, Rule, Unsupported, Values

__all__ = ["RULES", "Operator", "Outputs", "Rule", "Unsupported", "Values"]


def _guarded(rule: Rule) -> Rule:
    """``rule``, with torch's missing kernels (most of them for uint16 to uint64) unsupported."""

    @functools.wraps(rule)
    def guarded(operator: Operator, inputs: Values) -> Outputs:
        try:
            return rule(operator, inputs)
        except NotImplementedError as error:
            raise Unsupported(f"{operator.op_type}: {error}") from error

    return guarded


_FAMILIES = (
    activation,
    attention,
    constant,
    contributed,
    elementwise,
    index,
    linear,
    logic,
    normalise,
    pad,
    pool,
    recurrent,
    reduce,
    resize,
    sampling,
    shape,
    spectrum,
    spread,
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {name: _guarded(rule) for family in _FAMILIES for name, rule in family.RULES.items()}
)
"""Rules by operator type of the default domain; others as ``domain::type``."""
