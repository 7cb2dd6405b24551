"""Outputs and labels in the form that a metric needs, or an error that says what they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lostbits.errors import DataError
from lostbits.metric import Answers

Floats = NDArray[np.float64]


def pair(answers: Answers, metric: str, *axes: int) -> tuple[Floats, Floats]:
    """The first output of the network and of the float one, float64.

    Raises:
        DataError: D048 where it has none of these numbers of axes.
    """
    output, plain = answers.first
    if plain.dtype == object or plain.ndim not in axes:
        form = "samples of unlike shape" if plain.dtype == object else f"shape {plain.shape}"
        wanted = " or ".join(map(str, axes))
        raise DataError("D048.axes", "the first output", form, metric=metric, axes=wanted)
    return output.astype(np.float64), plain.astype(np.float64)


def truth(answers: Answers, metric: str, form: str, *shape: int | None) -> NDArray[Any]:
    """The labels, if they have that shape; None stands for any length.

    Raises:
        DataError: D047 where there are none, or others.
    """
    labels = answers.labels
    if labels is None:
        raise DataError("D047", f"metric {metric}", "no labels", metric=metric, form=form)
    fits = len(labels.shape) == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, labels.shape, strict=True)
    )
    if not fits or (labels.dtype.kind not in "iubf"):
        found = f"{labels.dtype} of shape {labels.shape}"
        raise DataError("D047", "labels", found, metric=metric, form=form)
    return labels
