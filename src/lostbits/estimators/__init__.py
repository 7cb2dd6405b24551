"""The range estimators, by the names that users type."""

from lostbits.estimator import Estimator
from lostbits.estimators.min_max import MinMax

ALL: tuple[Estimator, ...] = (MinMax(),)

__all__ = ["ALL", "MinMax"]
