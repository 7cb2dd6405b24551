"""Boxes and scores out of the outputs of a detector, and how far boxes overlap."""

from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import DataError
from lostbits.metric import Arrays

Floats = NDArray[np.float64]


@final
class Found(NamedTuple):
    """Detections of one sample, by falling score.

    Attributes:
        boxes: Corners, (detections, 4): x1, y1, x2, y2.
        scores: (detections,).
        classes: (detections,).
    """

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]


def heads(outputs: Arrays, metric: str) -> tuple[Floats, Floats]:
    """Boxes (samples, anchors, 4) and scores (samples, anchors, classes).

    One output that holds both side by side, boxes first, along the shorter of its last two axes; or
    one of four values an anchor, and one of scores.

    Raises:
        DataError: D048.boxes for any other form.
    """
    arrays = [x for x in outputs.values() if x.dtype.kind == "f" and x.ndim == 3]
    rows = [_anchors_first(x.astype(np.float64)) for x in arrays]
    if len(rows) == 1 and rows[0].shape[2] > 4:
        return rows[0][..., :4], rows[0][..., 4:]
    boxes = next((i for i, x in enumerate(rows) if x.shape[2] == 4), None)
    if len(rows) == 2 and boxes is not None and rows[0].shape[1] == rows[1].shape[1]:
        return rows[boxes], rows[1 - boxes]
    found = ", ".join(f"{name} {x.shape}" for name, x in outputs.items())
    raise DataError("D048.boxes", "the outputs", found, metric=metric)


def _anchors_first(x: Floats) -> Floats:
    return x if x.shape[1] >= x.shape[2] else x.transpose(0, 2, 1)


def in_corners(boxes: Floats, scores: Floats, threshold: float) -> bool:
    """Whether boxes are corners, not centre and size: all that score high read as such."""
    live = boxes[scores.max(-1) > threshold]
    return bool(live.size) and bool((live[:, 2:] > live[:, :2]).all())


def detections(
    boxes: Floats, scores: Floats, threshold: float, overlap: float, *, corners: bool
) -> Found:
    """Of one sample: what scores high, without what overlaps a better one of its class.

    Args:
        boxes: (anchors, 4).
        scores: (anchors, classes).
        threshold: Least score.
        overlap: Largest intersection over union that two of a class may have.
        corners: Whether boxes are corners, and not centre and size.
    """
    classes, best = scores.argmax(-1), scores.max(-1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] > threshold]
    corner = boxes if corners else _to_corners(boxes)
    kept: list[int] = []
    for i in order:
        mates = [j for j in kept if classes[j] == classes[i]]
        if not mates or iou(corner[i], corner[mates]).max() < overlap:
            kept.append(int(i))
    return Found(corner[kept], best[kept], classes[kept].astype(np.int64))


def _to_corners(boxes: Floats) -> Floats:
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def iou(box: Floats, others: Floats) -> Floats:
    """Intersection over union of one box with others, corners.

    >>> iou(np.array([0.0, 0, 2, 2]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]]))
    array([0.33333333, 0.        ])
    """
    size = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.clip(size, 0, None).prod(-1)
    union = area(box) + area(others) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def area(boxes: Floats) -> Any:
    """Of boxes of corners; turned ones have none."""
    return np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(-1)


def matched(found: Found, wanted: Found, least: float) -> int:
    """How many of ``wanted`` have one of their own in ``found``: greedily, best scores first."""
    free, count = set(range(len(found.scores))), 0
    for box, kind in zip(wanted.boxes, wanted.classes, strict=True):
        mates = sorted(j for j in free if found.classes[j] == kind)
        overlaps = iou(box, found.boxes[mates]) if mates else np.zeros(0)
        if overlaps.size and overlaps.max() >= least:
            free.remove(mates[int(overlaps.argmax())])
            count += 1
    return count
