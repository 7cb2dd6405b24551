"""Errors that are made to cancel are one entry: a layer's weight and the correction in its bias.

A recovery moves a bias by what the rounding of the layer's weight shifts its output. Either alone
carries many times what both leave together, since no point of the path from float has one without
the other: "+128 %" here and "-127 %" there, where 1 % is left. So they count together, under the
name of the weight; under that of the bias where it is the correction that adds to the error, as a
wrong one does, or one that fits other samples.
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
    """The attribution with one entry for each weight and the correction in its bias.

    Shares sum to what they did; the split stands in the entry's parts.
    """
    pairs = {bias: weight for case in cases for bias, weight in corrected(case).items()}
    return replace(network, attributions=merged(network.attributions, pairs))


def merged(parts: Sequence[Attribution], pairs: Mapping[str, str]) -> list[Attribution]:
    """Entries, largest first, with every bias of ``pairs`` put to its weight."""
    keys = {part.key for part in parts}
    joined = {b: w for b, w in pairs.items() if {b, w} <= keys}
    joined |= {weight: weight for weight in joined.values()}
    groups: dict[str, list[Attribution]] = {}
    for part in parts:
        if part.key in joined:
            groups.setdefault(joined[part.key], []).append(part)
    alone = [part for part in parts if part.key not in joined]
    found = [*alone, *map(_entry, groups.values())]
    return sorted(found, key=lambda part: -abs(part.value))


def _entry(group: Sequence[Attribution]) -> Attribution:
    """The sum, under the name of the part that adds most of it."""
    ranked = sorted(group, key=lambda part: -abs(part.value))
    weights, biases = ([p for p in ranked if (p.role == "bias") is own] for own in (False, True))
    adds = sum(p.value for p in biases) > abs(sum(p.value for p in weights))
    value, share = (sum(getattr(p, name) for p in ranked) for name in ("value", "share"))
    return replace((biases if adds else weights)[0], value=value, share=share, parts=ranked)


def by_cause(entries: Iterable[Attribution]) -> dict[str, dict[str, float]]:
    """Values by site key and cause; a correction counts with its weight."""
    table: dict[str, dict[str, float]] = {}
    for entry in entries:
        causes = table.setdefault(entry.key, {})
        for part in entry.parts or [entry]:
            causes[part.cause] = causes.get(part.cause, 0.0) + part.value
    return table
