"""Embeddings: directions, and who is next to whom."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lostbits.errors import DataError
from lostbits.metric import Answers, Metric
from lostbits.metrics.shapes import Floats, pair


@final
@dataclass(frozen=True)
class Cosine(Metric):
    """The mean cosine between the quantized and the float embedding of a sample."""

    name: ClassVar[str] = "cosine"
    title: ClassVar[str] = "mean cosine of quantized and float embedding"
    source: ClassVar[str] = "Salton and McGill 1983"
    kinds: ClassVar[tuple[str, ...]] = ("embedding",)
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    def measure(self, answers: Answers) -> float:
        """Of the first output, all axes of a sample together."""
        output, plain = (_unit(x) for x in pair(answers, self.name, 2, 3, 4))
        return float((output * plain).sum(-1).mean())


@final
@dataclass(frozen=True)
class Retrieval(Metric):
    """Whether each sample finds itself among all: by its quantized embedding, in those of float.

    The mean of 1 / rank (Voorhees 1999): 1 where each is nearest to itself.
    """

    name: ClassVar[str] = "retrieval"
    title: ClassVar[str] = "mean reciprocal rank of a sample's own float embedding"
    source: ClassVar[str] = "Voorhees 1999, TREC-8"
    kinds: ClassVar[tuple[str, ...]] = ("embedding",)

    def measure(self, answers: Answers) -> float:
        """Cosines; samples that are as near count as nearer, unless they are the same in float.

        Raises:
            DataError: D048 for a single sample.
        """
        output, plain = (_unit(x) for x in pair(answers, self.name, 2, 3, 4))
        if len(plain) < 2:
            raise DataError("D048.few", "the samples", "one", metric=self.name)
        near = output @ plain.T
        same = (plain[:, None] == plain[None]).all(-1)
        rank = 1 + ((near >= near.diagonal()[:, None]) & ~same).sum(1)
        return float((1 / rank).mean())


def _unit(x: Floats) -> Floats:
    """Of length one; of zero stays zero."""
    flat = x.reshape(len(x), -1)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.where(length > 0, length, 1.0), np.float64)
