"""Our steps are those of torch's Adam, and importing torch's compiler is not needed for them."""

import subprocess
import sys

import torch
from hypothesis import given
from hypothesis import strategies as st

from lostbits.rounding.adam import Adam


def moved(adam: object, xs: list[torch.Tensor], steps: int) -> None:
    for step in range(steps):
        for number, x in enumerate(xs):
            x.grad = torch.sin(x.detach() * (step + 1) + number)
        adam.step()  # type: ignore[attr-defined]


@given(st.integers(1, 30), st.floats(1e-3, 1.0), st.integers(0, 99))
def test_steps_are_those_of_torch(steps: int, rate: float, seed: int) -> None:
    torch.manual_seed(seed)
    start = [torch.randn(3, 4, dtype=torch.float64), torch.randn(5, dtype=torch.float64)]
    ours, theirs = ([x.clone().requires_grad_() for x in start] for _ in range(2))
    moved(Adam([(ours[0], rate), (ours[1], rate / 2)]), ours, steps)
    groups = [{"params": theirs[:1], "lr": rate}, {"params": theirs[1:], "lr": rate / 2}]
    moved(torch.optim.Adam(groups), theirs, steps)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_tensor_without_a_gradient_stays() -> None:
    x = torch.ones(2, requires_grad=True)
    adam = Adam([(x, 0.1)])
    x.grad = torch.ones(2)
    adam.clear()
    adam.step()
    assert x.tolist() == [1, 1]


def test_learning_does_not_import_the_compiler() -> None:
    line = "import sys, torch; from lostbits.rounding.adam import Adam; x = torch.ones(2)"
    line += (
        "; x.grad = x.clone(); Adam([(x, .1)]).step(); assert 'torch._dynamo' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0
