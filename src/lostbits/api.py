"""One function per verb."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lostbits.adoption import Adopted, adopt, fitting_target, folds
from lostbits.case import Case, Seen
from lostbits.data import Source, open_source, read_labels
from lostbits.diagnoses.footprint import Footprint
from lostbits.diagnoses.result import assemble, spoken
from lostbits.diagnoses.run import Run
from lostbits.diagnoses.settings import Settings
from lostbits.errors import DataError, ModelError, edge, first_line
from lostbits.graph.invalid import invalid
from lostbits.graph.place import Placed, place
from lostbits.language import say
from lostbits.recover import Bench, Wishes, calibrated, choose, held_out, saver
from lostbits.recover import recover as recovered
from lostbits.recovery import Effort
from lostbits.reporter import Result
from lostbits.results import replace_file
from lostbits.runtime.equality import check_equal
from lostbits.runtime.measure import check_metric
from lostbits.runtime.peak import Peak
from lostbits.runtime.pool import Pool
from lostbits.runtime.pools import pool as pool_of
from lostbits.runtime.progress import Progress, silent
from lostbits.runtime.reference import (
    Reference,
    input_specs,
    open_reference,
)
from lostbits.runtime.work import NAME as WORK
from lostbits.runtime.work import Work
from lostbits.system.memory import lacks_memory, out_of_memory
from lostbits.target import Target
from lostbits.targets import target as find_target

_COMPARED = 2  # samples that show whether normalising kept the network


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
    model: Path,
    data: object,
    target: Target,
    settings: Settings,
    progress: Progress = silent,
    pool: Pool | None = None,
) -> tuple[Reference, Source, Case]:
    """Load, check, calibrate and plan: everything that comes before a diagnosis or a recovery."""
    opened = _opened(model, data, target, settings)
    return opened.reference, opened.sources[0], opened.case(progress, pool)


@dataclass(frozen=True)
class _Opened:
    """A model and its data, looked at but not yet run.

    Attributes:
        sources: Samples to diagnose, and to set ranges from.
        settings: With batches that fit into the memory.
        footprint: What the run will take, where its memory is bounded.
    """

    reference: Reference
    sources: tuple[Source, Source]
    target: Target
    placed: Placed
    settings: Settings
    footprint: Footprint | None

    @classmethod
    def of(
        cls,
        model: Path,
        reference: Reference,
        sources: tuple[Source, Source],
        target: Target,
        settings: Settings,
    ) -> "_Opened":
        """Says what a bounded run will take."""
        with edge(partial(invalid, str(model))):
            placed, footprint = place(reference.model, target), None
        _check_sites(placed, model, target)
        if settings.resources.memory is not None:
            footprint = Footprint.of(reference.model, placed, sources[0])
            settings = footprint.fit(settings)
            settings.announce(footprint.said(settings))
        return cls(reference, sources, target, placed, settings, footprint)

    def case(self, progress: Progress, pool: Pool | None) -> Case:
        """Check, calibrate and plan."""
        check_equal(self.reference, self.sources[0], min(self.settings.batch, _COMPARED))
        model, told = self.reference.model, self.settings
        return calibrated(model, self.placed, self.target, self.sources, told, progress, pool)

    def reported(self, result: Result, peak: Peak, pool: Pool) -> Result:
        """The result, with what a bounded run has taken."""
        if self.footprint is None:
            return result
        return self.footprint.reported(result, self.settings, (peak.bytes, pool.peak))


def _opened(model: Path, data: object, target: Target, settings: Settings) -> _Opened:
    reference = open_reference(model, fold=folds(settings.plan))
    source = _open(data, reference, settings)
    shown = (
        source if settings.calibration is None else _open(settings.calibration, reference, settings)
    )
    return _Opened.of(model, reference, (source, shown), target, settings)


@contextmanager
def _watched() -> Iterator[Peak]:
    """Measures memory, and says so when there is none left.

    Raises:
        WorkerError: W001.
    """
    with Peak() as peak:
        try:
            yield peak
        except (MemoryError, RuntimeError) as error:
            if lacks_memory(error):
                raise out_of_memory(first_line(error)) from error
            raise


def _open(data: object, reference: Reference, settings: Settings) -> Source:
    source = open_source(data, input_specs(reference.model), preprocess=settings.preprocess)
    if settings.samples is not None and settings.samples < len(source):
        source = source.slice(0, settings.samples)
    if len(source) < 2:
        raise DataError("D032", source.description, f"{len(source)}")
    return source


def diagnose(
    model: str | Path,
    data: object,
    target: str | Target | None = "onnxruntime",
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Result:
    """Where, why and how much accuracy ``model`` loses when ``target`` quantizes it.

    Args:
        model: ONNX file.
        data: See lostbits.data: files, folders, arrays, iterables, loaders.
        target: Name, path of a TOML file, or a Target; None, with a plan in the settings, takes
            the one whose rules fit the plan best.
        settings: The rest.
        progress: Told after every batch.

    Returns:
        The content of result.json.

    Raises:
        LostbitsError: With code, place, rule, what was found and what to do.
    """
    settings = settings or Settings()
    check_metric(settings.metric)
    chosen = _chosen(target, Path(model), settings)
    clock = _Clock()
    with pool_of(settings.resources) as pool, _watched() as peak:
        with clock.stage("calibrate"):
            opened = _opened(Path(model), data, chosen, settings)
            reference, source, case = (
                opened.reference,
                opened.sources[0],
                opened.case(progress, pool),
            )
            adopted = _adopted(case, source, settings)
            case = case if adopted is None else adopted.case
        labels = _labels(reference, data, source, settings)
        with clock.stage("diagnose"):
            run = Run(case, source, opened.settings, labels)
            run.diagnose(progress, pool)
        with clock.stage("explain"):
            result = assemble(run, Path(model), reference, clock.seconds)
        result = result if adopted is None else adopted.complete(result, reference)
        return spoken(opened.reported(result, peak, pool))


def _chosen(target: str | Target | None, model: Path, settings: Settings) -> Target:
    if target is None and settings.plan is not None:
        reference = open_reference(model, fold=folds(settings.plan))
        return fitting_target(settings.plan, reference.model)
    name = "onnxruntime" if target is None else target
    return name if isinstance(name, Target) else find_target(name)


def _adopted(case: Case, source: Source, settings: Settings) -> Adopted | None:
    if settings.plan is None:
        return None
    return adopt(case, settings.plan, source, settings.overrides)


def recover(
    model: str | Path,
    data: object,
    target: str | Target = "onnxruntime",
    out: str | Path | None = None,
    settings: Settings | None = None,
    wishes: Wishes | None = None,
    progress: Progress = silent,
) -> Result:
    """Diagnose, then win back what can be won.

    Args:
        model: ONNX file.
        data: Samples; every fourth judges the attempts, unless ``wishes.evaluation`` does.
        target: Name, path of a TOML file, or a Target.
        out: Folder that keeps the best case so far: ``float.onnx`` (the float network, perhaps in
            another form of the same function) and ``quantized.onnx`` (Q/DQ, rounding included).
        settings: As for a diagnosis; ``labels`` are those of the samples that judge.
        wishes: Goal, budget, methods.
        progress: Told after every batch or layer.

    Returns:
        The content of result.json: the diagnosis of the case as it came, and the ledger.

    Raises:
        LostbitsError: With code, place, rule, what was found and what to do.
    """
    settings, wishes = settings or Settings(), wishes or Wishes()
    choose(wishes.methods)
    if out is not None:
        work = Work(Path(out) / WORK, settings.announce)
        settings = replace(settings, cache=work)
        wishes = replace(wishes, effort=replace(wishes.effort, cache=work))
    chosen = target if isinstance(target, Target) else find_target(target)
    clock = _Clock()
    with pool_of(settings.resources) as pool, _watched() as peak:
        with clock.stage("calibrate"):
            reference = open_reference(Path(model))
            bench = _bench(data, reference, settings, wishes, pool)
            sources = (bench.source, bench.source)
            opened = _Opened.of(Path(model), reference, sources, chosen, settings)
            bench = replace(bench, settings=opened.settings)
            case = opened.case(progress, pool)
        with clock.stage("diagnose"):
            run = bench.run(case, progress)
        with clock.stage("recover"):
            save = (lambda case, ledger: None) if out is None else saver(Path(out), replace_file)
            found = recovered(run, bench, wishes, save, progress)
        with clock.stage("explain"):
            result = assemble(run, Path(model), reference, clock.seconds) | found.result()
        return spoken(opened.reported(result, peak, pool))


def _bench(
    data: object, reference: Reference, settings: Settings, wishes: Wishes, pool: Pool
) -> Bench:
    """Samples to work on, samples that judge, and the labels of those."""
    source = _open(data, reference, settings)
    labels = _labels(reference, data, source, settings) if wishes.evaluation is None else None
    if wishes.evaluation is None:
        work, judges = held_out(source)
        own = None if labels is None else labels[len(work) :]
        return Bench(work, judges, own, settings, wishes.budget, pool)
    judges = _open(wishes.evaluation, reference, replace(settings, samples=None))
    labels = None if settings.labels is None else read_labels(settings.labels, len(judges))
    return Bench(source, judges, labels, settings, wishes.budget, pool)


def _labels(
    reference: Reference, data: object, source: Source, settings: Settings
) -> NDArray[np.int64] | None:
    """Labels of the samples in use; the file holds those of the whole data."""
    if settings.labels is None:
        return None
    whole = source
    if settings.samples is not None:
        whole = open_source(data, input_specs(reference.model), preprocess=settings.preprocess)
    return read_labels(settings.labels, len(whole))[: len(source)]


def _check_sites(placed: Placed, model: Path, target: Target) -> None:
    if not placed.sites:
        raise ModelError(
            "M011",
            str(model),
            f"no site; {len(placed.left_in_float)} tensors stay in float",
            target=target.name,
        )


def demo(target: str, out: Path, command: str, progress: Progress = silent) -> Result:
    """Diagnose the embedded network on its held-out digits, and recover it."""
    files = demo_files()
    settings = Settings(labels=files["labels"], calibration=files["calibration"], command=command)
    result = diagnose(files["model"], files["data"], target, settings, progress)
    wishes = Wishes(evaluation=files["data"], effort=Effort(iterations=200))
    plain = Settings(labels=files["labels"])
    found = recover(files["model"], files["calibration"], target, out, plain, wishes, progress)
    result |= {key: found[key] for key in ("ledger", "recovered")}
    result["notes"].append(demo_note(result))
    return spoken(result)


def demo_note(result: Result) -> str:
    """Whether the demo network's channels were rescaled to make it fragile."""
    if result["model"]["metadata"].get("lostbits.demo.rescaled") == "true":
        return say("note.rescaled")
    return say("note.not_rescaled")


def demo_files() -> dict[str, Path]:
    """Paths of the embedded model and its data."""
    folder = Path(str(files("lostbits") / "demo"))
    return {
        "model": folder / "digits.onnx",
        "calibration": folder / "calibration.npz",
        "data": folder / "heldout.npz",
        "labels": folder / "labels.npy",
    }


__all__ = [
    "Seen",
    "Settings",
    "Wishes",
    "build_case",
    "demo_files",
    "diagnose",
    "recover",
]
