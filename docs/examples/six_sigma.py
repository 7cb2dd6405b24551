"""A range method: six standard deviations to both sides of the mean."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from lostbits.estimator import RowEstimator
from lostbits.grid import Grid, Range, affine_from_range
from lostbits.statistics import Histogram


@final
@dataclass(frozen=True)
class SixSigma(RowEstimator):
    """``[mean - 6 s, mean + 6 s]``, limited to the exact extremes, and always holding zero.

    Attributes:
        reach: Standard deviations to each side.
    """

    name: ClassVar[str] = "six_sigma"
    title: ClassVar[str] = "six standard deviations"
    reach: float = 6.0

    def row(self, seen: Histogram, grid: Grid, *, symmetric: bool) -> Range:
        """The clipped range; neither grid nor symmetry plays a part."""
        middles = (seen.edges[0, 1:] + seen.edges[0, :-1]) / 2
        counts, zeros = seen.live[0], int(seen.zeros[0])  # exact zeros are counted apart
        size = max(seen.size, 1)
        mean = float(counts @ middles) / size
        squares = float(counts @ (middles - mean) ** 2) + zeros * mean**2
        reach = self.reach * (squares / size) ** 0.5
        lo, hi = max(float(seen.lo[0]), mean - reach), min(float(seen.hi[0]), mean + reach)
        return Range(min(lo, 0.0), max(hi, 0.0))


def main() -> None:
    """Compare it with the extremes, on a Gaussian with an outlier."""
    x = np.r_[np.random.default_rng(0).normal(size=100_000), 40.0].astype(np.float32)
    seen = Histogram(x.min(keepdims=True), x.max(keepdims=True)).update(x)
    int4 = Grid.of(4, signed=True)
    found = SixSigma()(seen, int4, symmetric=True)
    for name, (lo, hi) in (("extremes", (x.min(), x.max())), ("six sigma", found)):
        error = affine_from_range(lo, hi, int4, symmetric=True).fake_quantize(x) - x
        print(f"{name:9}  up to {hi:5.2f}  mean square error {np.square(error).mean():.3f}")


if __name__ == "__main__":
    main()
