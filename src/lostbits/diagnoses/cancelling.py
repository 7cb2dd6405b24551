"""Errors that are made to cancel are one entry: a layer's weight and the correction in its bias.

A recovery moves a bias by what the rounding of the layer's weight shifts its output. Either alone
carries many times what both leave together, since on the path from float each is met without the
other half at no point: "+128 %" here and "-127 %" there, where 1 % is left. So they count together.
A bias that only adds to the error is no correction, whatever was meant by it, and stays by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lostbits.case import Case
from lostbits.results.diagnosis import Attribution, NetworkReport

_CANCELS = 0.5  # of the larger of two, that less than it must be left of both


def corrected(case: Case) -> dict[str, str]:
    """Keys of the biases that were written anew, each with the key of its layer's weight."""
    weights = {u.node: s.key for s in case.attributed_sites if s.role == "weight" for u in s.uses}
    return {
        site.key: weights[site.node]
        for site in case.attributed_sites
        if site.role == "bias" and site.tensor in case.written and site.node in weights
    }


def together(network: NetworkReport, *cases: Case) -> NetworkReport:
    """The attribution with one entry for each weight and the corrections that cancel its error.

    Shares sum to what they did; the split stands in the entry's parts.
    """
    pairs = {bias: weight for case in cases for bias, weight in corrected(case).items()}
    return replace(network, attributions=merged(network.attributions, pairs))


def merged(parts: Sequence[Attribution], pairs: Mapping[str, str]) -> list[Attribution]:
    """Entries, largest first, with every bias of ``pairs`` that cancels put to its weight."""
    values: dict[str, float] = {}
    for part in parts:
        values[part.key] = values.get(part.key, 0.0) + part.value
    joined = {b: w for b, w in pairs.items() if _cancel(values.get(w, 0.0), values.get(b, 0.0))}
    heads = set(joined.values())
    groups: dict[str, list[Attribution]] = {}
    for part in parts:
        if (head := joined.get(part.key, part.key)) in heads:
            groups.setdefault(head, []).append(part)
    alone = [part for part in parts if joined.get(part.key, part.key) not in heads]
    found = [*alone, *(_entry(head, group) for head, group in groups.items())]
    return sorted(found, key=lambda part: -abs(part.value))


def _cancel(weight: float, bias: float) -> bool:
    least = _CANCELS * max(abs(weight), abs(bias))
    return bool(weight and bias) and (bias < 0 or abs(weight + bias) < least)


def _entry(head: str, group: Sequence[Attribution]) -> Attribution:
    """The sum, under the name of the weight and the cause that carries most of its own error."""
    own = max((part for part in group if part.key == head), key=lambda part: abs(part.value))
    ranked = sorted(group, key=lambda part: -abs(part.value))
    value, share = (sum(getattr(p, name) for p in ranked) for name in ("value", "share"))
    return replace(own, value=value, share=share, parts=ranked)


def by_cause(entries: Iterable[Attribution]) -> dict[str, dict[str, float]]:
    """Values by site key and cause; a correction counts with its weight."""
    table: dict[str, dict[str, float]] = {}
    for entry in entries:
        causes = table.setdefault(entry.key, {})
        for part in entry.parts or [entry]:
            causes[part.cause] = causes.get(part.cause, 0.0) + part.value
    return table
