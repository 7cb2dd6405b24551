"""The metrics, by the names that users type; see ``lostbits.metric`` for what one is."""

from collections.abc import Callable
from typing import Any, cast

from lostbits.data.callables import imported, is_target
from lostbits.errors import TargetError
from lostbits.members import Members
from lostbits.metric import Custom, Metric
from lostbits.metrics.classes import Accuracy, Agreement, Divergence, TopFive
from lostbits.metrics.detections import Matched, MeanAveragePrecision
from lostbits.metrics.embeddings import Cosine, Retrieval
from lostbits.metrics.images import Psnr, Ssim
from lostbits.metrics.masks import MaskIou, MeanIou
from lostbits.metrics.noise import Sqnr
from lostbits.metrics.sequences import Characters, CtcAgreement, Words

ALL: tuple[Metric, ...] = (
    Sqnr(),
    Agreement(),
    Divergence(),
    Cosine(),
    Retrieval(),
    Psnr(),
    Ssim(),
    MaskIou(),
    Matched(),
    CtcAgreement(),
    Accuracy(),
    TopFive(),
    MeanIou(),
    MeanAveragePrecision(),
    Characters(),
    Words(),
)


def _unknown(name: str, advice: str) -> TargetError:
    return TargetError("T007", f"metric {name!r}", "no such metric", advice=advice)


MEMBERS: Members[Metric] = Members("lostbits.metrics", Metric, ALL, _unknown)


def metric(given: str | Metric | Callable[..., Any]) -> Metric:
    """The metric of that name, of a function of the user's, or as it is.

    A function may have an attribute ``loss``: see ``metric.Custom``.

    Raises:
        TargetError: T007 for a name that nothing has.
        DataError: D016 for a function that is not there.
        MemberError: See ``Members``.

    >>> metric("cosine")
    Cosine()
    """
    if isinstance(given, str) and is_target(given):
        function = imported(given)
        return Custom(function, given, _loss(function))
    if isinstance(given, str | Metric):
        return MEMBERS.find(given)
    if isinstance(given, type) or not callable(given):
        return MEMBERS.find(cast(Metric, given))  # which says what it takes
    return Custom(given, getattr(given, "__name__", type(given).__name__), _loss(given))


def _loss(function: Callable[..., Any]) -> Callable[..., Any] | None:
    loss = getattr(function, "loss", None)
    return loss if callable(loss) else None


__all__ = [
    "ALL",
    "MEMBERS",
    "Accuracy",
    "Agreement",
    "Characters",
    "Cosine",
    "CtcAgreement",
    "Divergence",
    "MaskIou",
    "Matched",
    "MeanAveragePrecision",
    "MeanIou",
    "Psnr",
    "Retrieval",
    "Sqnr",
    "Ssim",
    "TopFive",
    "Words",
    "metric",
]
