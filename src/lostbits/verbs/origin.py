"""Where a case comes from: what ``load`` has opened and was told, for every later verb."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from numpy.typing import NDArray

from lostbits.case import Case, Origin
from lostbits.data import Preprocess, Source, open_source, read_labels, read_truth
from lostbits.diagnoses.memory_estimate import Footprint
from lostbits.diagnoses.settings import Settings
from lostbits.errors import DataError, check_number, first_line
from lostbits.foreign.adopt_plan import Adopted, adopt
from lostbits.foreign.file import Foreign
from lostbits.foreign.known_faults import without_static
from lostbits.graph.compared_outputs import compared_outputs
from lostbits.graph.outputs import Compared
from lostbits.graph.place import Placed
from lostbits.graph.told_outputs import Told
from lostbits.language import Message
from lostbits.metric import Custom, Metric
from lostbits.plan.calibrated import calibrated
from lostbits.results.diagnosis import Diagnosis
from lostbits.runtime.float_reference import Reference, input_specs
from lostbits.system.memory import lacks_memory, out_of_memory
from lostbits.system.peak import Peak
from lostbits.target import Target
from lostbits.verbs.arguments import wrong_type
from lostbits.workers.pool import Pool
from lostbits.workers.pools import pool as pool_of
from lostbits.workers.progress import Progress

_MOST_SAMPLES = 1 << 40


@final
@dataclass(frozen=True)
class Samples:
    """Samples in use, and which they are of the data that were named.

    Attributes:
        source: Those in use.
        numbers: Which samples of the whole they are, rising.
        whole: How many the whole has, which labels are for.
        path: What was named, if it was a path; for commands that are printed.
        parted: What they are a part of, where samples were kept apart to judge; else None.
        notes: What is to be said of how they were parted.
    """

    source: Source
    numbers: Sequence[int]
    whole: int
    path: str = ""
    parted: "Samples | None" = None
    notes: tuple[Message, ...] = ()

    def labels(self, given: object, metric: Metric | None = None) -> NDArray[Any] | None:
        """Labels of the samples in use; what is given holds those of the whole.

        Args:
            given: Class numbers, or what the metric takes.
            metric: That will be measured.

        Raises:
            DataError: D047 where the metric needs some and there are none; see ``data.labels``.
        """
        if given is None:
            if metric is not None and metric.labels != "none" and not isinstance(metric, Custom):
                name, form = metric.name, metric.title
                raise DataError("D047", "--labels", "not given", metric=name, form=form)
            return None
        read = read_truth if metric is not None and metric.labels == "any" else read_labels
        return read(given, self.whole).take(self.numbers, axis=0)

    def part(self, kept: Sequence[int]) -> "Samples":
        """Some of them, by their numbers among these, rising."""
        first, stop = kept[0], kept[-1] + 1
        together = stop - first == len(kept)
        some = self.source.slice(first, stop) if together else self.source.pick(kept)
        return replace(self, source=some, numbers=[self.numbers[n] for n in kept], parted=self)


@final
@dataclass(frozen=True)
class Provenance(Origin):
    """What a case was made of.

    Attributes:
        reference: The float network.
        placed: Sites of the target.
        target: Whose rules.
        data: What is measured and judged; None where nothing was given.
        calibration: What sets ranges and teaches; None: the data do.
        settings: How it was calibrated, which later verbs inherit.
        footprint: Of a run with bounded memory.
        foreign: Somebody else's parameters.
        adopted: What became of those.
        kept: The case that a recovery has kept, whose plan and constants these are.
        folder: Where it keeps that.
        told: What was said of outputs.
        arithmetic: Name or path of the arithmetic that was asked for.
        seconds: That loading took.
        peaks: Bytes, of this process and of a worker, while it was loaded.
    """

    reference: Reference
    placed: Placed
    target: Target
    data: Samples | None
    calibration: Samples | None
    settings: Settings
    footprint: Footprint | None = None
    foreign: Foreign | None = None
    adopted: Adopted | None = None
    kept: Case | None = None
    folder: Path | None = None
    told: Told = field(default_factory=Told)
    arithmetic: str | None = None
    seconds: float = 0.0
    peaks: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """Of the model's file, or of the model."""
        return self.reference.path.name

    @property
    def compared(self) -> tuple[Compared, ...]:
        """What is compared: that of a case that was kept, else what graph and user say.

        Raises:
            TargetError: T040 to T043; see ``compared_outputs``.
        """
        if self.kept is not None and self.kept.compared:
            return self.kept.compared
        return compared_outputs(self.reference.model.graph, self.told)

    @property
    def judged(self) -> Samples:
        """The data.

        Raises:
            DataError: D036 where there are none.
        """
        if self.data is None:
            raise DataError(
                "D036",
                str(self.reference.path),
                "a case without data",
            )
        return self.data

    def calibrate(self, source: Source, progress: Progress, pool: Pool | None) -> Case:
        """The case with statistics of these samples, planned as it was loaded.

        By the target's rules, or with somebody else's parameters, or with those of a recovery.
        """
        told = self.settings
        case = calibrated(
            self.reference.model,
            self.placed,
            self.target,
            source,
            batch=told.batch,
            overrides=told.overrides,
            work=told.cache,
            progress=progress,
            pool=pool,
            compared=self.compared,
        )
        if self.kept is not None:
            case = replace(case, plan=self.kept.plan, written=self.kept.written)
        if self.foreign is None:
            return replace(case, origin=self)
        adopted = adopt(case, self.foreign, source, told.overrides)
        return replace(adopted.case, origin=replace(self, adopted=adopted))

    def completed(self, found: Diagnosis, peaks: tuple[int, int]) -> Diagnosis:
        """The diagnosis, with what is to be said of the file and of the memory."""
        if self.adopted is not None:
            found = self.adopted.complete(found, self.reference)
        if self.footprint is None:
            return found
        most = tuple(map(max, zip(self.peaks, peaks, strict=True)))
        return self.footprint.reported(found, self.settings, (most[0], most[1]))


def origin_of(case: object) -> Provenance:
    """What a case was made of.

    Raises:
        TargetError: T018 for what ``load`` has not made.
    """
    if isinstance(case, Case) and isinstance(case.origin, Provenance):
        return case.origin
    raise wrong_type("case", "what lostbits.load returns", case, "case = lostbits.load(...)")


def check_static(case: Case) -> None:
    """Raise I026 for a plan whose activations have the scale of each run: none can take that on."""
    if dynamic := [site.tensor for site in case.sites if site.dynamic]:
        raise without_static(dynamic)


def timed(case: Case, seconds: float) -> Case:
    """The case, whose origin knows how long loading took."""
    return replace(case, origin=replace(origin_of(case), seconds=seconds))


def samples_of(
    data: object, reference: Reference, count: int | None, preprocess: Preprocess | None
) -> Samples:
    """The first samples of what was named.

    Raises:
        DataError: D032 for fewer than two; see ``data.open_source``.
    """
    source = whole = open_source(data, input_specs(reference.model), preprocess=preprocess)
    if count is not None:
        check_number("--samples", count, 1, _MOST_SAMPLES)
        source = source.slice(0, min(count, len(source)))
    if len(source) < 2:
        raise DataError(
            "D032",
            source.description,
            f"{len(source)}",
        )
    return Samples(
        source, range(len(source)), len(whole), str(data) if isinstance(data, str | Path) else ""
    )


@contextmanager
def working(settings: Settings, workers: int | Pool | None) -> Iterator[tuple[Pool, Peak]]:
    """Who works, and how much memory that takes; a pool that was given stays open.

    Raises:
        WorkerError: W001 when there is no memory left; see ``pools.pool``.
    """
    with ExitStack() as stack:
        pool = (
            workers
            if isinstance(workers, Pool)
            else stack.enter_context(pool_of(settings.resources))
        )
        peak = stack.enter_context(Peak())  # looks only where memory is bounded by now
        try:
            yield pool, peak
        except (MemoryError, RuntimeError) as error:
            if lacks_memory(error):
                raise out_of_memory(first_line(error)) from error
            raise


def adjusted(settings: Settings, workers: int | Pool | None, threads: int | None) -> Settings:
    """The settings with other workers, where this verb was told of some."""
    resources = settings.resources
    if isinstance(workers, int):
        resources = replace(resources, workers=workers)
    if threads is not None:
        resources = replace(resources, threads=threads)
    return replace(settings, resources=resources)
