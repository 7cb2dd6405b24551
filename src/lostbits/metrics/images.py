"""Images: how far an image that a network makes is from that of float."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from scipy.ndimage import gaussian_filter

from lostbits.metric import Answers, Metric
from lostbits.metrics.shapes import Floats, pair


@final
@dataclass(frozen=True)
class Psnr(Metric):
    """Peak signal to noise; the peak is the span of each float image.

    Attributes:
        span: Of the values, such as 255; None takes that of each float image.
    """

    span: float | None = None
    name: ClassVar[str] = "psnr"
    title: ClassVar[str] = "peak signal to noise of images against float, dB"
    source: ClassVar[str] = "Huynh-Thu and Ghanbari 2008"
    kinds: ClassVar[tuple[str, ...]] = ("image",)
    range: ClassVar[tuple[float, float]] = (-np.inf, np.inf)

    def measure(self, answers: Answers) -> float:
        """Of the mean square error over all images, relative to their spans; infinite without."""
        output, plain = pair(answers, self.name, 3, 4)
        errors = ((output - plain) ** 2).reshape(len(plain), -1).mean(1) / spans(
            plain, self.span
        ) ** 2
        return -10 * float(np.log10(errors.mean())) if errors.mean() > 0 else np.inf


@final
@dataclass(frozen=True)
class Ssim(Metric):
    """Structural similarity, windows of a Gaussian of 1.5 pixels.

    Attributes:
        span: As for the peak signal to noise.
    """

    span: float | None = None
    name: ClassVar[str] = "ssim"
    title: ClassVar[str] = "structural similarity of images to those of float"
    source: ClassVar[str] = "Wang, Bovik, Sheikh and Simoncelli 2004"
    kinds: ClassVar[tuple[str, ...]] = ("image",)
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def measure(self, answers: Answers) -> float:
        """The mean over images, channels and positions; the last two axes are the image."""
        output, plain = pair(answers, self.name, 3, 4)
        shape = (-1, *(1,) * (plain.ndim - 1))
        first, second = ((k * spans(plain, self.span).reshape(shape)) ** 2 for k in (0.01, 0.03))
        means = [_blurred(x) for x in (plain, output)]
        spread = [_blurred(x**2) - m**2 for x, m in zip((plain, output), means, strict=True)]
        mixed = _blurred(plain * output) - means[0] * means[1]
        light = (2 * means[0] * means[1] + first) / (means[0] ** 2 + means[1] ** 2 + first)
        return float((light * (2 * mixed + second) / (spread[0] + spread[1] + second)).mean())


def spans(images: Floats, given: float | None) -> Floats:
    """From the least to the largest value of each; 1 for a constant one."""
    flat = images.reshape(len(images), -1)
    own = np.ptp(flat, axis=1) if given is None else np.full(len(images), given)
    return np.asarray(np.where(own > 0, own, 1.0), np.float64)


def _blurred(images: Floats) -> Floats:
    sigma = (0.0,) * (images.ndim - 2) + (1.5, 1.5)
    return np.asarray(gaussian_filter(images, sigma, truncate=3.5), np.float64)
