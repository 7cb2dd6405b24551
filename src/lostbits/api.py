"""One function per verb."""

import hashlib
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, final, get_args

import numpy as np
import torch

from lostbits.case import Case, Override, Seen, look_at_constants, make_plan
from lostbits.data import Preprocess, Source, open_source, read_labels
from lostbits.diagnoses.findings import by_role, findings
from lostbits.diagnoses.layers import LayerErrors
from lostbits.diagnoses.network import NetworkErrors
from lostbits.diagnoses.permutation import PermutationErrors
from lostbits.diagnoses.sites import SiteErrors
from lostbits.diagnosis import Baseline, Finding, NetworkReport
from lostbits.errors import (
    DataError,
    ModelError,
    OutputError,
    SimulationError,
    TargetError,
    close_match,
)
from lostbits.graph.place import Placed, place
from lostbits.graph.queries import name_of
from lostbits.reporter import FORMAT, Reporter, Result
from lostbits.reporters import ALL as REPORTERS
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.executor import Executor
from lostbits.runtime.lockstep import compare
from lostbits.runtime.measure import Comparison, Value, check_metric
from lostbits.runtime.progress import Progress, silent, tracked
from lostbits.runtime.reference import (
    Reference,
    check_equal,
    input_specs,
    open_reference,
    relative_error,
)
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Simulation
from lostbits.target import Target
from lostbits.targets import target as find_target

Method = Literal["auto", "aumann-shapley", "permutation"]
_MEMORY = 1.2e9  # bytes that the tensors of one diagnosed batch may take, all copies together
_COPIES = 10  # of a float32 activation that are alive at once while it is attributed
_PERMUTED_SAMPLES = 16


@final
@dataclass(frozen=True)
class Settings:
    """What a diagnosis may be told beyond model, data and target.

    Attributes:
        labels: Class numbers of the samples, for accuracy.
        calibration: Samples that set the ranges, if not the ones that are diagnosed.
        metric: ``nsr`` or ``kl``: what is attributed.
        method: Of the network attribution; ``auto`` takes the gradient where there is one.
        samples: Use only the first of them.
        batch: Samples a run while calibrating.
        seed: Of permutations beyond the first two.
        overrides: Wishes for single tensors.
        preprocess: For folders of images.
        command: The command line that stands in findings and result.
    """

    labels: Path | None = None
    calibration: object = None
    metric: str = "nsr"
    method: Method = "auto"
    samples: int | None = None
    batch: int = 8
    seed: int = 0
    overrides: tuple[Override, ...] = ()
    preprocess: Preprocess | None = None
    command: str = ""


@dataclass
class _Clock:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def build_case(
    model: Path, data: object, target: Target, settings: Settings, progress: Progress = silent
) -> tuple[Reference, Source, Case]:
    """Load, check, calibrate and plan: everything that comes before a diagnosis or a recovery."""
    reference = open_reference(model)
    source = _open(data, reference, settings)
    shown = (
        source if settings.calibration is None else _open(settings.calibration, reference, settings)
    )
    check_equal(reference, source, settings.batch)
    placed = place(reference.model, target)
    _check_sites(placed, model, target)
    seen, energy = calibrate(reference.model, placed.sites, shown, settings.batch, progress)
    seen |= look_at_constants(reference.model, placed.sites)
    plan = make_plan(reference.model, placed, seen, target, settings.overrides)
    scale = len(source) / len(shown)
    energy = {name: e * scale for name, e in energy.items()}
    case = Case(reference.model, target, placed, seen, plan, energy, len(source))
    return reference, source, case


def _open(data: object, reference: Reference, settings: Settings) -> Source:
    source = open_source(data, input_specs(reference.model), preprocess=settings.preprocess)
    if settings.samples is not None and settings.samples < len(source):
        source = source.slice(0, settings.samples)
    if len(source) < 2:
        raise DataError(
            "D032",
            source.description,
            "a diagnosis needs at least 2 samples (it compares halves)",
            f"{len(source)}",
            "give more samples",
        )
    return source


def diagnose(
    model: str | Path,
    data: object,
    target: str | Target = "onnxruntime",
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Result:
    """Where, why and how much accuracy ``model`` loses when ``target`` quantizes it.

    Args:
        model: ONNX file.
        data: See lostbits.data: files, folders, arrays, iterables, loaders.
        target: Name, path of a TOML file, or a Target.
        settings: The rest.
        progress: Told after every batch.

    Returns:
        The content of result.json.

    Raises:
        LostbitsError: With code, place, rule, what was found and what to do.
    """
    settings = settings or Settings()
    check_metric(settings.metric)
    chosen = target if isinstance(target, Target) else find_target(target)
    clock = _Clock()
    with clock.stage("calibrate"):
        reference, source, case = build_case(Path(model), data, chosen, settings, progress)
    labels = None if settings.labels is None else read_labels(settings.labels, len(source))
    with clock.stage("diagnose"):
        run = _Run(case, source, settings, labels)
        run.diagnose(progress)
    with clock.stage("explain"):
        result = run.result(Path(model), reference, clock)
    result["seconds"] = clock.seconds
    return result


def _check_sites(placed: Placed, model: Path, target: Target) -> None:
    if not placed.sites:
        raise ModelError(
            "M011",
            str(model),
            f"target {target.name!r} must find something to quantize",
            f"no site; {len(placed.left_in_float)} tensors stay in float",
            "check that the model has Conv, Gemm or MatMul with constant weights",
        )


@dataclass
class _Run:
    """One diagnosis in progress."""

    case: Case
    source: Source
    settings: Settings
    labels: Any
    interrupted: bool = False
    done: int = 0

    def __post_init__(self) -> None:
        self.executor = Executor(self.case.model, self.case.sites)
        self.simulation = Simulation(self.case)
        self.plain = Session(self.case.model)
        metric = check_metric(self.settings.metric)
        self.value = Value(metric, self.case.output_energy, self.case.samples)
        self.site_errors = SiteErrors(self.case)
        self.layer_errors = LayerErrors(self.case, self.executor)
        self.comparison = Comparison(self.labels)
        self.gradient = NetworkErrors(self.case, self.executor, self.value)
        self.permutation: PermutationErrors | None = None
        self.agreement_db: list[float] = []

    def diagnose(self, progress: Progress) -> None:
        """Stream the data once; an interrupt keeps what is finished."""
        batches = self.source.batches(self._batch())
        try:
            for part in tracked(batches, "diagnosis", len(self.source), progress):
                self._one(part)
                self.done += part.size
        except KeyboardInterrupt:
            if not self.done:
                raise
            self.interrupted = True

    def _batch(self) -> int:
        """As many samples as fit into the memory that one batch may take."""
        values = sum(s.whole.size for k, s in self.case.seen.items() if not k.endswith(":weight"))
        each = 4 * _COPIES * values / self.case.samples
        return int(np.clip(_MEMORY // max(each, 1), 1, 16))

    def _one(self, part: Any) -> None:
        others, frozen = self.simulation.run(part)
        floats = compare(self.executor, part, frozen, (self.site_errors, self.layer_errors))
        arrays = [f.numpy() for f in floats]
        if part.first == 0:
            self._check_executor(part, arrays)
            self._choose_method()
        keep = [i for i, f in enumerate(floats) if f.is_floating_point()]
        self.comparison.update(
            [arrays[i] for i in keep], [others[i] for i in keep], part.first, part.size
        )
        if self.permutation is None:
            tensors = [torch.from_numpy(np.array(others[i])) for i in keep]
            self.gradient.update(part, frozen, [floats[i] for i in keep], tensors)
        elif self.permutation.samples < _PERMUTED_SAMPLES:
            self.permutation.update(part)

    def _check_executor(self, part: Any, arrays: Sequence[Any]) -> None:
        """The explaining executor must compute what ONNX Runtime computes."""
        expected = self.plain.run(part.feeds)
        for value, array in zip(self.case.model.graph.outputs, arrays, strict=True):
            reference = (
                expected[name_of(value)][: part.size] if array.ndim else expected[name_of(value)]
            )
            error = relative_error(array, reference)
            if not error < 1e-3:
                raise SimulationError(
                    "S002",
                    f"output {name_of(value)!r}",
                    "the executor must agree with ONNX Runtime",
                    f"relative error {error:.1e}",
                    "please report the model; --method permutation does without it",
                )

    def _choose_method(self) -> None:
        opaque = sorted(self.executor.opaque)
        if self.settings.method == "aumann-shapley" and opaque:
            raise TargetError(
                "T008",
                "--method aumann-shapley",
                "needs a gradient through every node",
                f"none through {', '.join(opaque[:5])}",
                "use --method auto or permutation",
            )
        if self.settings.method == "permutation" or (self.settings.method == "auto" and opaque):
            self.permutation = PermutationErrors(self.case, self.value, self.settings.seed)
        self.opaque = opaque

    def _network(self) -> NetworkReport:
        if self.permutation is None:
            return self.gradient.report()
        reason = "no gradient through " + ", ".join(self.opaque[:5]) if self.opaque else "as asked"
        return self.permutation.report(reason)

    def result(self, model: Path, reference: Reference, clock: _Clock) -> Result:
        """Everything that was found, as plain data."""
        sites = self.site_errors.reports()
        network = self._network()
        command = (
            self.settings.command or f"lostbits diagnose {model} --target {self.case.target.name}"
        )
        found = findings(self.case, sites, network, command)
        names = [
            name_of(v)
            for v in self.case.model.graph.outputs
            if name_of(v) in self.case.output_energy
        ]
        baseline = self.comparison.baseline(names)
        left = self.case.placed.left_in_float
        return {
            "format": FORMAT,
            "lostbits_version": version("lostbits"),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "seconds": clock.seconds,
            "peak_memory_bytes": peak_memory(),
            "verdict": verdict(self.case.target, baseline, network, found),
            "model": _model(model, reference, len(sites)),
            "data": {
                "source": self.source.description,
                "samples": self.done,
                "interrupted": self.interrupted,
                "sha256": self.source.fingerprint(),
            },
            "target": _target(self.case.target),
            "coverage": {
                "sites_matched": len(sites),
                "sites_total": len(self.case.placed.sites),
                "unmatched": [
                    {"tensor": s.tensor, "reason": "set to float"}
                    for s in self.case.placed.sites
                    if s.key not in self.case.plan
                ],
                "left_in_float": [{"tensor": t, "reason": why} for t, why in left.items()],
            },
            "baseline": asdict(baseline),
            "sites": [asdict(s) for s in sites],
            "layers": [asdict(r) for r in self.layer_errors.reports()],
            "network": asdict(network),
            "findings": [asdict(f) for f in found],
            "ledger": [],
            "exports": [],
            "verify": [],
            "notes": self._notes(reference, network),
        }

    def _notes(self, reference: Reference, network: NetworkReport) -> list[str]:
        """What a reader must know to judge the figures."""
        notes = []
        if self.interrupted:
            notes.append(
                f"Interrupted: these are the figures of the first {self.done} of "
                f"{len(self.source)} samples."
            )
        if abs(network.residual) > 0.02:
            notes.append(f"The attribution does not close: residual {network.residual:+.1%}.")
        if reference.changes.quantizers:
            notes.append(
                f"The file held {reference.changes.quantizers} Q/DQ pairs; they were taken out, and "
                f"the plan is {self.case.target.name}'s own."
            )
        if self.permutation is not None:
            notes.append(f"Attribution by permutations: {network.note}.")
        return notes


def verdict(
    target: Target, baseline: Baseline, network: NetworkReport, found: Sequence[Finding]
) -> str:
    """Two sentences for the first screen."""
    bits = f"{target.activations.grid.name} for {target.name}"
    if baseline.accuracy_float is not None and baseline.accuracy_quantized is not None:
        first = (
            f"{bits} answers {baseline.accuracy_quantized:.1%} correctly, float "
            f"{baseline.accuracy_float:.1%}"
        )
    elif baseline.agreement is not None:
        first = f"{bits} keeps {baseline.agreement:.1%} of the answers"
    else:
        first = f"{bits} changes the output"
    noise = "no output error" if baseline.sqnr_db is None else f"SQNR {baseline.sqnr_db:.1f} dB"
    if not found:
        return f"{first} ({noise}). Nothing was lost."
    roles = max(by_role(network).items(), key=lambda item: item[1])
    few = sum(f.share for f in found[:4])
    return (
        f"{first} ({noise}). {roles[1]:.0%} of the loss comes from {roles[0]}s; the first "
        f"{min(len(found), 4)} findings carry {few:.0%}, led by {found[0].reason.replace('_', ' ')} of "
        f"{found[0].tensor}."
    )


def peak_memory() -> int:
    """Largest resident size of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _model(path: Path, reference: Reference, sites: int) -> dict[str, Any]:
    graph = reference.model.graph
    return {
        "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "inputs": [name_of(v) for v in graph.inputs],
        "outputs": [name_of(v) for v in graph.outputs],
        "nodes": graph.num_nodes(),
        "sites": sites,
        "normalised": asdict(reference.changes),
        "metadata": dict(reference.plain.metadata_props),
    }


def _target(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "title": target.title,
        "weights": asdict(target.weights),
        "activations": asdict(target.activations),
        "bias_bits": target.bias_bits,
        "takes": target.takes,
        "sources": [asdict(s) for s in target.sources],
    }


def reporter(name: str) -> Reporter:
    """The reporter of that name.

    Raises:
        TargetError: T009.
    """
    for known in REPORTERS:
        if known.name == name:
            return known
    raise TargetError(
        "T009",
        f"--format {name}",
        "must name a report",
        "no such format",
        close_match(name, [r.name for r in REPORTERS]),
    )


def write(result: Result, folder: Path, formats: Sequence[str] = ("json",)) -> list[Path]:
    """Write result files, each replaced as a whole or not at all.

    Raises:
        OutputError: O001 when the folder cannot be written to.
    """
    written = []
    for each in [reporter(name) for name in formats]:
        if each.file is not None:
            written.append(folder / each.file)
            _replace(folder / each.file, each.render(result))
    return written


def _replace(path: Path, text: str) -> None:
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, delete=False, encoding="utf-8", suffix=".part"
        ) as file:
            temporary = Path(file.name)
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise OutputError(
            "O001",
            str(path),
            "must be writable",
            error.strerror or str(error),
            "free some space or choose another --out; what was there before is unchanged",
        ) from error


def read(folder: Path) -> Result:
    """The result in ``folder``.

    Raises:
        OutputError: O002 when there is none, or none of this format.
    """
    path = folder / "result.json"
    try:
        result: Result = json.loads(path.read_text(encoding="utf-8"))
        found = str(result.get("format"))
    except (OSError, ValueError, AttributeError) as error:
        raise OutputError(
            "O002", str(path), "must hold a result", str(error), "run lostbits diagnose first"
        ) from error
    if found != FORMAT:
        raise OutputError("O002", str(path), f"must be of format {FORMAT}", found, "diagnose again")
    return result


def check_method(name: str) -> Method:
    """``name``, if it is an attribution method.

    Raises:
        TargetError: T010.
    """
    known = get_args(Method)
    if name not in known:
        raise TargetError(
            "T010", f"--method {name}", "must be known", "no such method", close_match(name, known)
        )
    return name  # type: ignore[no-any-return]


def demo_note(result: Result) -> str:
    """Whether the demo network's channels were rescaled to make it fragile."""
    if result["model"]["metadata"].get("lostbits.demo.rescaled") == "true":
        return "The demo network's channels were rescaled without changing its float function."
    return "The demo network is as training left it; nothing was rescaled to make int8 fail."


def demo_files() -> dict[str, Path]:
    """Paths of the embedded model and its data."""
    folder = Path(str(files("lostbits") / "demo"))
    return {
        "model": folder / "digits.onnx",
        "calibration": folder / "calibration.npz",
        "data": folder / "heldout.npz",
        "labels": folder / "labels.npy",
    }


__all__ = ["Seen", "Settings", "build_case", "demo_files", "diagnose", "write"]
