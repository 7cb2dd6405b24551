"""Codes of weights that suit the processor that a recovery runs on, where the runtime runs there.

ONNX Runtime and OpenVINO add products of uint8 and int8 in pairs of 16 bits on x86 without VNNI.
Nothing but such a processor shows what that costs, and a plan for one seldom says so. What the
attempts found is therefore held against the arithmetic of this processor at the end: unsigned
weights are the same numbers, and cost nothing elsewhere.

References:
    ONNX Runtime, Quantize ONNX Models: U8U8 and reduce_range. OpenVINO computes layers whose
    weights are unsigned in float32, so there only fewer bits are tried.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lostbits.arithmetics import X86_AVX2
from lostbits.attempts.bench import Bench
from lostbits.attempts.ledger import Entry
from lostbits.attempts.planner import LEAST, Planner
from lostbits.case import Case
from lostbits.errors import SimulationError
from lostbits.language import say
from lostbits.recoveries.kernel_sums import FewerBits, UnsignedWeights
from lostbits.recovery import Change, Recovery, Rewriting, applied
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.judged import decibels
from lostbits.system.processor import has_vnni
from lostbits.targets import ONNXRUNTIME, OPENVINO

PROCESSOR = "processor"  # scope of what suits the one at hand
_CURES: Mapping[str, Rewriting] = {
    ONNXRUNTIME.name: UnsignedWeights(),
    OPENVINO.name: FewerBits(),
}
_SAMPLES = 8
_TIMES = 10.0  # as long as one sample without pairs; by experience


def suited(
    case: Case, bench: Bench, planner: Planner, methods: Sequence[Recovery], seconds: float
) -> Case:
    """The case, or one with other codes of weights, where this processor computes that better.

    Args:
        case: What the attempts found.
        bench: With the samples that judge.
        planner: Whose ledger it is told in.
        methods: What may be tried.
        seconds: That are left.
    """
    cure = _CURES.get(case.target.name)
    if cure is None or cure.name not in {m.name for m in methods}:
        return case
    if has_vnni() or case.target.arithmetic is not None:
        return case
    here = replace(case, target=replace(case.target, arithmetic=X86_AVX2))
    change = cure.consider(here).change()
    if change.empty or seconds < 2 * _TIMES * _SAMPLES * planner.judging / len(bench.judges):
        return case
    return _measured(case, here, change, bench, planner)


def _measured(case: Case, here: Case, change: Change, bench: Bench, planner: Planner) -> Case:
    """The better of both on this processor, and a line of the ledger."""
    began, count = time.perf_counter(), min(_SAMPLES, len(bench.judges))
    judge = Judge(case.model, bench.judges.slice(0, count), compared=case.compared)
    try:
        before, after = judge(here), judge(applied(here, change))
    except SimulationError as error:
        if error.code != "S005":  # without numbers there is nothing to choose by
            raise
        return case
    kept = decibels(after) > decibels(before) + LEAST
    told = say("ledger.on_processor", text=change.summary, count=str(count))
    figures = (before, after, kept, time.perf_counter() - began)
    planner.ledger.append(Entry(change.method, PROCESSOR, 0.0, *figures, told, change.skipped))
    return applied(case, change) if kept else case
