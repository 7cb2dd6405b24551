"""Somebody else's quantization, taken as it is: ``diagnose --plan``.

Parameters come from the file, and so do its constants where they are not the nearest rounding of
the float model's. Whether the case that is made of them is the file's network is measured, not
assumed: the file is run, where it can be run, and the distance is part of the result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case, constant_of
from lostbits.data import Source
from lostbits.diagnoses.result import QUANTIZERS as _QUANTIZERS
from lostbits.errors import LostbitsError, ReadError, described
from lostbits.foreign.cost_of_faults import Mistake, finding, mistakes_of, placed_first
from lostbits.foreign.file import Foreign, candidates
from lostbits.foreign.known_faults import suspicions_of_data, suspicions_of_graph
from lostbits.foreign.match_names import (
    IDLE,
    Match,
    best_target,
    match,
    without_doubled,
    without_folded,
    without_idle,
)
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import Message, say
from lostbits.plan.ranges import replanned, with_biases
from lostbits.plan.tensor_settings import Override
from lostbits.reader import told
from lostbits.readers.constants import Constants, constants_of
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.facts import PlanFacts, Reasoned
from lostbits.runtime.float_reference import Reference
from lostbits.runtime.measured import measured, measured_model
from lostbits.runtime.metrics import Comparison, Outputs
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from lostbits.target import Target

_OTHER = 1e-5  # relative difference from which a float bias is another one
_FAITHFUL_DB = 40.0  # below, the case is not quite the file's network
_SHOWN = 5
_UNKNOWN = (float("nan"), None)  # of a file that is no model
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
        faithful_db: Distance of the simulated case to the file that was run; None if they are
            equal; NaN if the file cannot be run, or gives outputs of other shapes.
        other_shapes: Constants of the file that do not have the model's shape.
        mistakes: Doubts that explain part of the loss, dearest first.
        obstacle: Why its model was not compared, where it was not.
    """

    case: Case
    foreign: Foreign
    match: Match
    doubts: tuple[ReadError, ...]
    faithful_db: float | None
    other_shapes: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()
    obstacle: Message | None = None

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
        notes = [*self._notes(plan, quantizers), *own]
        return replace(found, coverage=coverage, plan=plan, notes=notes, **self._accused(found))

    def _accused(self, found: Diagnosis) -> dict[str, Any]:
        """Findings and verdict, where the file's mistakes have their place."""
        findings, verdict = found.findings, found.verdict
        for mistake in self.mistakes:
            findings = placed_first(findings, finding(mistake, self.case, found))
        if findings and findings[0].reason == "mistake":
            verdict = say("verdict.mistake", verdict=verdict, text=findings[0].text)
        return {"findings": findings, "verdict": verdict}

    def _why(self, site: Site) -> Message:
        return self.match.missing.get(site.key, say("note.set_to_float"))

    def _facts(self) -> PlanFacts:
        measured = self.faithful_db is None or not np.isnan(self.faithful_db)
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
            file_was_run=measured,
            sqnr_db_vs_file=self.faithful_db if measured else None,
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
        if quantizers:
            notes.append(say("plan.quantized"))
        if self.obstacle is not None:
            notes.append(self.obstacle)
        if self.faithful_db is not None and self.faithful_db < _FAITHFUL_DB:
            notes.append(say("plan.unfaithful", distance=f"{self.faithful_db:.1f}"))
        if self.other_shapes:
            names = ", ".join(self.other_shapes[:_SHOWN])
            notes.append(say("plan.other_shapes", names=names))
        return notes


def fitting_target(foreign: Foreign, model: ir.Model) -> Target:
    """The target whose rules place most of what a file quantizes."""
    return best_target(foreign.parameters, model, candidates(None), foreign.graph)[0]


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
    found = match(parameters, case.model, case.placed)
    if foreign.graph is not None:
        found = without_doubled(found, parameters, foreign.graph)
    adopted = replace(case, plan=found.plan)
    shapes: list[str] = []
    if foreign.graph is not None:
        constants = constants_of(foreign.graph.graph)
        adopted = replace(adopted, written=_written(adopted, constants, shapes))
    faithful, obstacle = _UNKNOWN if own is None else _distance(adopted, own, source)
    doubts = suspicions_of_graph(parameters, case.model if own is None else own)
    doubts += suspicions_of_data(parameters, found, case)
    for wish in overrides:
        adopted = _with_wish(adopted, wish)
    every = [*doubts, *parameters.problems]
    dear = mistakes_of(adopted, found, every, None if obstacle else own, source)
    facts = (foreign, found, tuple(doubts), faithful, tuple(shapes), tuple(dear))
    return Adopted(adopted, *facts, obstacle=obstacle)


def _written(case: Case, constants: Constants, shapes: list[str]) -> Written:
    """Constants of the file that no nearest rounding of the model's gives."""
    written = {}
    for site in (*case.placed.sites, *case.placed.float_biases):
        value = None if site.streams else constants.of(site)
        if value is None:
            continue
        floats = constant_of(case.model, site)
        if value.shape != floats.shape:
            shapes.append(site.tensor)
        elif not _nearest(value, floats, case.plan.get(site.key)):
            written[site.tensor] = value
    return written


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


def _distance(case: Case, own: ir.Model, source: Source) -> tuple[float | None, Message | None]:
    """Decibels between the simulated case and the file, run as it is written, on one batch.

    Where it cannot be run or compared, NaN and the reason: it need not run here to be diagnosed.
    """
    part = next(iter(source.batches(8)))
    try:
        values = Session(measured_model(own, case.compared), optimise=False).run(part.feeds)
    except LostbitsError as error:  # the result says that and why it was not run
        return float("nan"), say("plan.no_run", why=described(error))
    ours = Session(quantized_model(measured(case)), optimise=False).run(part.feeds)
    outputs = [each.name for each in case.compared]
    pair = [[part.real(a) for a in list(v.values())[: len(outputs)]] for v in (values, ours)]
    if [a.shape for a in pair[0]] != [a.shape for a in pair[1]]:
        return float("nan"), say("plan.no_run_shapes")
    if not all(np.isfinite(a).all() for a in pair[0]):
        return float("nan"), say("plan.no_run_infinite")
    comparison = Comparison()
    known = Outputs.of(case.compared, part, pair[0])
    span = range(part.first, part.first + part.size)
    comparison.update(pair[0], pair[1], span, None, known)
    return comparison.baseline(outputs, case.compared).sqnr_db, None
