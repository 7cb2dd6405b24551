"""What a converter makes of a file of encodings: what it passes over, and what it plans itself."""

from collections.abc import Collection
from dataclasses import replace

from lostbits.case import Case
from lostbits.foreign.graph_doubts import some
from lostbits.foreign.match_names import PLATFORMS, Match
from lostbits.grid import Affine
from lostbits.language import Message, say
from lostbits.plan.ranges import plan_biases
from lostbits.reader import Parameters
from lostbits.target import Target

_FORMAT = "encodings"
_SILENT = say("match.not_in_file").code


def fills_gaps(parameters: Parameters, target: Target) -> bool:
    """Whether the target's converter quantizes what the file says nothing about."""
    return parameters.format == _FORMAT and target.name in PLATFORMS[_FORMAT]


def without_misplaced(found: Match, misplaced: Collection[str]) -> Match:
    """The match without entries that stand where the converter does not look for them."""
    keys = {key for key, tensor in found.origin.items() if tensor in misplaced}
    missing = {**found.missing, **dict.fromkeys(keys, say("match.not_in_file"))}
    unmatched = {**found.unmatched, **dict.fromkeys(misplaced, say("match.misplaced"))}
    plan = {key: affine for key, affine in found.plan.items() if key not in keys}
    origin = {key: tensor for key, tensor in found.origin.items() if key not in keys}
    return Match(plan, unmatched, missing, origin)


def filled(found: Match, case: Case) -> Match:
    """The match, where sites that the file does not name have what the target's rules plan."""
    silent = {key for key, why in found.missing.items() if why.code == _SILENT}
    sites = [site for site in case.placed.sites if site.key in silent]
    groups = {s.group: found.plan[s.key] for s in case.sites if s.streams and s.key in found.plan}
    own: dict[str, Affine] = {}
    for site in sites:
        shared = groups.get(site.group) if site.streams else None
        if shared is not None or site.key in case.plan:
            own[site.key] = shared if shared is not None else case.plan[site.key]
    plan = {**own, **found.plan}
    biases = plan_biases(case.model, case.placed, plan, case.target)
    plan |= {key: affine for key, affine in biases.items() if key in own}
    missing = {key: why for key, why in found.missing.items() if key not in own}
    return replace(found, plan=plan, missing=missing, filled=tuple(own))


def note_of_gaps(found: Match, case: Case) -> list[Message]:
    """A note of activations that the converter takes ranges of its own for, if there are any."""
    keys = set(found.filled)
    names = list(dict.fromkeys(s.tensor for s in case.sites if s.streams and s.key in keys))
    if not names:
        return []
    figures = {"count": str(len(names)), "names": some(names), "target": case.target.name}
    return [say("plan.filled", **figures)]
