"""The range estimators, by the names that users type."""

from lostbits.errors import TargetError, close_match
from lostbits.estimator import Estimator
from lostbits.estimators.aciq import AciqGauss, AciqLaplace
from lostbits.estimators.enhanced import SnpeEnhanced
from lostbits.estimators.entropy import Entropy
from lostbits.estimators.min_max import MinMax
from lostbits.estimators.mse import MeanSquaredError
from lostbits.estimators.percentile import Percentile

ALL: tuple[Estimator, ...] = (
    MinMax(),
    Percentile(),
    Entropy(),
    MeanSquaredError(),
    AciqLaplace(),
    AciqGauss(),
    SnpeEnhanced(),
)


def estimator(name: str) -> Estimator:
    """Look up a range method.

    Raises:
        TargetError: T002, if there is none of that name.

    >>> estimator("mse")
    MeanSquaredError()
    """
    known = {e.name: e for e in ALL}
    if name not in known:
        where = f"range method {name!r}"
        raise TargetError("T002", where, "no such method", advice=close_match(name, known))
    return known[name]


__all__ = [
    "ALL",
    "AciqGauss",
    "AciqLaplace",
    "Entropy",
    "MeanSquaredError",
    "MinMax",
    "Percentile",
    "SnpeEnhanced",
    "estimator",
]
