"""Detections: boxes and scores beside those of float, and beside the truth."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from lostbits.errors import DataError
from lostbits.metric import Answers, Labels, Metric
from lostbits.metrics.boxes import Found, detections, heads, in_corners, matched
from lostbits.metrics.shapes import truth

_BOXES = "boxes (samples, boxes, 5): class, x1, y1, x2, y2; rows of class -1 fill up"
_LARGEST = 1e10  # side of the largest square; COCO's own unit is the pixel


@final
@dataclass(frozen=True)
class Matched(Metric):
    """Detections that float makes too: the F1 of both lists, matched greedily at an overlap of 0.5.

    Attributes:
        threshold: Least score.
        suppression: Overlap above which the weaker of two detections of a class is left out.
        overlap: Least intersection over union of a match.
        corners: Whether boxes are corners, not centre and size; None looks at float's.
    """

    threshold: float = 0.25
    suppression: float = 0.7
    overlap: float = 0.5
    corners: bool | None = None
    name: ClassVar[str] = "matched"
    title: ClassVar[str] = "F1 of the detections against those of float, at an overlap of 0.5"
    source: ClassVar[str] = "greedy matching as in Everingham et al. 2010"
    kinds: ClassVar[tuple[str, ...]] = ("detections",)

    def measure(self, answers: Answers) -> float:
        """1 where neither finds anything."""
        plain = heads(answers.floats, self.name)
        corners = self.corners
        if corners is None:
            corners = in_corners(*plain, self.threshold)
        settings = self.threshold, self.suppression, corners
        found, wanted = _all(heads(answers.outputs, self.name), *settings), _all(plain, *settings)
        pairs = zip(found, wanted, strict=True)
        hits = sum(matched(f, w, self.overlap) for f, w in pairs)
        whole = sum(len(one.scores) for one in (*found, *wanted))
        return 2 * hits / whole if whole else 1.0


@final
@dataclass(frozen=True)
class MeanAveragePrecision(Metric):
    """Mean average precision over overlaps from 0.5 to 0.95, by the COCO programs.

    Attributes:
        threshold: Least score.
        suppression: Overlap above which the weaker of two detections of a class is left out.
        corners: Whether boxes are corners, not centre and size; None looks at float's.
    """

    threshold: float = 0.001
    suppression: float = 0.7
    corners: bool | None = None
    name: ClassVar[str] = "map"
    title: ClassVar[str] = "mean average precision, overlaps 0.5 to 0.95 (needs lostbits[metrics])"
    source: ClassVar[str] = "Lin et al. 2014, arXiv:1405.0312; pycocotools"
    kinds: ClassVar[tuple[str, ...]] = ("detections",)
    labels: ClassVar[Labels] = "any"

    def measure(self, answers: Answers) -> float:
        """Of boxes in the unit of the outputs.

        Raises:
            DataError: D049 where pycocotools is not installed.
        """
        plain = heads(answers.floats, self.name)
        labels = truth(answers, self.name, _BOXES, len(plain[0]), None, 5).astype(np.float64)
        corners = in_corners(*plain, 0.25) if self.corners is None else self.corners
        found = _all(heads(answers.outputs, self.name), self.threshold, self.suppression, corners)
        return average_precision(found, labels, plain[1].shape[-1])


def _all(head: tuple[Any, Any], threshold: float, overlap: float, corners: bool) -> list[Found]:
    pairs = zip(*head, strict=True)
    return [detections(b, s, threshold, overlap, corners=corners) for b, s in pairs]


def average_precision(found: Sequence[Found], labels: Any, classes: int) -> float:
    """COCO's AP of the classes that occur.

    Args:
        found: Detections, sample by sample.
        labels: Boxes, as the metric takes them.
        classes: That the network tells apart.

    Raises:
        DataError: D047 for a class that the network has not, or no box at all; D049 without
            pycocotools.
    """
    try:
        from pycocotools.coco import COCO  # noqa: PLC0415 - optional
        from pycocotools.cocoeval import COCOeval  # noqa: PLC0415 - optional
    except ImportError as error:
        raise DataError("D049", "metric map", str(error), extra="metrics") from error
    wanted = [_truth(i, row) for i, rows in enumerate(labels) for row in rows if row[0] >= 0]
    if not wanted or max(w["category_id"] for w in wanted) >= classes:
        found_ = "no box" if not wanted else f"a class of {classes} or above"
        raise DataError("D047", "labels", found_, metric="map", form=_BOXES)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(found))],
            "categories": [{"id": k} for k in range(classes)],
            "annotations": [{**w, "id": i} for i, w in enumerate(wanted, 1)],
        }
        coco.createIndex()
        rows = [
            _detection(i, *each) for i, one in enumerate(found) for each in zip(*one, strict=True)
        ]
        if not rows:
            return 0.0
        judge = COCOeval(coco, coco.loadRes(rows), "bbox")
        judge.params.areaRng = [[0, _LARGEST**2]]
        judge.params.areaRngLbl = ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"]  # overlaps, recalls, classes, areas, most detections
    known = precision[..., 0, -1]
    return float(known[known > -1].mean()) if (known > -1).any() else 0.0


def _truth(image: int, row: Any) -> dict[str, Any]:
    box = _corner_and_size(row[1:])
    size = {"bbox": box, "area": box[2] * box[3], "iscrowd": 0}
    return {"image_id": image, "category_id": int(row[0]), **size}


def _detection(image: int, box: Any, score: float, kind: int) -> dict[str, Any]:
    placed = {"image_id": image, "category_id": int(kind)}
    return {**placed, "score": float(score), "bbox": _corner_and_size(box)}


def _corner_and_size(box: Any) -> list[float]:
    return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]
