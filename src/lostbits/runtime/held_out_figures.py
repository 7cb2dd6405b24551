"""Figures of a case on samples that no recovery has seen, with hard integer rounding."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.graph.outputs import Compared
from lostbits.graph.queries import is_float, name_of
from lostbits.runtime.calibration import Arrays, trimmed
from lostbits.runtime.measured import measured, measured_model
from lostbits.runtime.metrics import Baseline, Comparison, Outputs
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import not_finite, quantized_model
from lostbits.workers.handover import by_threads
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess

_BATCH = 8


@final
@dataclass(frozen=True)
class _Answer:
    """Of a batch: its samples, its float outputs in order, and what is known of these."""

    size: int
    floats: list[NDArray[np.float32]]
    known: Outputs


@final
@dataclass(frozen=True)
class _Run:
    """The job: what a network answers, batch by batch."""

    model: ir.Model
    source: Source
    optimise: bool
    compared: Sequence[Compared]

    @property
    def by_threads(self) -> bool:
        """See ``Job``."""
        return by_threads(self.source, self.model)

    def open(self) -> Callable[[range], list[_Answer]]:
        session, cursor = Session(self.model, optimise=self.optimise), self.source.cursor()

        def work(chunk: range) -> list[_Answer]:
            parts = cursor.batches(chunk, _BATCH)
            return [self._answer(part, _floats(session.run(part.feeds), part)) for part in parts]

        return work

    def _answer(self, part: Batch, floats: list[NDArray[np.float32]]) -> _Answer:
        known = floats[: len(self.compared)]  # a file of another maker may give more
        return _Answer(part.size, floats, Outputs.of(self.compared, part, known))


def _floats(values: Arrays, part: Batch) -> list[NDArray[np.float32]]:
    arrays = (np.asarray(a) for a in trimmed(values, part).values())
    return [a for a in arrays if a.dtype.kind == "f"]


@final
class Judge:
    """Compares cases with the float network, which runs once.

    Args:
        model: The float network; all cases must be of the same function.
        source: The samples.
        labels: Their class numbers, or None.
        pool: Who runs the networks; None is this process.
        compared: What of the network is compared; nothing: its float outputs, of which no more is
            known.
    """

    def __init__(
        self,
        model: ir.Model,
        source: Source,
        labels: NDArray[np.int64] | None = None,
        pool: Pool | None = None,
        compared: Sequence[Compared] = (),
    ) -> None:
        self.source, self.labels, self.pool = source, labels, pool or InProcess()
        self.compared, model = compared, measured_model(model, compared)
        self.names = [name_of(v) for v in model.graph.outputs if is_float(v)]
        self._floats = list(self._outputs(model, optimise=True))

    def __call__(self, case: Case) -> Baseline:
        """How far the quantized network of ``case`` is from the float one."""
        return self._of(quantized_model(measured(case)))

    def of(self, model: ir.Model) -> Baseline:
        """How far any network of the same inputs is from the float one, by its first outputs.

        Raises:
            SimulationError: S005 where it answers with what is not finite; S021 where it lacks
                what is compared.
        """
        return self._of(measured_model(model, self.compared))

    def _of(self, model: ir.Model) -> Baseline:
        comparison = Comparison()
        others = self._outputs(model, optimise=False)
        first = 0
        for plain, other in zip(self._floats, others, strict=True):
            self._check(other.floats, first, plain.size)
            span = range(first, first + plain.size)
            pair = plain.floats, other.floats[: len(plain.floats)]
            comparison.update(*pair, span, self.labels, plain.known)
            first += plain.size
        return comparison.baseline(self.names, self.compared)

    def _check(self, outputs: list[NDArray[np.float32]], first: int, size: int) -> None:
        for name, output in zip(self.names, outputs, strict=False):
            if not np.isfinite(output).all():
                span = f"within the judging samples {first} to {first + size - 1}"
                raise not_finite(f"output {name!r}", f"NaN or infinity {span}")

    def _outputs(self, model: ir.Model, *, optimise: bool) -> Iterator[_Answer]:
        """In the order of the samples."""
        chunks = self.source.chunks(_BATCH, _BATCH)
        job = _Run(model, self.source, optimise, self.compared)
        for outputs in self.pool.map(job, chunks):
            yield from outputs
