"""Where gradients end: they pass a tensor on their way to a root that keeps none of them."""

from typing import Any, final

import torch


@final
class _Root(torch.autograd.Function):
    """Where gradients end, and are let go; leaves would hold theirs, together a second model."""

    @staticmethod
    def forward(ctx: Any, root: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.zeros(()), None


def rooted(root: torch.Tensor, x: torch.Tensor) -> Any:
    """``x`` as part of the graph that gradients run through; a tensor of its own if it was none.

    Args:
        root: A scalar that requires a gradient, of which it gets zero.
        x: Any tensor.
    """
    return x if x.requires_grad else _Root.apply(root, x)  # type: ignore[no-untyped-call]
