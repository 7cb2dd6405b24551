"""Rules of spectra, of values between pixels and of values put back, against ONNX Runtime."""

from typing import Any

import numpy as np
import pytest
import torch

from lostbits.runtime.rules import RULES, Operator
from rule_runs import apply, noise, onnx_runtime

MAP, PLACES = noise(2, 4, 5, 6), np.tanh(noise(2, 3, 4, 2, seed=1))
SOUND, WINDOW = noise(2, 40, 1), np.hanning(8).astype(np.float32)
STEP, LENGTH = np.array(3), np.array(8)
KERNELS, ASIDE, SHARES = noise(6, 2, 3, 3, seed=2), noise(2, 36, 5, 6, seed=3), noise(2, 18, 5, 6)
REGIONS = np.array([[0.5, 0.2, 4.1, 3.7], [2, 1, 5.5, 4.9], [-3, 0, 1, 2]], np.float32)
PICTURES = np.array([0, 1, 1])
DEFORMED = {"group": 2, "offset_group": 2, "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
BIAS = noise(6)
DOUBLED = {"kernel_shape": [2, 2], "strides": [2, 2]}
BINS = {"output_height": 2, "output_width": 3, "spatial_scale": 0.9}

FORMS: list[tuple[Any, ...]] = [
    ("DFT", [SOUND, None, np.array(1)], {}, 20),
    ("DFT", [SOUND, np.array(32)], {"axis": 1, "onesided": 1}, 17),
    ("DFT", [noise(2, 9, 2)], {"axis": 1, "inverse": 1}, 17),
    ("STFT", [SOUND, STEP, WINDOW], {}, 17),
    ("STFT", [SOUND, STEP, None, LENGTH], {"onesided": 0}, 17),
    ("GridSample", [MAP, PLACES], {"mode": "linear"}, 20),
    ("GridSample", [MAP, 1.4 * PLACES], {"padding_mode": "border", "align_corners": 1}, 16),
    ("GridSample", [MAP, 1.4 * PLACES], {"mode": "cubic", "padding_mode": "reflection"}, 20),
    ("DeformConv", [MAP, KERNELS, ASIDE, BIAS, SHARES], DEFORMED, 19),
    ("DeformConv", [MAP, KERNELS, ASIDE[:, :, :3, :3]], {**DEFORMED, "strides": [2, 2]}, 19),
    ("RoiAlign", [MAP, REGIONS, PICTURES], {**BINS, "sampling_ratio": 2}, 16),
    ("RoiAlign", [MAP, REGIONS, PICTURES], BINS, 16),
    ("RoiAlign", [MAP, REGIONS, PICTURES], BINS, 10),
    ("Col2Im", [noise(2, 8, 12), np.array([4, 5]), np.array([2, 2])], {}, 18),
    ("MaxUnpool", [MAP[:1], np.arange(120).reshape(1, 4, 5, 6) * 4], DOUBLED, 11),
    ("Compress", [MAP, np.array([True, False, True])], {"axis": 1}, 11),
    ("ReverseSequence", [MAP, np.array([3, 1])], {"batch_axis": 0, "time_axis": 1}, 10),
    ("ReverseSequence", [MAP, np.array([2, 1, 1, 2])], {}, 10),
    ("Shrink", [MAP], {"lambd": 0.4, "bias": 0.1}, 9),
    ("Swish", [MAP], {"alpha": 1.3}, 24),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f[0])
def test_rules_are_those_of_onnx_runtime(form: tuple[Any, ...]) -> None:
    op, inputs, attributes, opset = form
    (found,) = apply(op, inputs, attributes, opset=opset)
    (wanted,) = onnx_runtime(op, inputs, attributes, opset=opset)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f[0])
def test_gradients_are_the_numeric_ones(form: tuple[Any, ...]) -> None:
    op, (first, *others), attributes, opset = form
    more = [None if x is None else torch.from_numpy(np.asarray(x)) for x in others]
    wide = [x.double() if x is not None and x.is_floating_point() else x for x in more]

    def run(x: torch.Tensor) -> torch.Tensor:
        return RULES[op](Operator(op, attributes, opset), [x, *wide])[0]

    x = torch.from_numpy(first).double().requires_grad_()
    assert torch.autograd.gradcheck(run, (x,), fast_mode=True)
