"""The change of the output error, told: who made it, and what became of those."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast, final

from lostbits.diagnoses.cancelling import by_cause, merged
from lostbits.diagnoses.network import Attributed, causes
from lostbits.graph.site import Role
from lostbits.language import Message, listed, say
from lostbits.results.comparison import OutputChange, SideFigures, TensorChange, TensorError, Way
from lostbits.results.diagnosis import Attribution, Cause
from lostbits.results.sites import Standing

OPEN = 0.1  # part of the change that may be missing before shares say nothing
_LEADING, _NAMED = 0.05, 3  # least share of what the text names, and how many of them
_MOVED = 1e-6  # relative, of an end of a range
_FAR = 2.0  # times the change: beyond it entries cancel, and no share of one is a part of it

Causes = Mapping[str, Mapping[str, float]]


@final
class Known(NamedTuple):
    """What of the parameters tells more than the ends of ranges.

    Attributes:
        moved: Tensors whose parameters differ.
        rewritten: Tensors whose constants differ.
    """

    moved: frozenset[str] = frozenset()
    rewritten: frozenset[str] = frozenset()


def along_path(sums: Attributed, pairs: Mapping[str, str]) -> Causes:
    """What each site changes, by cause, from the integral between two plans.

    Args:
        sums: Of ``attributed_change``.
        pairs: Weights of corrected biases; see ``cancelling.corrected``.
    """
    parts: list[Attribution] = []
    for key, kind in sums.sums:
        if kind != "total":
            continue
        values = causes(sums.sums, key)
        parts += [_part(key, cause, value) for cause, value in values.items() if value]
    return by_cause(merged(parts, pairs))


def by_difference(old: SideFigures, new: SideFigures) -> Causes:
    """The same from two attributions from float, which need not be of one network."""
    before, after = ({t.key: t.causes for t in side.tensors} for side in (old, new))
    table: dict[str, dict[str, float]] = {}
    for key in dict.fromkeys([*after, *before]):
        first, last = before.get(key, {}), after.get(key, {})
        moved = {c: last.get(c, 0.0) - first.get(c, 0.0) for c in dict.fromkeys([*last, *first])}
        table[key] = {cause: value for cause, value in moved.items() if value}
    return {key: causes for key, causes in table.items() if causes}


def _part(key: str, cause: Cause, value: float) -> Attribution:
    tensor, _, role = key.rpartition(":")
    return Attribution(tensor, cast("Role", role), cause, value, 0.0)


def residual(causes: Causes, old: SideFigures, new: SideFigures) -> float:
    """What the entries sum to beyond the measured change, as a part of it."""
    change = new.total - old.total
    found = sum(sum(each.values()) for each in causes.values())
    return (found - change) / change if change else 0.0


def output_change(
    old: SideFigures, new: SideFigures, causes: Causes, way: Way, known: Known
) -> OutputChange:
    """The change of the output error in figures and words."""
    change, missing = new.total - old.total, residual(causes, old, new)
    tables = [{t.key: t for t in side.tensors} for side in (old, new)]
    tensors = [
        _tensor(key, (tables[0].get(key), tables[1].get(key)), each, change, known)
        for key, each in causes.items()
    ]
    tensors.sort(key=lambda t: (-abs(t.value), t.tensor, t.role))
    closed = abs(missing) <= OPEN
    text = _text(old, new, tensors, closed=closed)
    return OutputChange(way, new.metric, old.total, new.total, missing, closed, tensors, text)


def _tensor(
    key: str,
    sides: tuple[TensorError | None, TensorError | None],
    causes: Mapping[str, float],
    change: float,
    known: Known,
) -> TensorChange:
    tensor, _, role = key.rpartition(":")
    before, after = (None if side is None else side.standing for side in sides)
    value = sum(causes.values())
    what = _what(tensor, before, after, known)
    share = value / change if change else 0.0
    return TensorChange(tensor, cast("Role", role), before, after, value, share, dict(causes), what)


def _what(tensor: str, before: Standing | None, after: Standing | None, known: Known) -> Message:
    """What became of a tensor, as a part of a sentence."""
    if before is None or after is None:
        if before is None and after is None:
            return say("change.correction", tensor=tensor)
        code = "change.float" if after is None else "change.quantized"
        return say(code, tensor=tensor, grid=(after or before).grid)  # type: ignore[union-attr]
    if before.grid != after.grid:
        return say("change.grid", tensor=tensor, before=before.grid, after=after.grid)
    ends = [(before.lo, after.lo), (before.hi, after.hi)]
    first, last = max(ends, key=lambda end: abs(end[1] - end[0]))
    if abs(last - first) > _MOVED * max(abs(first), abs(last)):
        code = "change.cut" if abs(last) < abs(first) else "change.widened"
        return say(code, tensor=tensor, before=f"{first:.4g}", after=f"{last:.4g}")
    if tensor in known.moved:
        return say("change.scales", tensor=tensor)
    return say("change.constants" if tensor in known.rewritten else "change.same", tensor=tensor)


def _text(
    old: SideFigures, new: SideFigures, tensors: Sequence[TensorChange], *, closed: bool
) -> Message:
    return say("compared.output", moved=_moved(old, new), who=_who(old, new, tensors, closed))


def _moved(old: SideFigures, new: SideFigures) -> Message:
    """How much better or worse the new side is."""
    before, after = old.figures.sqnr_db, new.figures.sqnr_db
    told = {"samples": str(new.samples)}
    if before is None or after is None:
        code = "compared.both_exact" if before == after else "compared.one_exact"
        return say(code, **told)
    told |= {"before": f"{before:.1f}", "after": f"{after:.1f}", "db": f"{abs(after - before):.1f}"}
    if abs(after - before) < 0.05:
        return say("compared.alike", **told)
    return say("compared.better" if after > before else "compared.worse", **told)


def _who(
    old: SideFigures, new: SideFigures, tensors: Sequence[TensorChange], closed: bool
) -> Message:
    """Who made the change, where shares mean something."""
    change = new.total - old.total
    if not change:
        return say("compared.nobody")
    if not closed:
        return say("compared.open")
    most = max((abs(t.share) for t in tensors), default=0.0)
    if most > _FAR:
        gained, lost = (
            sum(t.value for t in tensors if sign * t.value > 0) / (old.total or new.total)
            for sign in (-1, 1)
        )
        return say("compared.cancels", lost=f"{lost:+.0%}", gained=f"{gained:+.0%}")
    leading = [t for t in tensors if t.share >= _LEADING][:_NAMED]
    if not leading:
        return say("compared.many", count=str(len(tensors)))
    rows = [say("compared.part", share=f"{t.share:.0%}", what=t.what) for t in leading]
    return say("compared.leads", parts=listed(rows))
