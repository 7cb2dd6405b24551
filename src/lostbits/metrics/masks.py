"""Masks: segmentations beside those of float, and beside the truth."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from lostbits.metric import Answers, Labels, Metric
from lostbits.metrics.shapes import Floats, pair, truth

_MAPS = "class numbers, one a pixel (samples, height, width); negative ones are left out"


@final
@dataclass(frozen=True)
class MaskIou(Metric):
    """Intersection over union of the masks with those of float, mean over classes that occur.

    Attributes:
        threshold: Above which a map of a single channel is set.
    """

    threshold: float = 0.5
    name: ClassVar[str] = "mask_iou"
    title: ClassVar[str] = "mean intersection over union of masks with those of float"
    source: ClassVar[str] = "Jaccard 1912; Everingham et al. 2010"
    kinds: ClassVar[tuple[str, ...]] = ("image",)

    def measure(self, answers: Answers) -> float:
        """Of the first output, (samples, classes, height, width) or (samples, height, width)."""
        output, plain = (_classes(x, self.threshold) for x in pair(answers, self.name, 3, 4))
        return mean_iou(output, plain)


@final
@dataclass(frozen=True)
class MeanIou(Metric):
    """The same beside the true masks.

    Attributes:
        threshold: Above which a map of a single channel is set.
    """

    threshold: float = 0.5
    name: ClassVar[str] = "miou"
    title: ClassVar[str] = "mean intersection over union of masks with the true ones"
    source: ClassVar[str] = "Everingham et al. 2010"
    kinds: ClassVar[tuple[str, ...]] = ("image",)
    labels: ClassVar[Labels] = "any"

    def measure(self, answers: Answers) -> float:
        """Of the first output; pixels with a negative label do not count."""
        output, _ = pair(answers, self.name, 3, 4)
        found = _classes(output, self.threshold)
        labels = truth(answers, self.name, _MAPS, *found.shape).astype(np.int64)
        known = labels >= 0
        return mean_iou(found[known], labels[known])


def _classes(x: Floats, threshold: float) -> NDArray[np.int64]:
    """The class of every pixel."""
    maps = x[:, 0] if x.ndim == 4 and x.shape[1] == 1 else x
    winners = maps.argmax(1) if maps.ndim == 4 else maps > threshold
    return np.asarray(winners, np.int64)


def mean_iou(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Over the classes of both together; 1 where there are none.

    >>> mean_iou(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    0.5833333333333333
    """
    each = [
        (((found == k) & (wanted == k)).sum()) / (((found == k) | (wanted == k)).sum())
        for k in np.union1d(found, wanted)
    ]
    return float(np.mean(each)) if each else 1.0
