"""The range estimators, by the names that users type."""

from lostbits.errors import TargetError
from lostbits.estimator import Estimator
from lostbits.estimators.aciq import AciqGauss, AciqLaplace
from lostbits.estimators.enhanced import SnpeEnhanced
from lostbits.estimators.entropy import Entropy
from lostbits.estimators.min_max import MinMax
from lostbits.estimators.mse import MeanSquaredError
from lostbits.estimators.percentile import Percentile
from lostbits.members import Members

ALL: tuple[Estimator, ...] = (
    MinMax(),
    Percentile(),
    Entropy(),
    MeanSquaredError(),
    AciqLaplace(),
    AciqGauss(),
    SnpeEnhanced(),
)


def _unknown(name: str, advice: str) -> TargetError:
    return TargetError("T002", f"range method {name!r}", "no such method", advice=advice)


MEMBERS: Members[Estimator] = Members("lostbits.estimators", Estimator, ALL, _unknown)


def estimator(given: str | Estimator) -> Estimator:
    """The range method of that name; one that is given itself stays as it is.

    Raises:
        TargetError: T002, if there is none of that name.
        MemberError: See ``Members``.

    >>> estimator("mse")
    MeanSquaredError()
    """
    return MEMBERS.find(given)


__all__ = [
    "ALL",
    "MEMBERS",
    "AciqGauss",
    "AciqLaplace",
    "Entropy",
    "MeanSquaredError",
    "MinMax",
    "Percentile",
    "SnpeEnhanced",
    "estimator",
]
