"""Other codes of weights, where the runtime on this machine answers better with them.

Processors of x86 without VNNI add two products of uint8 and int8 in 16 bits, which may be too few.
The codes that stand for the same weights without a sign have kernels without that step in ONNX
Runtime; OpenVINO would run them in float32, and there fewer bits keep the sums. Nothing in the
simulation tells such a processor, unless it is told of it (``--arithmetic``). So where the runtime
of a target is at hand, the cases are run by it, on the samples that judge.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import final

from lostbits.arithmetics import X86_AVX2
from lostbits.attempts.finish import at_least
from lostbits.attempts.ledger import Entry
from lostbits.attempts.planner import LEAST
from lostbits.backend import Backend
from lostbits.backends import ALL as BACKENDS
from lostbits.case import Case
from lostbits.errors import BackendError, SimulationError
from lostbits.exporter import serialized
from lostbits.graph.large import large_constants
from lostbits.language import say
from lostbits.recoveries.kernel_sums import FewerBits, UnsignedWeights
from lostbits.recovery import Change, Recovery, Rewriting, applied
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.judged import Judged, decibels
from lostbits.runtime.measured import measured
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.simulation import quantized_model
from lostbits.system.deadline import Deadline
from lostbits.system.processor import has_vnni

_PROCESSORS = frozenset({"onnxruntime", "openvino"})  # runtimes of the processor itself
_CURES = (UnsignedWeights, FewerBits)
RUNTIME = "runtime"  # scope of what was measured there
_RUNS = 4  # passes of the judging samples in the simulation: what both runs take at the very most


@final
class InRuntime:
    """Runs cases where they will run.

    Args:
        judge: Whose samples and figures count.
        methods: What may be tried.
        deadline: When there is no time for it any more.
    """

    def __init__(self, judge: Judge, methods: Sequence[Recovery], deadline: Deadline) -> None:
        self.judge, self.deadline = judge, deadline
        self.cures = [m for m in methods if isinstance(m, _CURES)]

    def seconds(self, case: Case, judging: float) -> float:
        """That are to be left for it, where judging a case takes so many.

        What such kernels lose may be more than all attempts before have won.
        """
        told = case.target.arithmetic is None and bool(self.cures)
        return _RUNS * judging if told and not has_vnni() and _runtime(case) else 0.0

    def tried(self, case: Case, judging: float, known: Baseline) -> tuple[Case, list[Entry]]:
        """The case, with other codes where these are better, and what the ledger says of each.

        Args:
            case: What would be written.
            judging: Seconds that judging it takes.
            known: Its figures in the simulation.
        """
        runtime, entries = _runtime(case), list[Entry]()
        if runtime is None:
            return case, entries
        if self.deadline.left < _RUNS * judging:
            return case, [] if has_vnni() else self._late(case, runtime, known)
        here = _Here(self.judge, runtime, case)
        for cure in self.cures:
            other, entry = self._tried(here, cure)
            entries += [] if entry is None else [entry]
            if entry is not None and entry.kept:
                return other, entries
        return case, entries

    def _late(self, case: Case, runtime: Backend, known: Baseline) -> list[Entry]:
        """What could not be looked at, where this processor may lose by it."""
        changes = (self._change(case, cure) for cure in self.cures)
        first = next((change for change in changes if change is not None), None)
        if first is None:
            return []
        note = say("ledger.no_time_in_runtime", runtime=runtime.name)
        return [Entry(first.method, RUNTIME, 0.0, known, known, False, 0.0, note, {})]

    def _tried(self, here: "_Here", cure: Rewriting) -> tuple[Case, Entry | None]:
        case = here.case
        change = None if self.deadline.passed else self._change(case, cure)
        if change is None:
            return case, None
        start, other = time.perf_counter(), applied(case, change)
        try:
            (before, integers), (after, others) = here.own, here.ran(other)
        except (BackendError, SimulationError):  # refused, or no numbers: verify says why
            return case, None
        kept = others >= integers and _better(before, after)
        seconds = time.perf_counter() - start
        note = say("ledger.in_runtime", text=change.summary, runtime=here.runtime.name)
        figures = (before.baseline, after.baseline, kept, seconds)
        return other if kept else case, Entry(change.method, RUNTIME, 0.0, *figures, note, {})

    def _change(self, case: Case, cure: Rewriting) -> Change | None:
        """Other codes for the layers whose pairs of products can leave 16 bits."""
        if case.target.arithmetic is not None:
            return None
        if large_constants(case.model.graph) or self.judge.chooses:
            return None
        told = replace(case, target=replace(case.target, arithmetic=X86_AVX2))
        change = cure.consider(told).change()
        return None if change.empty else change


@final
class _Here:
    """A case in a runtime: it runs once, however many others are held against it."""

    def __init__(self, judge: Judge, runtime: Backend, case: Case) -> None:
        self.judge, self.runtime, self.case = judge, runtime, case

    @cached_property
    def own(self) -> tuple[Judged, int]:
        """The same of the case itself."""
        return self.ran(self.case)

    def ran(self, case: Case) -> tuple[Judged, int]:
        """Figures, and how many kernels compute in integers."""
        loaded = self.runtime.open(serialized(quantized_model(measured(case))))
        return self.judge.ran(loaded.run), sum(each.integer for each in loaded.executed)


def _better(before: Judged, after: Judged) -> bool:
    """Whether sums that no longer are cut off show.

    Nothing was learned from the samples: what is won needs no test against chance.
    """
    won = decibels(after.baseline) - decibels(before.baseline)
    return at_least(after, before) and won >= LEAST


def _runtime(case: Case) -> Backend | None:
    """That of the target, if it is at hand."""
    found = (b for b in BACKENDS if b.name == case.target.name and b.name in _PROCESSORS)
    return next((b for b in found if b.installed()), None)
