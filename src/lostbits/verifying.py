"""The verb ``verify``: a file on a real runtime, beside our simulation and the float network."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.backend import Arithmetic, Backend, Executed, Loaded
from lostbits.backends import backend as find_backend
from lostbits.case import Case
from lostbits.data import Batch, Source, open_source, read_labels
from lostbits.defect import Defect, defects_of
from lostbits.deviation import SOME, Deviation, Trace, first_deviation, own_deviation
from lostbits.diagnoses.settings import Settings
from lostbits.errors import BackendError
from lostbits.exporter import serialized
from lostbits.exporters import exporter
from lostbits.exporting import Origin
from lostbits.graph.external import with_external_data
from lostbits.graph.normalise import opened
from lostbits.graph.queries import is_float, name_of
from lostbits.graph.taps import Tap, tapped, twins
from lostbits.graph.tensors import tensors_of
from lostbits.inspecting import content_of, read_parameters
from lostbits.language import Sentence, say, sentences
from lostbits.readers.onnx_model import PLAN_KEY
from lostbits.results import read, write
from lostbits.runtime.measure import Comparison
from lostbits.runtime.progress import Progress, silent, tracked
from lostbits.runtime.reference import input_specs, open_reference
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model
from lostbits.store import holds_case

TOLERANCE_DB = 20.0  # int8 kernels that round as they may stay above it in networks of 60 layers
_BATCH = 8
_COMPILED = 40  # files with taps that a runtime may be made to compile
_TRACED = 8  # samples whose activations are compared; the outputs are, of all
Values = list[NDArray[Any]]
_Group = tuple[Loaded, Sequence[Tap]]


@final
@dataclass(frozen=True)
class Subject:
    """What is run, and what it is compared with.

    Attributes:
        content: The file.
        simulated: Q/DQ graph whose arithmetic is the definition.
        floats: The float network.
        planned: Whether ``simulated`` is a plan of its own, or the file as it is written.
    """

    content: bytes
    simulated: ir.Model
    floats: ir.Model
    planned: bool

    @property
    def outputs(self) -> list[str]:
        """Float outputs."""
        return [name_of(v) for v in self.floats.graph.outputs if is_float(v)]


@final
@dataclass(frozen=True)
class Verdict:
    """What came of it.

    Attributes:
        row: The entry in result.json.
        passed: Whether everything is within tolerance, and the file is the planned one.
        executed: Nodes as the runtime ran them.
    """

    row: dict[str, Any]
    passed: bool
    executed: tuple[Executed, ...] = field(default_factory=tuple)


def subject_of(
    origin: Origin, against: Path | None, backend: Backend, progress: Progress = silent
) -> Subject:
    """The file, the simulation and the float network of what the user named.

    Args:
        origin: A recovered folder, a float model (planned by the target's rules), or a Q/DQ file.
        against: For a file, the folder or the float model that it was made from; else a float
            model other than the case's own.
        backend: Whose format a case is exported to.
        progress: Told after every batch of a calibration.

    Raises:
        BackendError: B005 for a file that is no ONNX model, B006 for a baked one.
        LostbitsError: Whatever is wrong with the parts.
    """
    floats = None if against is None or against.is_dir() else open_reference(against).model
    if origin.path.is_dir() or not _is_quantized(origin.path):
        case = origin.case(progress)
        return _of_case(case, _exported(case, backend), floats)
    content = _content(origin.path)
    if against is not None and against.is_dir():
        return _of_case(Origin(against, target=origin.target).case(), content, None)
    own = open_reference(origin.path).model if floats is None else floats
    return Subject(content, _graph(content), own, planned=False)


def _of_case(case: Case, content: bytes, floats: ir.Model | None) -> Subject:
    return Subject(content, quantized_model(case), floats or case.model, planned=True)


def _exported(case: Case, backend: Backend) -> bytes:
    files = exporter(backend.format).write(case)
    return next(content for name, content in files.items() if name.endswith(".onnx"))


def _is_quantized(path: Path) -> bool:
    if path.suffix != ".onnx":
        rule = "must be a model, which encodings, caches and lists of ranges are not"
        todo = "export the plan to qdq as well, and verify that"
        raise BackendError("B005", str(path), rule, f"a {path.suffix or 'nameless'} file", todo)
    if not path.is_file():
        return False  # opening it as a float model says what is wrong
    _, parameters, model = read_parameters(path)
    entries = parameters.entries
    if entries and model is not None and PLAN_KEY in model.metadata_props:
        rule, found = "must hold its quantizers", "a baked model, which is float"
        todo = "its platform's converter puts them in; export the plan to qdq, and verify that"
        raise BackendError("B006", str(path), rule, found, todo)
    return bool(entries)


def _content(path: Path) -> bytes:
    """What a runtime is handed: the file, and inside it the data that lie beside it."""
    content = content_of(path)
    proto = onnx.ModelProto.FromString(content)
    if any(tensor.data_location == tensor.EXTERNAL for tensor in tensors_of(proto)):
        return serialized(with_external_data(proto, path))
    return content


def _graph(content: bytes) -> ir.Model:
    """The file's graph, with constants where they are looked for."""
    return opened(ir.from_proto(onnx.load_from_string(content)))


def verify(
    origin: Origin,
    backend: str,
    data: object,
    against: Path | None = None,
    tolerance: float = TOLERANCE_DB,
    progress: Progress = silent,
) -> Verdict:
    """Run a file on a runtime and compare it with simulation and float network.

    Args:
        origin: See ``subject_of``; its settings' labels are those of ``data``.
        backend: Name.
        data: Samples.
        against: See ``subject_of``.
        tolerance: Least SQNR of the runtime's outputs against the simulation, in dB.
        progress: Told after every batch.

    Raises:
        BackendError: B001 to B007.
        LostbitsError: Whatever is wrong with the parts.
    """
    chosen = find_backend(backend)
    if not chosen.installed():
        chosen.open(b"")  # raises, before a calibration has cost anything
    subject = subject_of(origin, against, chosen, progress)
    source, labels = _samples(data, subject, origin.settings)
    run = _Run(subject, chosen, labels)
    run.compare(source, progress)
    verdict = run.verdict(tolerance, source)
    for folder in {origin.path, against}:
        if folder is not None and holds_case(folder) and (folder / "result.json").is_file():
            _note(folder, verdict.row)
    return verdict


def _samples(
    data: object, subject: Subject, settings: Settings
) -> tuple[Source, NDArray[np.int64] | None]:
    source = open_source(data, input_specs(subject.floats), preprocess=settings.preprocess)
    labels = None if settings.labels is None else read_labels(settings.labels, len(source))
    if settings.samples is not None and settings.samples < len(source):
        source = source.slice(0, settings.samples)
    return source, labels


def _note(folder: Path, row: dict[str, Any]) -> None:
    """Put the check into result.json, in place of an earlier one of the same file and backend."""
    result = read(folder)
    same = {key: row[key] for key in ("backend", "sha256")}
    others = [r for r in result["verify"] if {k: r.get(k) for k in same} != same]
    result["verify"] = [*others, row]
    result["sentences"] |= sentences(row)
    write(result, folder, ["json"])


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
        self.loaded = backend.open(subject.content)
        self.file = _graph(subject.content)
        self.defects = defects_of(subject.simulated, self.file) if subject.planned else []
        self.taps = [tap for _, tap in twins(subject.simulated.graph, self.file.graph)]
        self.tapped: list[Loaded] = []
        self.trace = Trace(subject.simulated, self.file, ())
        self.compiled = 0
        self.plain = Session(subject.floats)
        self.simulation = Session(subject.simulated, optimise=False)
        self.to_simulation = Comparison()
        self.to_float, self.simulated_to_float = Comparison(), Comparison()
        self.labels = labels
        self.max_abs = 0.0
        self.floats = frozenset(n for e in self.loaded.executed if not e.integer for n in e.nodes)
        own = backend.arithmetic
        self.kernels = None if own is None else Kernels(subject.simulated, own, self.floats)

    def compare(self, source: Source, progress: Progress) -> None:
        """Stream the data once."""
        batches = source.batches(1 if self.backend.one_by_one else _BATCH)
        for part in tracked(batches, "verification", len(source), progress):
            self._one(part)

    def _one(self, part: Batch) -> None:
        floats = self._floats(self.plain.run(part.feeds), part)
        simulated = self._floats(self.simulation.run(part.feeds), part)
        found = self._floats(self.loaded.run(part.feeds), part)
        _check_same(floats, simulated, found)
        span = range(part.first, part.first + part.size)
        self.to_simulation.update(simulated, found, span)
        self.to_float.update(floats, found, span, self.labels)
        self.simulated_to_float.update(floats, simulated, span, self.labels)
        pairs = zip(simulated, found, strict=True)
        self.max_abs = max(self.max_abs, *(float(np.abs(a - b).max(initial=0)) for a, b in pairs))
        if self.kernels is not None:
            ours = self._floats(self.kernels.session.run(part.feeds), part)
            self.kernels.comparison.update(ours, found, span)
        if part.first == 0:
            groups = self._quiet(self.taps, part, found)
            self.tapped = [loaded for loaded, _ in groups]
            known = {tap.codes for _, taps in groups for tap in taps}
            self.trace = Trace(self.subject.simulated, self.file, known)
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
        again = self._floats(loaded.run(part.feeds), part)
        if all(map(np.array_equal, found, again)):
            return [(loaded, taps)]
        half = len(taps) // 2
        parts = (taps[:half], taps[half:]) if half else ()
        return [group for each in parts for group in self._quiet(each, part, found)]

    def _floats(self, values: dict[str, NDArray[Any]], part: Batch) -> Values:
        """Float outputs of the network, in its order, without what filled up a static batch."""
        outputs = list(values.values())[: len(self.subject.floats.graph.outputs)]
        return [part.real(v) for v in outputs if v.dtype.kind == "f"]

    def verdict(self, tolerance: float, source: Source) -> Verdict:
        """Figures, deviations, and whether they are within tolerance."""
        names = self.subject.outputs
        distance = self.to_simulation.baseline(names).sqnr_db
        passed = not self.defects and (distance is None or distance >= tolerance)
        executed = tuple(self.loaded.executed)
        row = {
            "backend": self.backend.name,
            "version": self.backend.version(),
            "precision": self.loaded.precision,
            "sha256": hashlib.sha256(self.subject.content).hexdigest(),
            "samples": len(source),
            "sqnr_db_vs_simulation": distance,
            "max_abs": self.max_abs,
            "agreement_vs_simulation": self.to_simulation.baseline(names).agreement,
            "vs_float": asdict(self.to_float.baseline(names)),
            "simulation_vs_float": asdict(self.simulated_to_float.baseline(names)),
            "executed": _executed(executed),
            "tensors_compared": len(self.trace.taps),
            "tensors_hidden": len(self.taps) - len(self.trace.taps),
            "first_deviation": self._deviation(first_deviation),
            "first_own_deviation": self._deviation(own_deviation),
            "defects": [asdict(d) for d in self.defects],
            "kernels": self._kernels(names),
            "tolerance_db": tolerance,
            "passed": passed,
        }
        return Verdict(row | {"text": _in_words(row)}, passed, executed)

    def _kernels(self, outputs: Sequence[str]) -> dict[str, Any] | None:
        """How near the simulation in the runtime's own arithmetic is, and where it is not."""
        kernels = self.kernels
        if kernels is None or kernels.trace is None:
            return None
        search = partial(first_deviation, least=SOME)
        return {
            "layers": kernels.layers,
            "sqnr_db": kernels.comparison.baseline(outputs).sqnr_db,
            "tensors_equal": sum(figures.codes <= SOME for _, figures in kernels.trace.rows()),
            "first_deviation": self._deviation(search, kernels.trace),
        }

    def _deviation(self, search: Any, trace: Trace | None = None) -> dict[str, Any] | None:
        found: Deviation | None = search(
            trace or self.trace,
            self.defects,
            self.floats,
            on_this_processor=self.backend.on_this_processor,
        )
        return None if found is None else asdict(found)


def _check_same(floats: Values, *others: Values) -> None:
    """B007 unless all have outputs of the same shapes."""
    shapes, *found = ([value.shape for value in values] for values in (floats, *others))
    for each in found:
        if each != shapes:
            rule = f"must have the outputs of the float network, of shapes {shapes}"
            todo = "give the model that the file was made from (--against)"
            raise BackendError("B007", "file to be verified", rule, f"{each}", todo)


def _in_words(row: dict[str, Any]) -> Sentence:
    """One sentence for reports."""
    distance, agreement = row["sqnr_db_vs_simulation"], row["vs_float"]["agreement"]
    words = {name: row[name] for name in ("backend", "version")}
    words["agreement"] = "-" if agreement is None else f"{agreement:.1%}"
    if distance is None:
        return say("trust.verify_equal", **words)
    return say("trust.verify_value", distance=f"{distance:.1f}", **words)


def _executed(nodes: tuple[Executed, ...]) -> dict[str, Any]:
    """Counts, and the nodes that were not run in integers."""
    floats = [e for e in nodes if not e.integer]
    return {
        "integer": len(nodes) - len(floats),
        "float": [{"op": e.op, "precision": e.precision, "nodes": list(e.nodes)} for e in floats],
    }


__all__ = ["Defect", "Subject", "Verdict", "subject_of", "verify"]
