"""Somebody else's quantization, taken as it is: ``diagnose --plan``.

Parameters come from the file, and so do its constants where they are not the nearest rounding of
the float model's. Whether the case that is made of them is the file's network is measured, not
assumed: the file is run, where it can be run, and the distance is part of the result.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case, constant_of, replanned, with_biases
from lostbits.data import Source
from lostbits.errors import ReadError, described
from lostbits.graph.normalise import opened
from lostbits.graph.queries import is_float, name_of
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.inspecting import candidates, read_parameters
from lostbits.language import say
from lostbits.matching import (
    IDLE,
    Match,
    best_target,
    match,
    without_doubled,
    without_folded,
    without_idle,
)
from lostbits.mistakes import Mistake, finding, mistakes_of, placed_first
from lostbits.override import Override
from lostbits.reader import Parameters, told
from lostbits.readers.constants import Constants, constants_of
from lostbits.runtime.measure import Comparison
from lostbits.runtime.reference import Reference
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from lostbits.suspicions import suspicions_of_data, suspicions_of_graph
from lostbits.target import Target

_OTHER = 1e-5  # relative difference from which a float bias is another one
_FAITHFUL_DB = 40.0  # below, the case is not quite the file's network
_SHOWN = 5
_UNKNOWN = (float("nan"), "")  # of a file that is no model
Array = NDArray[np.float32]
Written = Mapping[str, Array]


@final
@dataclass(frozen=True)
class Adopted:
    """A case that follows a file.

    Attributes:
        case: With the file's parameters and constants.
        path, title: The file, and the format that was recognised.
        parameters: What it says.
        match: What of it belongs to which site.
        doubts: Suspicions.
        faithful_db: Distance of the simulated case to the file that was run; None if they are
            equal; NaN if the file cannot be run, or gives outputs of other shapes.
        other_shapes: Constants of the file that do not have the model's shape.
        mistakes: Doubts that explain part of the loss, dearest first.
        own: The file, where it is a model.
        obstacle: Why that model was not compared, where it was not.
    """

    case: Case
    path: Path
    title: str
    parameters: Parameters
    match: Match
    doubts: tuple[ReadError, ...]
    faithful_db: float | None
    other_shapes: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()
    own: ir.Model | None = None
    obstacle: str = ""

    def complete(self, result: dict[str, Any], reference: Reference) -> dict[str, Any]:
        """The result of the diagnosis of ``reference``, with what is to be said of the file."""
        match = without_folded(self.match, reference.plain)
        if self.own is not None:
            match = without_idle(match, self.parameters, opened(self.own), reference.plain)
        return replace(self, match=match)._completed(result, reference.changes.quantizers)

    def _completed(self, result: dict[str, Any], quantizers: int) -> dict[str, Any]:
        missing = [s for s in self.case.placed.sites if s.key not in self.case.plan]
        unmatched = [{"tensor": s.tensor, "reason": self._why(s)} for s in missing]
        coverage = {**result["coverage"], "unmatched": unmatched}
        own = [n for n in result["notes"] if not n.startswith("The file held")]
        notes = [*self._notes(quantizers), *own]
        found = {"coverage": coverage, "plan": self._facts(), "notes": notes}
        return {**result, **found, **self._accused(result)}

    def _accused(self, result: dict[str, Any]) -> dict[str, Any]:
        """Findings and verdict, where the file's mistakes have their place."""
        found, verdict = list(result["findings"]), result["verdict"]
        for mistake in self.mistakes:
            found = placed_first(found, finding(mistake, self.case, result))
        if found and found[0]["reason"] == "mistake":
            verdict = say("verdict.mistake", verdict=verdict, text=found[0]["text"])
        return {"findings": found, "verdict": verdict}

    def _why(self, site: Site) -> str:
        return self.match.missing.get(site.key, say("note.set_to_float"))

    def _facts(self) -> dict[str, Any]:
        measured = self.faithful_db is None or not np.isnan(self.faithful_db)
        unmatched = self.match.unmatched.items()
        return {
            "path": str(self.path),
            "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
            "recognised": self.title,
            "tensors": len(self.parameters.entries),
            "matched": len(set(self.match.origin.values())),
            "idle": sum(why == IDLE for why in self.match.unmatched.values()),
            "unmatched": [{"tensor": t, "reason": why} for t, why in unmatched],
            "problems": [told(p) for p in self.parameters.problems],
            "suspicions": [told(d) for d in self.doubts],
            "constants_taken": sorted(self.case.written),
            "file_was_run": measured,
            "sqnr_db_vs_file": self.faithful_db if measured else None,
        }

    def _notes(self, quantizers: int) -> list[str]:
        facts = self._facts()
        notes: list[str] = [
            say(
                "plan.adopted",
                file=self.path.name,
                format=self.title,
                matched=str(facts["matched"]),
                tensors=str(facts["tensors"]),
                target=self.case.target.name,
                idle=str(facts["idle"]),
                missing=str(len(self.match.missing)),
                constants=str(len(self.case.written)),
            )
        ]
        notes += [told(d) for d in (*self.doubts, *self.parameters.problems)]
        lost = [(t, why) for t, why in self.match.unmatched.items() if why != IDLE]
        notes += [say("plan.unmatched", tensor=t, why=why) for t, why in lost[:_SHOWN]]
        if len(lost) > _SHOWN:
            notes.append(say("plan.more", count=str(len(lost) - _SHOWN)))
        if quantizers:
            notes.append(say("plan.quantized"))
        if self.obstacle:
            notes.append(self.obstacle)
        if self.faithful_db is not None and self.faithful_db < _FAITHFUL_DB:
            notes.append(say("plan.unfaithful", distance=f"{self.faithful_db:.1f}"))
        if self.other_shapes:
            names = ", ".join(self.other_shapes[:_SHOWN])
            notes.append(say("plan.other_shapes", names=names))
        return notes


def folds(plan: Path | None) -> bool:
    """Whether the tool that wrote a quantized model had BatchNorms folded into the weights.

    Where it had not, the codes are those of other weights than the normalised model has, and only
    a model that keeps its BatchNorms can be compared with them.
    """
    own = None if plan is None else read_parameters(plan)[2]
    return own is None or all(n.op_type != "BatchNormalization" for n in own.graph)


def fitting_target(plan: Path, model: ir.Model) -> Target:
    """The target whose rules place most of what a file quantizes.

    Raises:
        DataError: D001, D002; ReadError: I001 to I004.
    """
    _, parameters, own = read_parameters(plan)
    graph = None if own is None else opened(own)
    return best_target(parameters, model, candidates(None), graph)[0]


def adopt(case: Case, path: Path, source: Source, overrides: Sequence[Override] = ()) -> Adopted:
    """The case with the parameters, and where there are any the constants, of a file.

    Args:
        case: Calibrated, planned by the target's own rules.
        path: A quantized model, or a file of parameters of any known format.
        source: Samples that the file is run on, to see that the case is its network.
        overrides: Wishes for single tensors, which stand above the file.

    Raises:
        DataError: D001, D002; ReadError: I001 to I004.
    """
    title, parameters, own = read_parameters(path)
    found = match(parameters, case.model, case.placed)
    if own is not None:
        found = without_doubled(found, parameters, opened(own))
    adopted = replace(case, plan=found.plan)
    shapes: list[str] = []
    if own is not None:
        adopted = replace(adopted, written=_written(adopted, constants_of(own), shapes))
    faithful, obstacle = _UNKNOWN if own is None else _distance(adopted, own, source)
    doubts = suspicions_of_graph(parameters, case.model if own is None else own)
    doubts += suspicions_of_data(parameters, found, case)
    for wish in overrides:
        adopted = _with_wish(adopted, wish)
    every = [*doubts, *parameters.problems]
    dear = mistakes_of(adopted, found, every, own, source)
    facts = (title, parameters, found, tuple(doubts), faithful, tuple(shapes), tuple(dear))
    return Adopted(adopted, path, *facts, own=own, obstacle=obstacle)


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


def _distance(case: Case, own: ir.Model, source: Source) -> tuple[float | None, str]:
    """Decibels between the simulated case and the file, run as it is written, on one batch.

    Where it cannot be run or compared, NaN and the reason: it need not run here to be diagnosed.
    """
    part = next(iter(source.batches(8)))
    try:
        values = Session(own, optimise=False).run(part.feeds)
    except Exception as error:  # of whatever kind; the result says that and why it was not run
        return float("nan"), say("plan.no_run", why=described(error))
    ours = Session(quantized_model(case), optimise=False).run(part.feeds)
    outputs = [name_of(v) for v in case.model.graph.outputs if is_float(v)]
    pair = [[part.real(a) for a in list(v.values())[: len(outputs)]] for v in (values, ours)]
    if [a.shape for a in pair[0]] != [a.shape for a in pair[1]]:
        return float("nan"), say("plan.no_run_shapes")
    if not all(np.isfinite(a).all() for a in pair[0]):
        return float("nan"), say("plan.no_run_infinite")
    comparison = Comparison()
    comparison.update(pair[0], pair[1], range(part.first, part.first + part.size))
    return comparison.baseline(outputs).sqnr_db, ""
