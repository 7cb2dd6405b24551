"""Attempts of a recovery, told: one line each, and what came of them."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from lostbits.language import Language, Message, listed, say
from lostbits.reporters.lines import pairs, short, table, told
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.recovery import Attempt, Outcome

_NAME = 18  # columns
_SHARES = ("recovery.agreement", "screen.labelled")


def rows(result: Diagnosis, language: Language) -> Iterator[RenderableType]:
    """The ledger; with a column of the user's metric where that decides, and what was done."""
    attempts = result.ledger
    metric = next((a.after.metric.name for a in attempts if a.after.metric is not None), "")
    codes = ("screen.attempt", "recovery.predicted", "recovery.measured", "column.sqnr")
    heads = [told(say(code), language) for code in codes]
    heads += [metric, *(told(say(code), language) for code in _SHARES), ""]
    cells = [_row(attempt, language) for attempt in attempts]
    yield from table(heads, cells, ("left", *["right"] * 6, "left"))  # type: ignore[arg-type]
    notes = [(_name(a, language), Text(told(a.note, language), style="dim")) for a in attempts]
    yield from pairs([note for note in notes if note[1].plain])


def _row(attempt: Attempt, language: Language) -> list[str | Text]:
    after, metric = attempt.after, attempt.after.metric
    word = told(say("recovery.kept" if attempt.kept else "recovery.dropped"), language)
    counted = (
        "" if metric is None else "∞" if metric.quantized is None else f"{metric.quantized:.4g}"
    )
    return [
        _name(attempt, language),
        _gain(attempt.predicted_gain_db),
        _gain(attempt.gain_db),
        _figure(after.sqnr_db, "{:.1f}"),
        counted,
        _figure(after.agreement, "{:.1%}"),
        _figure(after.accuracy_quantized, "{:.1%}"),
        Text(word, style="green" if attempt.kept else "dim"),
    ]


def _name(attempt: Attempt, language: Language) -> str:
    return short(attempt.method, _NAME)


def _gain(value: float) -> str:
    """Decibels with their sign; what rounds to nothing gains nothing.

    >>> _gain(-0.01), _gain(2.0)
    ('+0.0', '+2.0')
    """
    return f"{round(value, 1) + 0.0:+.1f}"


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def ending(result: Diagnosis) -> Message:
    """Why no more was tried, what bounds it, and what more bits would give."""
    outcome = result.recovered
    assert outcome is not None
    parts = outcome.text.figures
    if not {"stopped", "goal", "limit"} <= parts.keys():  # told by an older version
        return outcome.text
    return say("screen.ending", **{name: parts[name] for name in ("stopped", "goal", "limit")})


def added(outcome: Outcome, target: str) -> Message:
    """Nodes that the network has more, and where they run."""
    each = [
        say(
            "screen.ops",
            count=str(ops.count),
            op=ops.op,
            float=say("screen.ops_float", target=target) if ops.in_float else "",
        )
        for ops in outcome.added
    ]
    return listed(each)
