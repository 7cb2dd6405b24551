"""A quantized model of somebody else's, run as it is written, beside its simulation."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.errors import LostbitsError, described
from lostbits.language import Message, say
from lostbits.runtime.measured import measured, measured_model
from lostbits.runtime.metrics import Comparison, Outputs
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import quantized_model

_AT_ONCE = 8  # samples of the one batch that is run
_ALONE = 32  # samples, each a run of its own, where a scale is that of the run
_FAITHFUL_DB = 40.0  # below, the case is not quite the file's network
Arrays = list[NDArray[Any]]


@final
@dataclass(frozen=True)
class OwnRun:
    """What came of running a file.

    Attributes:
        simulation_db: Of the simulated network against the file; None where they are equal.
        sqnr_db: Of the file against the float network; None where they are equal.
        samples: Of both figures; 0: it was not run, or could not be compared.
        obstacle: Why not.
    """

    simulation_db: float | None = None
    sqnr_db: float | None = None
    samples: int = 0
    obstacle: Message | None = None

    @property
    def unfaithful(self) -> bool:
        """Whether the simulation is another network, so that the file's own figure counts."""
        return self.simulation_db is not None and self.simulation_db < _FAITHFUL_DB


def run_beside(case: Case, own: ir.Model, source: Source) -> OwnRun:
    """The file on the first samples; it need not run here to be diagnosed."""
    parts = list(_batches(case, source))
    try:
        runner = Session(measured_model(own, case.compared), optimise=False)
        files = [_outputs(runner, case, part) for part in parts]
    except LostbitsError as error:  # the result says that and why it was not run
        return OwnRun(obstacle=say("plan.no_run", why=described(error)))
    return _compared(case, parts, files)


def _compared(case: Case, parts: list[Batch], files: list[Arrays]) -> OwnRun:
    ending = measured(case)
    sessions = [Session(m, optimise=False) for m in (quantized_model(ending), ending.model)]
    simulated, floats, samples = Comparison(), Comparison(), 0
    for part, file in zip(parts, files, strict=True):
        ours, plain = (_outputs(session, case, part) for session in sessions)
        if [a.shape for a in file] != [a.shape for a in ours]:
            return OwnRun(obstacle=say("plan.no_run_shapes"))
        if not all(np.isfinite(a).all() for a in file):
            return OwnRun(obstacle=say("plan.no_run_infinite"))
        span = range(part.first, part.first + part.size)
        simulated.update(file, ours, span, None, Outputs.of(case.compared, part, file))
        floats.update(plain, file, span, None, Outputs.of(case.compared, part, plain))
        samples += part.size
    names = [each.name for each in case.compared]
    figures = [each.baseline(names, case.compared).sqnr_db for each in (simulated, floats)]
    return OwnRun(figures[0], figures[1], samples)


def _batches(case: Case, source: Source) -> Iterator[Batch]:
    if any(site.dynamic for site in case.sites):
        return islice(source.batches(1), _ALONE)
    return islice(source.batches(_AT_ONCE), 1)


def _outputs(session: Session, case: Case, part: Batch) -> Arrays:
    count = len(case.compared)
    return [part.real(a) for a in list(session.run(part.feeds).values())[:count]]
