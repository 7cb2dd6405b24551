"""Functions of the gates of recurrent ops, as their attributes name them."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn import functional

from lostbits.runtime.rules.rule import Operator, Unsupported

Gate = Callable[[torch.Tensor], torch.Tensor]
_Numbers = tuple[float, ...]  # defaults of alpha and beta, as many as a function takes
_Function = Callable[..., torch.Tensor]

_FUNCTIONS: dict[str, tuple[_Function, _Numbers]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, (1.0, 0.0)),
    "elu": (functional.elu, (1.0,)),
    "hardsigmoid": (lambda x, alpha, beta: functional.hardtanh(alpha * x + beta, 0, 1), (0.2, 0.5)),
    "leakyrelu": (functional.leaky_relu, (0.01,)),
    "relu": (torch.relu, ()),
    "scaledtanh": (lambda x, alpha, beta: alpha * torch.tanh(beta * x), (1.0, 1.0)),
    "sigmoid": (torch.sigmoid, ()),
    "softplus": (functional.softplus, ()),
    "softsign": (functional.softsign, ()),
    "tanh": (torch.tanh, ()),
    "thresholdedrelu": (lambda x, alpha: functional.threshold(x, alpha, 0), (1.0,)),
}


def gates(operator: Operator, default: Sequence[str], directions: int) -> list[Gate]:
    """The functions of a node's gates; each takes all directions at once, (D, B, H).

    ``activation_alpha`` and ``activation_beta`` hold the numbers of those functions that take one,
    one after the other.
    """
    names = list(operator.get("activations") or [*default] * directions)
    if len(names) != len(default) * directions:
        raise Unsupported(f"{len(names)} activations for {directions} directions")
    numbers = [iter(operator.get(f"activation_{n}") or []) for n in ("alpha", "beta")]
    functions = [_function(name, numbers) for name in names]
    each = [functions[i :: len(default)] for i in range(len(default))]
    named = [names[i :: len(default)] for i in range(len(default))]
    return [_joined(f, n) for f, n in zip(each, named, strict=True)]


def _function(name: str, numbers: Sequence[Iterator[float]]) -> Gate:
    if name.lower() not in _FUNCTIONS:
        raise Unsupported(f"activation {name!r}")
    function, defaults = _FUNCTIONS[name.lower()]
    given = [next(n, d) for n, d in zip(numbers, defaults, strict=False)]
    return lambda x: function(x, *given)


def _joined(functions: Sequence[Gate], names: Sequence[str]) -> Gate:
    """One function of all directions."""
    if len(functions) == 1 or {n.lower() for n in names} <= {"sigmoid"}:
        return functions[0]
    if len({n.lower() for n in names}) == 1 and not _FUNCTIONS[names[0].lower()][1]:
        return functions[0]
    return lambda x: torch.stack([f(part) for f, part in zip(functions, x, strict=True)])
