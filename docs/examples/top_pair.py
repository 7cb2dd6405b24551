"""A metric: whether the two best classes of float are still the two best, in any order."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lostbits.metric import Answers, Metric


@final
@dataclass(frozen=True)
class TopPair(Metric):
    """Share of samples whose two best classes stay."""

    name: ClassVar[str] = "top_pair"
    title: ClassVar[str] = "share of samples whose two best classes are those of float"
    source: ClassVar[str] = "an example"
    kinds: ClassVar[tuple[str, ...]] = ("classes",)

    def measure(self, answers: Answers) -> float:
        """Along the last axis of the first output."""
        output, plain = (np.sort(x.argsort(-1)[..., -2:], -1) for x in answers.first)
        return float((output == plain).all(-1).mean())


def main() -> None:
    """Two samples, of which the second loses its second class."""
    plain = np.array([[0.1, 0.2, 0.9], [0.5, 0.4, 0.1]], np.float32)
    other = np.array([[0.1, 0.9, 0.8], [0.5, 0.1, 0.4]], np.float32)
    print(f"{TopPair().measure(Answers({'y': other}, {'y': plain}, {})):.2f}")


if __name__ == "__main__":
    main()
