"""Rules of operators that make tensors out of attributes and shapes."""

import torch

from lostbits.runtime.rules.rule import Operator, Outputs, Rule, Unsupported, Values, given

_PLAIN = {
    "value_float": torch.float32,
    "value_floats": torch.float32,
    "value_int": torch.int64,
    "value_ints": torch.int64,
}


def constant(operator: Operator, inputs: Values) -> Outputs:
    """Constant, of tensors and numbers."""
    ((name, value),) = operator.attributes.items()
    if name == "value":
        return (torch.tensor(value),)
    if name not in _PLAIN:
        raise Unsupported(f"Constant with {name}")
    return (torch.tensor(value, dtype=_PLAIN[name]),)


def constant_of_shape(operator: Operator, inputs: Values) -> Outputs:
    """ConstantOfShape, zeros by default."""
    value = torch.tensor(operator.get("value", [0.0]))
    return (torch.full(given(inputs, 0).tolist(), value.item(), dtype=value.dtype),)


def range_(operator: Operator, inputs: Values) -> Outputs:
    """Range from start to before limit."""
    start, limit, delta = (given(inputs, i) for i in range(3))
    if not start.is_floating_point():
        whole = range(int(start.item()), int(limit.item()), int(delta.item()))
        return (torch.tensor(list(whole), dtype=start.dtype),)
    steps = torch.ceil((limit.double() - start.double()) / delta.double())
    return (start + delta * torch.arange(max(int(steps.item()), 0), dtype=start.dtype),)


RULES: dict[str, Rule] = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Range": range_,
}
