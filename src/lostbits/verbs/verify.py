"""The verb ``verify``: a file on a real runtime, beside our simulation and the float network."""

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, final, overload

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.backend import Arithmetic, Backend, Executed, Loaded
from lostbits.backends import backend as find_backend
from lostbits.case import Case
from lostbits.data import Batch, Preprocess, Source, open_source
from lostbits.errors import BackendError
from lostbits.exporter import serialized
from lostbits.graph.outputs import choice, rows
from lostbits.graph.qdq_view import Tap, tapped, twins
from lostbits.graph.queries import name_of
from lostbits.graph.signed_factors import signed_before_quantizers
from lostbits.language import Message, say
from lostbits.results.dumps import DumpVerification
from lostbits.results.verification import (
    Deviation,
    ExecutedNodes,
    FloatNodes,
    KernelsReport,
    Verification,
)
from lostbits.runtime.float_reference import input_specs
from lostbits.runtime.measured import chooses, measured_model, with_measured
from lostbits.runtime.metrics import Comparison, Outputs
from lostbits.runtime.session import Session
from lostbits.verbs.arguments import checked
from lostbits.verbs.case_files import holds_case
from lostbits.verbs.origin import Samples, origin_of
from lostbits.verbs.quantized_file import graph_of, in_float32
from lostbits.verbs.result_files import read, write
from lostbits.verbs.verified_subject import Subject, float_of, planned_for, subject_of
from lostbits.verbs.verify_dumps import note_dumps, plan_of, verify_dumps
from lostbits.verification.file_diff import defects_of
from lostbits.verification.float_reasons import float_reasons
from lostbits.verification.trace import SOME, Trace, first_deviation, own_deviation
from lostbits.workers.progress import Progress, silent, tracked

TOLERANCE_DB = 20.0  # int8 kernels that round as they may stay above it in networks of 60 layers
_BATCH = 8
_COMPILED = 40  # files with taps that a runtime may be made to compile
_TRACED = 8  # samples whose activations are compared; the outputs are, of all
Values = list[NDArray[Any]]
_Group = tuple[Loaded, Sequence[Tap]]


@overload
def verify(
    case: Case | str | Path,
    backend: str | Backend = ...,
    data: object = ...,
    *,
    against: Case | str | Path | onnx.ModelProto | ir.Model | None = ...,
    labels: object = ...,
    tolerance: float = ...,
    samples: int | None = ...,
    preprocess: str | Path | Preprocess | None = ...,
    dumps: None = ...,
    names: str | Path | None = ...,
    progress: Progress = ...,
) -> Verification: ...


@overload
def verify(
    case: Case | str | Path,
    backend: str | Backend = ...,
    data: object = ...,
    *,
    against: Case | str | Path | onnx.ModelProto | ir.Model | None = ...,
    labels: object = ...,
    tolerance: float = ...,
    samples: int | None = ...,
    preprocess: str | Path | Preprocess | None = ...,
    dumps: str | Path,
    names: str | Path | None = ...,
    progress: Progress = ...,
) -> DumpVerification: ...


@checked
def verify(  # noqa: PLR0913 - options are keywords
    case: Case | str | Path,
    backend: str | Backend = "onnxruntime",
    data: object = None,
    *,
    against: Case | str | Path | onnx.ModelProto | ir.Model | None = None,
    labels: object = None,
    tolerance: float = TOLERANCE_DB,
    samples: int | None = None,
    preprocess: str | Path | Preprocess | None = None,
    dumps: str | Path | None = None,
    names: str | Path | None = None,
    progress: Progress = silent,
) -> Verification | DumpVerification:
    """Run a case, or a quantized file, on a runtime and compare it with simulation and float.

    With ``dumps`` nothing is run but the simulation: what a device has put out is compared with it,
    tensor by tensor.

    Args:
        case: Of ``load`` or ``recover``, which is exported to the runtime's format; or the path of
            a Q/DQ file.
        backend: Name of a runtime, or the object.
        data: Samples; default, those of the case.
        against: What a file was made from: its case, the folder of a recovery, or the float model;
            for a case a float model other than its own.
        labels: Class numbers of the samples.
        tolerance: Least SQNR of the runtime's outputs against the simulation, in dB.
        samples: Use only the first of the data.
        preprocess: How images become values.
        dumps: Folder with the tensors of a device, or one file; run n is of sample n of the data.
        names: File with names of the dumps and of the model, where they differ.
        progress: Told after every batch.

    Raises:
        BackendError: B001 to B008.
        DumpError: V001 and V009.
        LostbitsError: Whatever is wrong with the parts.
    """
    folders = {f for f in map(_folder, (case, against)) if f is not None}
    if dumps is not None:
        plan = plan_of(case, float_of(against) if isinstance(against, str | Path) else against)
        used = _samples(case, data, plan.floats, samples, Preprocess.of(preprocess))
        told = verify_dumps(plan, used.source, Path(dumps), names, progress)
        note = None if plan.case is None else planned_for(plan.case.target)
        told = told if note is None else replace(told, notes=[note])
        note_dumps(folders, told)
        return told
    chosen = find_backend(backend) if isinstance(backend, str) else backend
    if not chosen.installed():
        chosen.open(b"")  # raises, before anything has cost time
    subject = subject_of(case, against, chosen)
    used = _samples(case, data, subject.floats, samples, Preprocess.of(preprocess))
    run = _Run(subject, chosen, used.labels(labels))
    run.compare(used.source, progress)
    found = run.verification(tolerance, used.source)
    for folder in folders:
        _note(folder, found)
    return found


def _samples(
    case: Case | str | Path,
    data: object,
    floats: ir.Model,
    count: int | None,
    preprocess: Preprocess | None,
) -> Samples:
    if data is None and isinstance(case, Case):
        own = origin_of(case).judged
        return own if count is None else own.part(range(min(count, len(own.source))))
    source = whole = open_source(data, input_specs(floats), preprocess=preprocess)
    if count is not None and count < len(source):
        source = source.slice(0, count)
    return Samples(source, range(len(source)), len(whole))


def _folder(part: object) -> Path | None:
    """The folder of a recovery that a part comes from, if it holds a result."""
    if isinstance(part, Case):
        folder = origin_of(part).folder
    else:
        folder = Path(part) if isinstance(part, str | Path) and os.path.isdir(part) else None
    known = folder is not None and holds_case(folder) and os.path.isfile(folder / "result.json")
    return folder if known else None


def _note(folder: Path, found: Verification) -> None:
    """Put the check into result.json, in place of an earlier one of the same file and backend."""
    result = read(folder)
    same = found.backend, found.sha256
    others = [each for each in result.verify if (each.backend, each.sha256) != same]
    write(replace(result, verify=[*others, found]), folder, ["json"])


@final
class Kernels:
    """The simulation in the arithmetic of the runtime's integer kernels.

    Attributes:
        layers: How many layers compute in integers.
        session: The network.
        comparison: Of its outputs with those of the runtime.
        trace: Of its activations, once it is known which the runtime gives.
    """

    def __init__(self, simulated: ir.Model, arithmetic: Arithmetic, floats: frozenset[str]) -> None:
        self.simulated, self.arithmetic, self.floats = simulated, arithmetic, floats
        model, self.layers = arithmetic(simulated, floats)
        self.session = Session(model, optimise=False)
        self.comparison = Comparison()
        self.trace: Trace | None = None

    def follow(self, file: ir.Model, known: Collection[str]) -> None:
        """Compare these activations of the file from now on."""
        self.trace = Trace(self.simulated, file, known, self._rewritten)

    def _rewritten(self, model: ir.Model) -> ir.Model:
        return self.arithmetic(model, self.floats)[0]


@final
class _Run:
    """One check in progress."""

    def __init__(
        self, subject: Subject, backend: Backend, labels: NDArray[np.int64] | None
    ) -> None:
        self.subject, self.backend = subject, backend
        content = in_float32(subject.content)
        self.file = with_measured(graph_of(content), subject.compared)
        chosen = chooses(subject.compared)
        self.loaded = backend.open(serialized(self.file) if chosen else content)
        self.defects = defects_of(subject.simulated, self.file) if subject.planned else []
        self.simulated = measured_model(subject.simulated, subject.compared)
        self.taps = [tap for _, tap in twins(self.simulated.graph, self.file.graph)]
        self.tapped: list[Loaded] = []
        self.trace = Trace(self.simulated, self.file, ())
        self.compiled = 0
        self.plain = Session(measured_model(subject.floats, subject.compared))
        self.simulation = Session(self.simulated, optimise=False)
        self.outputs = [name_of(v) for v in self.file.graph.outputs][: len(self.plain.names)]
        self.to_simulation = Comparison()
        self.to_float, self.simulated_to_float = Comparison(), Comparison()
        self.labels = labels
        self.max_abs = 0.0
        self.floats = _in_float(self.loaded.executed)
        own = backend.arithmetic
        self.kernels = None if own is None else Kernels(self.simulated, own, self.floats)

    def compare(self, source: Source, progress: Progress) -> None:
        """Stream the data once."""
        batches = source.batches(1 if self.backend.one_by_one else _BATCH)
        for part in tracked(batches, "verification", len(source), progress):
            self._one(part)

    def _one(self, part: Batch) -> None:
        floats = self._floats(self.plain.run(part.feeds), part)
        simulated = self._floats(self.simulation.run(part.feeds), part)
        found = self._of_runtime(self.loaded, part)
        _check_same(floats, simulated, found)
        span = range(part.first, part.first + part.size)
        meant = Outputs.of(self.subject.compared, part, floats)
        self.to_simulation.update(simulated, found, span, None, meant)
        self.to_float.update(floats, found, span, self.labels, meant)
        self.simulated_to_float.update(floats, simulated, span, self.labels, meant)
        pairs = zip(simulated, found, strict=True)
        self.max_abs = max(self.max_abs, *(float(np.abs(a - b).max(initial=0)) for a, b in pairs))
        if self.kernels is not None:
            ours = self._floats(self.kernels.session.run(part.feeds), part)
            self.kernels.comparison.update(ours, found, span, None, meant)
        if part.first == 0:
            groups = self._quiet(self.taps, part, found)
            self.tapped = [loaded for loaded, _ in groups]
            known = {tap.codes for _, taps in groups for tap in taps}
            self.trace = Trace(self.simulated, self.file, known)
            if self.backend.moves_signs:
                self.trace.signed = frozenset(signed_before_quantizers(self.file.graph))
            if self.kernels is not None:
                self.kernels.follow(self.file, known)
        if self.tapped and part.first < _TRACED:
            runs = [loaded.run(part.feeds) for loaded in self.tapped]
            values = {name: v for run in runs for name, v in run.items()}
            self.trace.update(part.feeds, values)
            if self.kernels is not None and self.kernels.trace is not None:
                self.kernels.trace.update(part.feeds, values)

    def _quiet(self, taps: Sequence[Tap], part: Batch, found: Values) -> list[_Group]:
        """Taps in groups that do not change the run; those that do, even alone, are left out.

        A runtime may fuse otherwise where a tensor is asked for, and then the tensors of that run
        explain nothing about the one whose outputs were compared.
        """
        if not taps or self.compiled >= _COMPILED:
            return []
        self.compiled += 1
        loaded = self.backend.open(serialized(tapped(self.file, taps)))
        again = self._of_runtime(loaded, part)
        if all(map(np.array_equal, found, again)):
            return [(loaded, taps)]
        half = len(taps) // 2
        parts = (taps[:half], taps[half:]) if half else ()
        return [group for each in parts for group in self._quiet(each, part, found)]

    def _of_runtime(self, loaded: Loaded, part: Batch) -> Values:
        """The same of a runtime, which may give outputs in an order of its own."""
        values = loaded.run(part.feeds)
        return self._floats({name: values[name] for name in self.outputs}, part)

    def _floats(self, values: dict[str, NDArray[Any]], part: Batch) -> Values:
        """What is compared, in order, without what filled up a static batch."""
        outputs = list(values.values())[: len(self.plain.names)]
        return [part.real(v) for v in outputs if v.dtype.kind == "f"]

    def verification(self, tolerance: float, source: Source) -> Verification:
        """Figures, deviations, and whether they are within tolerance."""
        names, compared = self.subject.outputs, self.subject.compared
        simulation = self.to_simulation.baseline(names, compared)
        distance, floats = simulation.sqnr_db, self.to_float.baseline(names, compared)
        backend, version = self.backend.name, self.backend.version()
        return Verification(
            backend=backend,
            version=version,
            precision=self.loaded.precision,
            sha256=hashlib.sha256(self.subject.content).hexdigest(),
            samples=len(source),
            sqnr_db_vs_simulation=distance,
            max_abs=self.max_abs,
            agreement_vs_simulation=simulation.agreement,
            vs_float=floats,
            simulation_vs_float=self.simulated_to_float.baseline(names, compared),
            executed=_executed(self.loaded.executed, float_reasons(self.file.graph, self.floats)),
            tensors_compared=len(self.trace.taps),
            tensors_hidden=len(self.taps) - len(self.trace.taps),
            first_deviation=self._deviation(first_deviation),
            first_own_deviation=self._deviation(own_deviation),
            defects=self.defects,
            kernels=self._kernels(names),
            tolerance_db=tolerance,
            passed=not self.defects and (distance is None or distance >= tolerance),
            text=_in_words(backend, version, distance, floats.agreement),
            notes=[
                note
                for note in (choice(compared), rows(compared), self.subject.planned_for)
                if note is not None
            ],
        )

    def _kernels(self, outputs: Sequence[str]) -> KernelsReport | None:
        """How near the simulation in the runtime's own arithmetic is, and where it is not."""
        kernels = self.kernels
        if kernels is None or kernels.trace is None:
            return None
        search = partial(first_deviation, least=SOME)
        return KernelsReport(
            layers=kernels.layers,
            sqnr_db=kernels.comparison.baseline(outputs).sqnr_db,
            tensors_equal=sum(figures.codes <= SOME for _, figures in kernels.trace.rows()),
            first_deviation=self._deviation(search, kernels.trace),
        )

    def _deviation(self, search: Any, trace: Trace | None = None) -> Deviation | None:
        found: Deviation | None = search(
            trace or self.trace,
            self.defects,
            self.floats,
            on_this_processor=self.backend.on_this_processor,
        )
        return found


def _check_same(floats: Values, *others: Values) -> None:
    """B007 unless all have outputs of the same shapes."""
    shapes, *found = ([value.shape for value in values] for values in (floats, *others))
    for each in found:
        if each != shapes:
            raise BackendError("B007", "file to be verified", f"{each}", shapes=shapes)


def _in_words(
    backend: str, version: str, distance: float | None, agreement: float | None
) -> Message:
    """One sentence for reports."""
    words = {"backend": backend, "version": version}
    words["agreement"] = "-" if agreement is None else f"{agreement:.1%}"
    if distance is None:
        return say("trust.verify_equal", **words)
    return say("trust.verify_value", distance=f"{distance:.1f}", **words)


def _executed(nodes: Sequence[Executed], reasons: Mapping[str, Message]) -> ExecutedNodes:
    """Counts, and the nodes that were not run in integers, those with a reason first."""
    floats = [e for e in nodes if not e.integer]
    kinds = [FloatNodes(e.op, e.precision, list(e.nodes), _why(e, reasons)) for e in floats]
    kinds.sort(key=lambda kind: kind.why is None)
    return ExecutedNodes(len(nodes) - len(floats), kinds)


def _in_float(nodes: Sequence[Executed]) -> frozenset[str]:
    """Names of nodes of which no part ran in integers: a runtime may run one in several kernels."""
    integer = {name for each in nodes if each.integer for name in each.nodes}
    return frozenset(n for e in nodes if not e.integer for n in e.nodes if n not in integer)


def _why(kind: Executed, reasons: Mapping[str, Message]) -> Message | None:
    return next((reasons[name] for name in kind.nodes if name in reasons), None)
