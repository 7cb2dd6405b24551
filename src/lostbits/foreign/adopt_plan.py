"""Somebody else's quantization, taken as it is: ``diagnose --plan``.

Parameters come from the file, and so do its constants where they are not the nearest rounding of
the float model's. Whether the case that is made of them is the file's network is measured, not
assumed: the file is run, where it can be run, and the distance is part of the result.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case, constant_of, look_at_constants
from lostbits.data import Source
from lostbits.diagnoses.judgement import judged_by_file
from lostbits.diagnoses.result import QUANTIZERS as _QUANTIZERS
from lostbits.errors import ReadError
from lostbits.foreign.converter_ranges import (
    filled,
    fills_gaps,
    note_of_gaps,
    without_misplaced,
)
from lostbits.foreign.cost_of_faults import (
    Anew,
    Mistake,
    finding,
    mistakes_of,
    placed_first,
    planned_anew,
)
from lostbits.foreign.file import Foreign, candidates
from lostbits.foreign.graph_doubts import doubts_of_quantizers
from lostbits.foreign.known_faults import misplaced, suspicions_of_data, suspicions_of_graph
from lostbits.foreign.match_names import (
    IDLE,
    Match,
    best_target,
    match,
    without_doubled,
    without_folded,
    without_idle,
)
from lostbits.foreign.node_doubts import doubts_of_nodes
from lostbits.foreign.other_names import renaming
from lostbits.foreign.own_run import OwnRun, run_beside
from lostbits.foreign.target_checks import doubts_of_target
from lostbits.foreign.weight_doubts import doubts_of_weights
from lostbits.graph.queries import LINEAR, RECURRENT, constant, node_name
from lostbits.graph.site import Site
from lostbits.grid import Affine, Grid, affine_from_range
from lostbits.language import Message, say
from lostbits.plan.ranges import replanned, with_biases
from lostbits.plan.tensor_settings import Override
from lostbits.reader import told
from lostbits.readers.constants import Constants, constants_of
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.facts import PlanFacts, Reasoned
from lostbits.results.judgement import Judgement
from lostbits.runtime.float_reference import Reference
from lostbits.target import Target

_OTHER = 1e-5  # relative difference from which a float bias is another one
_SHOWN = 5
_OF_RUNS = Grid.of(8, signed=False)  # the one that DynamicQuantizeLinear has
Array = NDArray[np.float32]
Written = Mapping[str, Array]


@final
@dataclass(frozen=True)
class Adopted:
    """A case that follows a file.

    Attributes:
        case: With the file's parameters and constants.
        foreign: The file.
        match: What of it belongs to which site.
        doubts: Suspicions.
        ran: The file as it is written, beside the case; None of a file that is no model.
        other_shapes: Constants of the file that do not have the model's shape.
        mistakes: Doubts that explain part of the loss, dearest first.
        anew: What planning by the target's own rules gives, where it does not take the file.
        better: Target that places more of what the file rounds, where the simulation on this one
            is another network than the file; and how many more.
    """

    case: Case
    foreign: Foreign
    match: Match
    doubts: tuple[ReadError, ...]
    ran: OwnRun | None
    other_shapes: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()
    anew: Anew | None = None
    better: tuple[Target, int] | None = None

    def complete(self, found: Diagnosis, reference: Reference) -> Diagnosis:
        """The diagnosis of ``reference``, with what is to be said of the file."""
        match, graph = without_folded(self.match, reference.plain), self.foreign.graph
        if graph is not None:
            match = without_idle(match, self.foreign.parameters, graph, reference.plain)
        return replace(self, match=match)._completed(found, reference.changes.quantizers)

    def _completed(self, found: Diagnosis, quantizers: int) -> Diagnosis:
        missing = [s for s in self.case.placed.sites if s.key not in self.case.plan]
        unmatched = [Reasoned(s.tensor, self._why(s)) for s in missing]
        coverage, plan = replace(found.coverage, unmatched=unmatched), self._facts()
        own = [note for note in found.notes if note.code != _QUANTIZERS]
        gaps = note_of_gaps(self.match, self.case)
        notes = [*self._notes(plan, quantizers), *gaps, *own]
        return replace(found, coverage=coverage, plan=plan, notes=notes, **self._accused(found))

    def _accused(self, found: Diagnosis) -> dict[str, Any]:
        """Findings and verdict, where the file's mistakes have their place."""
        findings, verdict = found.findings, found.verdict
        judgement = self._judgement(found)
        if self.ran is not None and self.ran.unfaithful:
            verdict = _led_by_file(self.ran, verdict, alone=judgement != found.judgement)
        for mistake in self.mistakes:
            findings = placed_first(findings, finding(mistake, self.case, found))
        if findings and findings[0].reason == "mistake":
            verdict = say("verdict.mistake", verdict=verdict, text=findings[0].text)
        return {"findings": findings, "verdict": verdict, "judgement": judgement}

    def _judgement(self, found: Diagnosis) -> Judgement | None:
        """By what the file loses when it is run, where its simulation loses less."""
        ran, simulated = self.ran or OwnRun(), found.judgement
        if simulated is None or not ran.unfaithful or ran.sqnr_db is None:
            return simulated
        return judged_by_file(simulated, ran.sqnr_db, ran.samples)

    def _why(self, site: Site) -> Message:
        return self.match.missing.get(site.key, say("note.set_to_float"))

    def _facts(self) -> PlanFacts:
        ran = self.ran or OwnRun()
        return PlanFacts(
            path=str(self.foreign.path),
            sha256=self.foreign.sha256,
            recognised=self.foreign.title,
            tensors=len(self.foreign.parameters.entries),
            matched=len(set(self.match.origin.values())),
            idle=sum(why == IDLE for why in self.match.unmatched.values()),
            unmatched=[Reasoned(t, why) for t, why in self.match.unmatched.items()],
            problems=[told(p) for p in self.foreign.parameters.problems],
            suspicions=[told(d) for d in self.doubts],
            constants_taken=sorted(self.case.written),
            file_was_run=ran.samples > 0,
            sqnr_db_vs_file=ran.simulation_db,
            file_sqnr_db=ran.sqnr_db,
            file_samples=ran.samples,
            dynamic=list(self.foreign.parameters.dynamic),
            anew_sqnr_db=None if self.anew is None else self.anew.after_db,
        )

    def _notes(self, facts: PlanFacts, quantizers: int) -> list[Message]:
        notes = [
            say(
                "plan.adopted",
                file=self.foreign.path.name,
                format=self.foreign.title,
                matched=str(facts.matched),
                tensors=str(facts.tensors),
                target=self.case.target.name,
                idle=str(facts.idle),
                missing=str(len(self.match.missing)),
                constants=str(len(self.case.written)),
            ),
            *facts.suspicions,
            *facts.problems,
        ]
        lost = [(t, why) for t, why in self.match.unmatched.items() if why != IDLE]
        notes += [say("plan.unmatched", tensor=t, why=why) for t, why in lost[:_SHOWN]]
        if len(lost) > _SHOWN:
            notes.append(say("plan.more", count=str(len(lost) - _SHOWN)))
        other = _renaming(self.case, self.match.unknown)
        if other is not None:
            notes.append(say("plan.renamed", other=other))
        if self.anew is not None:
            notes.append(self.anew.text(self.case.target.name))
        kinds = {
            "plan.by_structure": self.foreign.renamed,
            "plan.quantized": quantizers > 0,
            "plan.dynamic": any(site.dynamic for site in self.case.sites),
        }
        notes += [say(code) for code, holds in kinds.items() if holds]
        return [*notes, *self._of_own_run()]

    def _of_own_run(self) -> Iterator[Message]:
        ran = self.ran or OwnRun()
        if ran.obstacle is not None:
            yield ran.obstacle
        if ran.unfaithful:
            yield say("plan.unfaithful", distance=f"{ran.simulation_db:.1f}")
        if self.better is not None:
            other, more = self.better
            both = {"target": self.case.target.name, "other": other.name}
            yield say("plan.elsewhere", count=str(more), **both)
        if self.other_shapes:
            names = ", ".join(self.other_shapes[:_SHOWN])
            yield say("plan.other_shapes", names=names)


def fitting_target(foreign: Foreign, model: ir.Model) -> Target:
    """The target whose rules place most of what a file quantizes."""
    parameters = foreign.parameters
    return best_target(parameters, model, candidates(None, parameters), foreign.graph)[0]


def adopt(
    case: Case, foreign: Foreign, source: Source, overrides: Sequence[Override] = ()
) -> Adopted:
    """The case with the parameters, and where there are any the constants, of a file.

    Args:
        case: Calibrated, planned by the target's own rules.
        foreign: A quantized model, or a file of parameters of any known format.
        source: Samples that the file is run on, to see that the case is its network.
        overrides: Wishes for single tensors, which stand above the file.
    """
    parameters, own = foreign.parameters, foreign.model
    found = _matched(case, foreign)
    adopted = replace(case, plan=found.plan)
    shapes: list[str] = []
    if foreign.graph is not None:
        constants = constants_of(foreign.graph.graph)
        adopted = replace(adopted, written=_written(adopted, constants, shapes, foreign.path))
    if not adopted.plan and not adopted.written:
        raise _nothing_for(case, foreign)
    adopted, found = _with_runs(_along_their_axes(adopted), found, parameters.dynamic)
    ran = None if own is None else run_beside(adopted, own, source)
    doubts = suspicions_of_graph(parameters, case.model if own is None else own)
    doubts += suspicions_of_data(parameters, found, case)
    own_graph = None if foreign.graph is None else foreign.graph.graph
    doubts += doubts_of_weights(adopted, found)
    doubts += doubts_of_nodes(parameters, own_graph, case.model.graph)
    mine = doubts_of_quantizers(parameters, own_graph)
    refused = [*mine, *doubts_of_target(parameters, case.target, own_graph, found)]
    doubts += refused
    if fills_gaps(parameters, case.target):
        found = filled(found, case)
        adopted = replace(adopted, plan=found.plan)
    for wish in overrides:
        adopted = _with_wish(adopted, wish)
    every = [*doubts, *parameters.problems]
    compared = own if ran is not None and ran.samples else None
    dear = mistakes_of(adopted, found, every, compared, source)
    anew = planned_anew(case, adopted, source) if refused else None
    better = _better(case, foreign, found) if ran is not None and ran.unfaithful else None
    told = (tuple(doubts), ran, tuple(shapes), tuple(dear), anew, better)
    return Adopted(adopted, foreign, found, *told)


def _matched(case: Case, foreign: Foreign) -> Match:
    """What of the file its runtime uses, and where."""
    parameters = foreign.parameters
    found = match(parameters, case.model, case.placed)
    if foreign.graph is not None:
        found = without_doubled(found, parameters, foreign.graph)
    if fills_gaps(parameters, case.target):
        found = without_misplaced(found, misplaced(parameters, case.model))
    return found


def _better(case: Case, foreign: Foreign, found: Match) -> tuple[Target, int] | None:
    """The target that places more tensors of the file, and how many more; None where none does."""
    parameters = foreign.parameters
    others = candidates(None, parameters)
    target, _, match = best_target(parameters, case.model, others, foreign.graph)
    more = len(set(match.origin.values())) - len(set(found.origin.values()))
    return (target, more) if more > 0 and target.name != case.target.name else None


def _nothing_for(case: Case, foreign: Foreign) -> ReadError:
    """Why nothing of a file can be simulated: its names, or the kinds of its quantizers."""
    entries, problems = foreign.parameters.entries, foreign.parameters.problems
    kinds = [problem for problem in problems if problem.code == "I007"]
    if kinds and not entries:
        kind = f"{len(kinds)} quantizers are {str(kinds[0].found).strip()}"
        return ReadError("I028.kinds", str(foreign.path), kind)
    none = say("match.none", all=str(len(entries)), target=case.target.name)
    other = _renaming(case, [entry.tensor for entry in entries])
    found = none if other is None else say("match.none_as_it_is", none=none, other=other)
    return ReadError("I028.names", str(foreign.path), found)


def _renaming(case: Case, names: Collection[str]) -> Message | None:
    """What makes names of a file those of the model."""
    sites = {site.tensor for site in case.placed.sites}
    return renaming(names, sites | set(case.placed.left_in_float))


def _along_their_axes(case: Case) -> Case:
    """The case with statistics of constants along the axes that the file has scales along."""
    axes = {s.key: case.plan[s.key].axis for s in case.sites if s.role == "weight"}
    other = {
        s.key: replace(s, axis=axes[s.key])
        for s in case.sites
        if axes.get(s.key) not in (None, s.axis)
    }
    sites = tuple(other.get(s.key, s) for s in case.placed.sites)
    seen = {**case.seen, **look_at_constants(case.model, list(other.values()))}
    return replace(case, placed=replace(case.placed, sites=sites), seen=seen) if other else case


def _with_runs(case: Case, found: Match, dynamic: Sequence[str]) -> tuple[Case, Match]:
    """The case whose sites of these tensors take their scale from each run.

    In the plan they have that of all samples together, which reports tell of and no run uses.
    """
    names, plan = set(dynamic) - set(found.origin.values()), dict(case.plan)
    layers = {node_name(n) for n in case.model.graph if _multiplies_by_constant(n)}
    sites = tuple(
        _of_runs(s, layers) if s.streams and s.tensor in names else s for s in case.placed.sites
    )
    for site in sites:
        if site.dynamic:
            whole = case.seen[site.key].whole
            lo, hi = float(whole.lo.min()), float(whole.hi.max())
            plan[site.key] = affine_from_range(lo, hi, _OF_RUNS, symmetric=False)
    missing = {key: why for key, why in found.missing.items() if key not in plan}
    placed = replace(case.placed, sites=sites)
    return replace(case, plan=plan, placed=placed), replace(found, plan=plan, missing=missing)


def _of_runs(site: Site, layers: Set[str]) -> Site:
    """The site as its file has it: only what multiplies by constants reads the rounded values."""
    uses = tuple(use for use in site.uses if use.node in layers)
    return replace(site, uses=uses, dynamic=True) if uses else site


def _multiplies_by_constant(node: ir.Node) -> bool:
    weights = (constant(value) for value in node.inputs[:3])
    multiplies = node.op_type in LINEAR or node.op_type in RECURRENT
    return multiplies and any(w is not None and w.ndim > 1 for w in weights)


def _led_by_file(ran: OwnRun, told: Message, *, alone: bool) -> Message:
    """The verdict behind what the file itself was measured to lose; ``alone``, what decides."""
    noise = say("verdict.silent")
    if ran.sqnr_db is not None:
        noise = say("verdict.noise", value=f"{ran.sqnr_db:.1f}")
    if alone:
        first = told.figures.get("first", told)
        return say("verdict.file_alone", samples=str(ran.samples), noise=noise, simulated=first)
    return say("verdict.file", samples=str(ran.samples), noise=noise, verdict=told)


def _written(case: Case, constants: Constants, shapes: list[str], path: Path) -> Written:
    """Constants of the file that no nearest rounding of the model's gives."""
    written = {}
    for site in (*case.placed.sites, *case.placed.float_biases):
        value = None if site.streams else constants.of(site)
        if value is None:
            continue
        floats = constant_of(case.model, site)
        if value.shape != floats.shape:
            shapes.append(site.tensor)
        elif not np.isfinite(value).all() and np.isfinite(floats).all():
            raise _not_finite(site.tensor, value, path)
        elif not _nearest(value, floats, case.plan.get(site.key)):
            written[site.tensor] = value
    return written


def _not_finite(tensor: str, value: Array, path: Path) -> ReadError:
    found = f"{np.count_nonzero(~np.isfinite(value))} of {value.size} values are NaN or infinite"
    return ReadError("I047", f"{path}, tensor {tensor!r}", found)


def _nearest(value: Array, floats: Array, affine: Affine | None) -> bool:
    """Whether a constant of the file is what rounding the model's to nearest gives."""
    if affine is None:
        return np.allclose(value, floats, rtol=_OTHER, atol=_OTHER)
    return np.array_equal(affine.codes(value), affine.codes(floats))


def _with_wish(case: Case, wish: Override) -> Case:
    """The case with one tensor, and those that share its scale, planned by rule and wish."""
    written = {name: a for name, a in case.written.items() if name != wish.tensor}
    if wish.as_float and any(s.tensor == wish.tensor for s in case.placed.biases):
        rest = {key: a for key, a in case.plan.items() if key != f"{wish.tensor}:bias"}
        return replace(case, plan=rest, written=written)
    groups = {s.group for s in case.placed.sites if s.tensor == wish.tensor and s.streams}
    sites = [
        s
        for s in case.placed.sites
        if s.role != "bias" and (s.tensor == wish.tensor or (s.streams and s.group in groups))
    ]
    if not sites:
        return case
    keys = {s.key for s in sites}
    others = {key: affine for key, affine in case.plan.items() if key not in keys}
    plan = with_biases(case, {**others, **replanned(case, sites, wish)}, keys)
    return replace(case, plan=plan, written=written)
