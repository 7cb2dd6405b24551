"""Which of the hypotheses explains a deviation; none is an answer too."""

from collections.abc import Iterable, Sequence

from lostbits.language import say
from lostbits.results.dumps import DumpDeviation
from lostbits.verification import layer_hypotheses as layers
from lostbits.verification import value_hypotheses as values
from lostbits.verification.dump_trace import Figures
from lostbits.verification.evidence import Evidence
from lostbits.verification.trace import ONE
from lostbits.verification.value_hypotheses import Hypothesis

_EXPLAINS = 0.98  # part of the values that a hypothesis gives to the code
_NEARLY = 0.995  # part that it gives within one code, where the deviation is of several
_EQUAL = 0.004  # parts that are no reason to prefer a hypothesis that is less simple
_LEAST = 0.5  # of what is not explained without it


def explained(evidence: Evidence, figures: Figures) -> DumpDeviation:
    """The deviation of one tensor with the simplest hypothesis that explains it."""
    before = evidence.explained(evidence.planned), evidence.near(evidence.planned)
    found = _best(_all(evidence, figures), *before)
    if found is None and figures.own > ONE:  # a fit has many numbers to choose
        found = _best(list(layers.other_weights(evidence)), *before)
    if found is None and figures.own <= ONE:
        share = f"{figures.own_share:.2%}"
        found = Hypothesis("single_codes", *before, say("dump.single_codes", share=share))
    if found is None:
        found = Hypothesis("unexplained", *before, say("dump.unexplained"))
    return _deviation(evidence, figures, found)


def _all(evidence: Evidence, figures: Figures) -> list[Hypothesis]:
    """What of each kind explains most, the simplest kinds first."""
    turn, activation, accumulator, axis, bias = layers.every(evidence, figures.turned)
    groups: Sequence[Iterable[Hypothesis]] = (
        values.in_float(evidence),
        turn,
        values.shifted(evidence),
        values.other_ends(evidence),
        activation,
        values.rounding(evidence),
        bias,
        axis,
        accumulator,
        values.multiplier(evidence),
        values.other_scale(evidence),
    )
    found = [list(group) for group in groups]
    return [max(each, key=lambda h: (h.explained, h.near)) for each in found if each]


def _best(found: Sequence[Hypothesis], exact: float, near: float) -> Hypothesis | None:
    """The first of those that explain as much as the best one does."""
    good = [h for h in found if _explains(h, exact, near)]
    if not good:
        return None
    most = max(h.explained for h in good)
    return next(h for h in good if h.explained >= most - _EQUAL)


def _explains(found: Hypothesis, exact: float, near: float) -> bool:
    """Whether hardly anything is left, and much was to be explained.

    A device that has a fault may round single codes otherwise as well.
    """
    if found.explained >= _EXPLAINS and 1 - found.explained <= _LEAST * (1 - exact):
        return True
    return near < _EXPLAINS and found.near >= _NEARLY


def _deviation(evidence: Evidence, figures: Figures, found: Hypothesis) -> DumpDeviation:
    tap, share = evidence.tap, figures.differing / max(figures.values, 1)
    words = {"codes": f"{figures.codes:.0f}", "own": f"{figures.own:.0f}"}
    words |= {"tensor": tap.tensor, "share": f"{share:.2%}"}
    return DumpDeviation(
        tensor=tap.tensor,
        node=tap.nodes[-1] if tap.nodes else "",
        codes=figures.codes,
        share=share,
        own_codes=figures.own,
        explanation=found.explanation,
        explained=found.explained,
        text=say("deviation.text", why=found.text, **words),
    )
