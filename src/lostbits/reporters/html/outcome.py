"""What a page leads with: the figure that decides, before and after, and those beside it."""

from typing import NamedTuple, final

from lostbits.reporters.html import formats
from lostbits.results.diagnosis import Diagnosis
from lostbits.runtime.judged import parted
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.output_figures import PartFigures

_SAID = ("note.rescaled", "note.not_rescaled")  # notes that weaken no figure


@final
class KeyFigure(NamedTuple):
    """One measure of the output, of the network as it came and of the recovered one.

    Attributes:
        kind: ``metric``, ``accuracy``, ``agreement``, ``part``, ``sqnr`` or ``kl``.
        name: Of a user's metric, or of a part of an output; empty for the others, whose names the
            catalogues hold.
        before, after: As text; ``after`` is empty without a recovery.
        plain: Of the float network; empty where it has no figure of its own.
        answers: That a share is of; 0 where it is none.
    """

    kind: str
    name: str
    before: str
    after: str
    plain: str
    answers: int


def key_figures(result: Diagnosis) -> list[KeyFigure]:
    """Those that are known, the one that decides first; all of the same samples.

    A recovery measures both of its networks on the samples that judge. Its figures stand for
    those of the diagnosis, which may be of others.
    """
    outcome = result.recovered
    if outcome is None:
        return _figures(result.baseline, None)
    return _figures(outcome.before, outcome.after)


def _figures(before: Baseline, after: Baseline | None) -> list[KeyFigure]:
    found = [
        _metric(before, after),
        _share("accuracy", before, after, "accuracy_quantized", before.labelled),
        _share("agreement", before, after, "agreement", before.answers),
        _part(before, after),
        KeyFigure("sqnr", "", _db(before), "" if after is None else _db(after), "", 0),
    ]
    if before.kl is not None:
        later = "" if after is None else formats.brief(after.kl)
        found.append(KeyFigure("kl", "", formats.brief(before.kl), later, "", 0))
    return [each for each in found if each is not None]


def _metric(before: Baseline, after: Baseline | None) -> KeyFigure | None:
    """The measure that a user asked for; infinite where nothing is wrong."""
    if (known := before.metric) is None:
        return None
    later = None if after is None else after.metric
    text = "" if later is None else _unbounded(later.quantized)
    first, plain = _unbounded(known.quantized), _unbounded(known.reference)
    return KeyFigure("metric", known.name, first, text, plain, 0)


def _unbounded(value: float | None) -> str:
    return "∞" if value is None else formats.number(value)


def _share(
    kind: str, before: Baseline, after: Baseline | None, name: str, count: int
) -> KeyFigure | None:
    value: float | None = getattr(before, name)
    if value is None:
        return None
    later = "" if after is None else formats.percent(getattr(after, name))
    plain = formats.percent(before.accuracy_float) if kind == "accuracy" else ""
    return KeyFigure(kind, "", formats.percent(value), later, plain, count)


def _part(before: Baseline, after: Baseline | None) -> KeyFigure | None:
    """The part of the outputs that decides, where it lost far more than the whole."""
    pair = parted(before, before if after is None else after)
    if pair is None:
        return None
    later = "" if after is None else _db(pair[1])
    return KeyFigure("part", pair[0].name, _db(pair[0]), later, "", 0)


def _db(figures: Baseline | PartFigures) -> str:
    """An output without any error has no finite SQNR."""
    return "∞" if figures.sqnr_db is None else f"{formats.decibel(figures.sqnr_db)} dB"


def metric_of(figures: Baseline) -> str:
    """A user's metric of an attempt; empty without one."""
    return "" if figures.metric is None else _unbounded(figures.metric.quantized)


def warning(code: str) -> bool:
    """Whether a note weakens a figure, and is no mere remark."""
    return code not in _SAID
