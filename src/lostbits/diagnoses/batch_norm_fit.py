"""Samples against the running statistics of BatchNormalizations: what training looked like.

A BatchNormalization keeps mean and variance of what entered it while it was trained. Samples that
were prepared otherwise (channels in another order, another scale or centre) give it other ones. The
usual ways of preparing images differently are tried, and the one that fits best is named.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.data import Batch, Source
from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import constant, name_of
from lostbits.results.samples import StatisticsFit
from lostbits.runtime.session import Session

_LAYERS, _SAMPLES, _BATCH = 3, 32, 8
# A few photographs fit within 0.1 nats; what is named must be far from that, and far better.
_POOR, _TIMES = 0.25, 4.0
_LEAST = 1e-12
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet

Floats = NDArray[np.float64]
Change = Callable[[NDArray[Any]], NDArray[Any]]


@final
class _Layer(NamedTuple):
    tensor: str
    mean: Floats
    variance: Floats


def statistics_fit(plain: ir.Model, source: Source) -> StatisticsFit | None:
    """How well samples fit the first BatchNormalizations of a file; None where there are none."""
    layers = _layers(plain)
    if not layers:
        return None
    session = Session(with_outputs(plain, [layer.tensor for layer in layers]))
    few = source.slice(0, min(_SAMPLES, len(source)))
    distances = {
        name: _distance(session, layers, few, change)
        for name, change in {"": _as_they_are, **_changes(plain)}.items()
    }
    own, best = distances[""], min(distances, key=lambda name: distances[name])
    better = best if own > _POOR and distances[best] * _TIMES < own else ""
    return StatisticsFit(own, len(layers), better, distances[better])


def _layers(plain: ir.Model) -> list[_Layer]:
    found = []
    for node in plain.graph:
        if node.op_type == "BatchNormalization" and node.inputs[0] is not None:
            mean, variance = (constant(v) for v in node.inputs[3:5])
            if mean is not None and variance is not None:
                wide = (mean.astype(np.float64), variance.astype(np.float64))
                found.append(_Layer(name_of(node.inputs[0]), *wide))
    return found[:_LAYERS]


def _as_they_are(x: NDArray[Any]) -> NDArray[Any]:
    return x


def _changes(plain: ir.Model) -> Mapping[str, Change]:
    """Ways of preparing images that are often mixed up; for one float input of three channels."""
    value = plain.graph.inputs[0] if len(plain.graph.inputs) == 1 else None
    shape = None if value is None or value.shape is None else tuple(value.shape)
    if shape is None or len(shape) != 4 or value is None or value.dtype is not ir.DataType.FLOAT:
        return {}
    axis = 1 if shape[1] == 3 else 3 if shape[3] == 3 else None
    scales: dict[str, Change] = {
        "divided_by_255": lambda x: x / 255,
        "times_255": lambda x: x * 255,
        "to_minus_one_and_one": lambda x: 2 * x - 1,
        "bytes_to_minus_one_and_one": lambda x: x / 127.5 - 1,
    }
    if axis is None:
        return scales
    along = [1, 1, 1, 1]
    along[axis] = 3
    mean, std = (np.array(v).reshape(along) for v in (_MEAN, _STD))
    return {
        **scales,
        "channels_reversed": lambda x: np.flip(x, axis),
        "imagenet_normalised": lambda x: (x - mean) / std,
        "bytes_imagenet_normalised": lambda x: (x / 255 - mean) / std,
        "imagenet_undone": lambda x: x * std + mean,
        "imagenet_undone_to_bytes": lambda x: 255 * (x * std + mean),
    }


def _distance(session: Session, layers: list[_Layer], source: Source, change: Change) -> float:
    """Median over the layers of the mean divergence of their channels."""
    sums = [np.zeros((3, layer.mean.size)) for layer in layers]
    for part in source.batches(_BATCH):
        values = session.run({name: _like(change(x), x) for name, x in part.feeds.items()})
        more = [_moments(part, values[layer.tensor]) for layer in layers]
        sums = [known + one for known, one in zip(sums, more, strict=True)]
    return float(np.median([_divergence(*pair) for pair in zip(layers, sums, strict=True)]))


def _like(changed: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(changed, x.dtype)


def _moments(part: Batch, values: NDArray[Any]) -> Floats:
    """Count, sum and sum of squares of every channel, shape (3, channels)."""
    x = np.moveaxis(part.real(values).astype(np.float64), 1, 0)
    rows = x.reshape(x.shape[0], -1)
    return np.stack([np.full(len(rows), rows.shape[1]), rows.sum(1), (rows**2).sum(1)])


def _divergence(layer: _Layer, moments: Floats) -> float:
    """Of normal distributions, samples from training, in nats; mean over the channels."""
    count, total, square = moments
    mean = total / count
    variance = np.maximum(square / count - mean**2, _LEAST)
    trained = np.maximum(layer.variance, _LEAST)
    ratio = variance / trained
    return float(np.mean(0.5 * (ratio - 1 - np.log(ratio) + (mean - layer.mean) ** 2 / trained)))
