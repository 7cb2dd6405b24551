"""What came of a recovery, as a message."""

from collections.abc import Sequence

from lostbits.data import Source
from lostbits.language import Message, listed, say
from lostbits.results.recovery import Wider
from lostbits.runtime.metrics import Baseline


def in_words(
    before: Baseline,
    after: Baseline,
    stopped: Message,
    met: bool | None,
    floors: dict[str, float | None],
    wider: Sequence[Wider],
    whole: Source | None,
) -> Message:
    """Before and after, why it ended, what bounds it, and what more bits would give.

    ``floors`` may hold what was ``predicted`` beside what was measured.
    """
    moved = [
        say(f"recovered.{name}", before=form.format(first), after=form.format(last))
        for name, first, last, form in _pairs(before, after)
        if first is not None and last is not None
    ]
    if before.metric is not None and after.metric is not None:
        figures = {
            "before": figure(before.metric.quantized),
            "after": figure(after.metric.quantized),
        }
        moved.insert(0, say("recovered.metric", name=before.metric.name, **figures))
    floor, now = floors["weights_in_float"], after.sqnr_db
    # Rounded weights also make up for what activations lost, so that the float ones may lose.
    bound = floor is not None and now is not None and floor > now
    return say(
        "recovered.text",
        moved=listed(moved) if moved else say("recovered.no_figure"),
        stopped=stopped,
        goal=say("recovered.goal_missed") if met is False else "",
        limit=_rest(
            _limit(f"{floor:.1f}", floors.get("predicted")) if bound else "",
            _wider(wider),
            "" if whole is None else say("recovered.written", count=str(len(whole))),
        ),
    )


def _limit(floor: str, predicted: float | None) -> Message:
    """What the activations leave, measured; and what noise gains have predicted of it."""
    if predicted is None:
        return say("recovered.limit", floor=floor)
    return say("recovered.limit_predicted", floor=floor, predicted=f"{predicted:.1f}")


def _rest(limit: Message | str, wider: Message | str, written: Message | str) -> Message | str:
    """In the gap of the limit, where earlier results have that alone."""
    if not wider and not written:
        return limit
    return say("recovered.rest", limit=limit, wider=wider, written=written)


def _pairs(
    before: Baseline, after: Baseline
) -> Sequence[tuple[str, float | None, float | None, str]]:
    return (
        ("sqnr", before.sqnr_db, after.sqnr_db, "{:.1f}"),
        ("agreement", before.agreement, after.agreement, "{:.1%}"),
        ("accuracy", before.accuracy_quantized, after.accuracy_quantized, "{:.1%}"),
    )


def _wider(wider: Sequence[Wider]) -> Message | str:
    """The figure that counts, with more bits on the first tensors."""
    if not wider:
        return ""
    each = [
        say("recovered.wider_one", count=str(len(w.tensors)), figure=_counted(w.after))
        for w in wider
    ]
    return say("recovered.wider", each=listed(each))


def _counted(found: Baseline) -> str:
    if found.metric is not None:
        return figure(found.metric.quantized)
    if found.accuracy_quantized is not None:
        return f"{found.accuracy_quantized:.1%}"
    return "-" if found.sqnr_db is None else f"{found.sqnr_db:.1f} dB"


def figure(value: float | None) -> str:
    """Of a metric; None where it is infinite."""
    return "∞" if value is None else f"{value:.4g}"
