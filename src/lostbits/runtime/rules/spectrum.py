"""Rules of Fourier transforms; complex numbers are pairs along the last axis."""

import torch

from lostbits.runtime.rules.rule import (
    Operator,
    Outputs,
    Rule,
    Unsupported,
    Values,
    given,
    optional,
)

_AXIS_AS_INPUT = 20


def dft(operator: Operator, inputs: Values) -> Outputs:
    """DFT of one axis, cut or filled up with zeros to a length."""
    x, told = given(inputs, 0), optional(inputs, 1)
    axis = _axis(operator, inputs) % x.ndim
    halved, inverse = operator.get("onesided", 0), operator.get("inverse", 0)
    if halved and inverse:
        length = 2 * (x.shape[axis] - 1) if told is None else int(told)
        return (torch.fft.irfft(_complex(x), n=length, dim=axis)[..., None],)
    length = x.shape[axis] if told is None else int(told)
    transform = torch.fft.ifft if inverse else torch.fft.fft
    y = transform(_complex(x), n=length, dim=axis)
    return (torch.view_as_real(y.narrow(axis, 0, length // 2 + 1) if halved else y).contiguous(),)


def _axis(operator: Operator, inputs: Values) -> int:
    if operator.opset < _AXIS_AS_INPUT:
        return int(operator.get("axis", 1))
    told = optional(inputs, 2)
    return -2 if told is None else int(told)


def _complex(x: torch.Tensor) -> torch.Tensor:
    return x[..., 0] if x.shape[-1] == 1 else torch.view_as_complex(x.contiguous())


def stft(operator: Operator, inputs: Values) -> Outputs:
    """DFT of frames of a signal (B, L, 1 or 2), each times a window; (B, frames, bins, 2)."""
    x, window, told = given(inputs, 0), optional(inputs, 2), optional(inputs, 3)
    length = int(told) if told is not None else _length(window, x)
    frames = _complex(x if x.ndim > 2 else x[..., None]).unfold(1, length, int(given(inputs, 1)))
    if window is not None:
        if window.shape[0] != length:
            raise Unsupported("a window of another length")
        frames = frames * window
    y = torch.fft.fft(frames, dim=-1)
    halved = operator.get("onesided", 1)
    return (torch.view_as_real(y[..., : length // 2 + 1] if halved else y).contiguous(),)


def _length(window: torch.Tensor | None, x: torch.Tensor) -> int:
    return x.shape[1] if window is None else window.shape[0]


RULES: dict[str, Rule] = {"DFT": dft, "STFT": stft}
