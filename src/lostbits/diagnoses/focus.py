"""What is attributed: the error of all outputs, or that of the part that lost most.

Where a part is far below the whole, the whole shows nothing of it: boxes of a detector carry its
power, and what is said of their error is no help for the scores. Which part that is shows when
both networks have run over the data, so that a first pass comes before the attribution.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.graph.named_parts import ALL, check_fits, named_part, no_part
from lostbits.graph.outputs import Compared
from lostbits.graph.queries import values_by_name
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.judged import far_below
from lostbits.runtime.metrics import Baseline, Comparison, Focus, Metric, Outputs
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import simulated_model
from lostbits.workers.checkpoint import Folding
from lostbits.workers.handover import by_threads
from lostbits.workers.pool import Pool
from lostbits.workers.progress import Progress


def focus_of(
    case: Case,
    source: Source,
    of: str | None,
    metric: Metric,
    batch: int,
    pool: Pool,
    progress: Progress,
) -> Focus | None:
    """What alone is attributed; None: the error of all outputs.

    Args:
        case: As it is measured; see ``runtime.measured``.
        source: Its samples.
        of: An output or a part that the user named, ``all``, or None: the worst part, where it is
            more than 10 dB below the whole.
        metric: A divergence of answers or a loss has no parts, unless one is named.
        batch: Samples a run.
        pool: Who works.
        progress: Told after every batch.

    Raises:
        TargetError: T040 for an output that does not exist, T046 for what is no part of it.
    """
    several = any(len(each.parts) > 1 for each in case.compared)
    if of == ALL or (of is None and (metric != "nsr" or not several)):
        return None
    compared = list(case.compared)
    if of is not None:
        number, part = named_part(of, compared)
        check_fits(part, values_by_name(case.model.graph)[compared[number].name])
        compared[number] = replace(compared[number], parts=(*compared[number].parts, part))
    comparison = Comparison()
    folding = Folding(pool, progress)
    job = _Comparing(case.model, simulated_model(case), source, batch, tuple(compared))
    folding.run("outputs", job, source.chunks(batch, 1), comparison)
    assert comparison.parts is not None
    parts = [(n, part) for n, each in enumerate(compared) for part in each.parts]
    powers = dict(zip(((n, part.name) for n, part in parts), comparison.parts[:, 1], strict=True))
    if of is None:
        baseline = comparison.baseline([each.name for each in compared], compared)
        return _worst(baseline, compared, powers)
    if powers[number, part.name] <= 0:
        raise no_part(part.name, "no values but zero")
    return Focus(part.name, number, part.index, float(powers[number, part.name]))


def _worst(
    baseline: Baseline, compared: Sequence[Compared], powers: dict[tuple[int, str], Any]
) -> Focus | None:
    worst = baseline.worst
    if worst is None or not far_below(baseline):
        return None
    for number, each in enumerate(compared):
        for part in each.parts:
            if part.name == worst.name:
                return Focus(part.name, number, part.index, float(powers[number, part.name]))
    return None


@final
@dataclass(frozen=True)
class _Comparing:
    """The job: outputs of both networks, batch by batch."""

    model: ir.Model
    quantized: ir.Model
    source: Source
    batch: int
    compared: tuple[Compared, ...]

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.model)

    def open(self) -> Callable[[range], Comparison]:
        plain, other = Session(self.model), Session(self.quantized, optimise=False)
        cursor = self.source.cursor()

        def work(chunk: range) -> Comparison:
            comparison = Comparison()
            for part in cursor.batches(chunk, self.batch):
                pair = [self._floats(session, part) for session in (plain, other)]
                known = Outputs.of(self.compared, part, pair[0])
                span = range(part.first, part.first + part.size)
                comparison.update(pair[0], pair[1], span, None, known)
            return comparison

        return work

    def _floats(self, session: Session, part: Batch) -> list[NDArray[Any]]:
        values = trimmed(session.run(part.feeds), part).values()
        arrays = [np.asarray(value) for value in values]
        return [a for a in arrays if a.dtype.kind == "f"][: len(self.compared)]
