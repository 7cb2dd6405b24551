"""Figures of a case on samples that no recovery has seen, with hard integer rounding."""

from typing import final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.graph.queries import is_float, name_of
from lostbits.runtime.calibration import trimmed
from lostbits.runtime.measure import Baseline, Comparison
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model

_BATCH = 8


@final
class Judge:
    """Compares cases with the float network, which runs once.

    Args:
        model: The float network; all cases must be of the same function.
        source: The samples.
        labels: Their class numbers, or None.
    """

    def __init__(
        self, model: ir.Model, source: Source, labels: NDArray[np.int64] | None = None
    ) -> None:
        self.source, self.labels = source, labels
        self.names = [name_of(v) for v in model.graph.outputs if is_float(v)]
        self._floats = self._outputs(Session(model))

    def __call__(self, case: Case) -> Baseline:
        """How far the quantized network of ``case`` is from the float one."""
        return self.of(Session(quantized_model(case), optimise=False))

    def of(self, session: Session) -> Baseline:
        """How far any network of the same inputs is from the float one, by its first outputs."""
        comparison = Comparison(self.labels)
        others = self._outputs(session)
        first = 0
        for (size, floats), (_, quantized) in zip(self._floats, others, strict=True):
            comparison.update(floats, quantized[: len(floats)], first, size)
            first += size
        return comparison.baseline(self.names)

    def _outputs(self, session: Session) -> list[tuple[int, list[NDArray[np.float32]]]]:
        """Float outputs of every batch, in the order of the graph, with the batch's size."""
        found = []
        for part in self.source.batches(_BATCH):
            values = trimmed(session.run(part.feeds), part)
            arrays = [np.asarray(a) for a in values.values()]
            found.append((part.size, [a for a in arrays if a.dtype.kind == "f"]))
        return found
