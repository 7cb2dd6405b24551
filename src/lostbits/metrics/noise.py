"""Noise: what has become of the values themselves, whatever they mean."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lostbits.metric import Answers, Metric


@final
@dataclass(frozen=True)
class Sqnr(Metric):
    """Signal to quantization noise, dB, of the mean of noise over power of the outputs."""

    name: ClassVar[str] = "sqnr"
    title: ClassVar[str] = "signal to quantization noise of the outputs, dB"
    source: ClassVar[str] = "Widrow and Kollar 2008, Quantization Noise"
    range: ClassVar[tuple[float, float]] = (-np.inf, np.inf)

    def measure(self, answers: Answers) -> float:
        """Infinite without any error."""
        ratios = []
        for name, plain in answers.floats.items():
            pairs = zip(_rows(plain), _rows(answers.outputs[name]), strict=True)
            sums = np.array([[(f**2).sum(), ((q - f) ** 2).sum()] for f, q in pairs]).sum(0)
            if sums[0] > 0:
                ratios.append(sums[1] / sums[0])
        noise = float(np.mean(ratios)) if ratios else 0.0
        return -10 * float(np.log10(noise)) if noise > 0 else np.inf


def _rows(values: np.ndarray) -> list[np.ndarray]:
    """Samples one by one, float64; of what is no number nothing."""
    if values.dtype != object and values.dtype.kind != "f":
        return []
    return [np.asarray(row, np.float64) for row in values]
