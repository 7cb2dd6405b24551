"""``verify`` with dumps: what a device has put out, beside the simulation of the plan."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import final

import numpy as np
import onnx_ir as ir

from lostbits.case import Case
from lostbits.data import Source
from lostbits.dump import DumpFormat, Stored
from lostbits.dumps import stored_in
from lostbits.errors import DumpError
from lostbits.graph.qdq_view import Tap
from lostbits.language import Message, say
from lostbits.plan.ranges import make_plan
from lostbits.reader import told
from lostbits.results.dumps import DumpDeviation, DumpedTensor, DumpVerification
from lostbits.runtime.float_reference import open_reference
from lostbits.runtime.simulation import quantized_model
from lostbits.verbs.load import load
from lostbits.verbs.quantized_file import graph_of, in_float32, quantized_content
from lostbits.verbs.result_files import read, write
from lostbits.verification.dump_names import names_in
from lostbits.verification.dump_trace import Arrays, DumpTrace, Figures
from lostbits.verification.evidence import gathered
from lostbits.verification.explanations import explained
from lostbits.workers.progress import Progress, silent

_MOST_RUNS = 8  # of the device that are compared
_EXPLAINED = 6  # tensors whose deviation is explained
_NAMED = 5  # names in a message
_LEAST_OF_OTHERS = 0.5  # part of the tensors that must be of the plan


@final
@dataclass(frozen=True)
class DumpedPlan:
    """What the dumps of a device are compared with.

    Attributes:
        simulated: Q/DQ graph of the plan, whose arithmetic is the definition.
        floats: The float network, for the inputs.
        case: Of the plan, if it is one: its target says what the platform would do by itself.
    """

    simulated: ir.Model
    floats: ir.Model
    case: Case | None


def plan_of(case: Case | str | Path, against: object) -> DumpedPlan:
    """The plan of what the user named: a case, the case of a folder, or a file as it is written.

    Raises:
        LostbitsError: Whatever is wrong with the parts.
    """
    if isinstance(case, str | Path) and os.path.isdir(case):
        case = load(case)
    own = case if isinstance(case, Case) else against if isinstance(against, Case) else None
    if own is not None:
        return DumpedPlan(quantized_model(own), own.model, own)
    assert isinstance(case, str | Path)
    content = in_float32(quantized_content(Path(case)))
    floats = against if isinstance(against, ir.Model) else open_reference(Path(case)).model
    return DumpedPlan(graph_of(content), floats, None)


def verify_dumps(
    plan: DumpedPlan,
    source: Source,
    dumps: Path,
    names: str | Path | None = None,
    progress: Progress = silent,
) -> DumpVerification:
    """Compare what a device has put out with the simulation of the plan.

    Args:
        plan: What it is compared with.
        source: Samples; the n-th of them is what run n of the device was of.
        dumps: Folder of the device's files, or one file.
        names: File with names of the dump and of the model.
        progress: Told after every run.

    Raises:
        DumpError: V001 and V009; whatever else is wrong is among the problems.
    """
    problems = list[DumpError]()
    stored, formats = stored_in(dumps, problems)
    trace = DumpTrace(plan.simulated, stored, {} if names is None else names_in(Path(names)))
    trace.problems += problems
    runs = _Runs(trace, source, stored)
    runs.compare(progress)
    return runs.result(dumps, formats, {} if plan.case is None else _natives(plan.case))


def note_dumps(folders: Collection[Path], found: DumpVerification) -> None:
    """Put the comparison into result.json, in place of an earlier one of the same dumps."""
    for folder in folders:
        result = read(folder)
        others = [each for each in result.dumps if each.path != found.path]
        write(replace(result, dumps=[*others, found]), folder, ["json"])


@final
class _Runs:
    """The runs of a device that are compared."""

    def __init__(self, trace: DumpTrace, source: Source, stored: Sequence[Stored]) -> None:
        self.trace, self.stored = trace, stored
        numbers = sorted({s.sample for s in stored if s.sample is not None})
        batches = islice(source.batches(1), max(_MOST_RUNS, *(numbers or [0])) + 1)
        every = [part.feeds for part in batches]
        self.first = int(bool(numbers) and numbers[0] == 1 and numbers[-1] == len(source))
        wanted = [n - self.first for n in numbers] or list(range(len(every)))
        self.numbers = [n for n in wanted if n < len(every)][:_MOST_RUNS]
        self.feeds: list[Arrays] = [every[n] for n in self.numbers]
        self.total = len(source)

    def compare(self, progress: Progress) -> None:
        """Run by run."""
        self.trace.begin(self.feeds[0] if self.feeds else {}, self.numbers, self.first, self.total)
        for done, (number, feeds) in enumerate(zip(self.numbers, self.feeds, strict=True), 1):
            self.trace.update(feeds, number)
            progress("dumps", done, len(self.numbers))
        self._of_others()

    def _of_others(self) -> None:
        """V007 and V008: dumps of other samples, or of another model."""
        trace = self.trace
        rows = list(trace.rows())
        if not rows:
            found = f"none of {len(self.stored)} tensors is known"
            trace.problems.append(DumpError("V008", "dump", found))
            return
        nearest = trace.nearest_run(self.feeds, self.numbers, 0)
        if nearest != self.numbers[0]:
            found = f"nearest to sample {nearest}"
            trace.problems.append(DumpError("V007", f"run {self.numbers[0]}", found))
        unrelated = sum(trace.unrelated(tap.codes) for tap, _ in rows)
        if unrelated > _LEAST_OF_OTHERS * len(rows):
            found = f"{unrelated} of {len(rows)} tensors have other values altogether"
            trace.problems.append(DumpError("V008", "dump", found))

    def result(
        self, path: Path, formats: Sequence[DumpFormat], natives: Mapping[str, tuple[float, float]]
    ) -> DumpVerification:
        """What came of it."""
        trace = self.trace
        compared = sorted(trace.figures, key=trace.order)
        deviations = self._deviations(natives)
        missing = [tap.tensor for tap in trace.every if tap.codes not in trace.figures]
        if missing:
            found = f"{len(missing)} of {len(trace.every)} are missing: {_some(missing)}"
            trace.problems.append(DumpError("V003", "dump", found))
        dumped = len({s.name for s in self.stored})
        return DumpVerification(
            path=str(path),
            formats=[kind.title for kind in formats],
            samples=len(self.numbers),
            tensors_dumped=dumped,
            tensors_compared=dumped - len(trace.named.rest),
            tensors_planned=len(trace.every),
            first_deviation=deviations[0] if deviations else None,
            other_deviations=deviations[1:],
            tensors=[self._row(key) for key in compared],
            unknown=sorted(trace.named.rest),
            missing=missing,
            problems=[told(each) for each in trace.problems],
            passed=bool(compared) and not deviations,
            text=_in_words(deviations, len(trace.taps), len(trace.every)),
        )

    def _deviations(self, natives: Mapping[str, tuple[float, float]]) -> list[DumpDeviation]:
        """Of tensors that differ by themselves; else of the first at which single codes add up."""
        rows = list(self.trace.rows())
        mine = [(t, f) for t, f in rows if f.deviates] or [(t, f) for t, f in rows if f.adds_up][:1]
        few = mine[:_EXPLAINED]
        taps, figures = [tap for tap, _ in few], {tap.codes: f for tap, f in few}
        evidence = gathered(self.trace, taps, self.feeds, self.numbers, natives) if taps else []
        return [explained(each, figures[each.tap.codes]) for each in evidence]

    def _row(self, key: str) -> DumpedTensor:
        trace, figures = self.trace, self.trace.figures[key]
        tap = next((t for t in trace.taps if t.codes == key), None)
        return _tensor(key, tap, figures)


def _tensor(key: str, tap: Tap | None, figures: Figures) -> DumpedTensor:
    count, reading = max(figures.values, 1), figures.reading
    assert reading is not None
    return DumpedTensor(
        tensor=key if tap is None else tap.tensor,
        name=figures.name,
        node=tap.nodes[-1] if tap is not None and tap.nodes else "",
        quantized=tap is not None,
        values=f"{reading.kind} ({reading.dtype})",
        layout=reading.layout.name,
        runs=max(figures.runs, 1),
        codes=None if tap is None else figures.codes,
        share=None if tap is None else figures.differing / count,
        own_codes=None if tap is None else figures.own,
        own_share=None if tap is None else figures.own_share,
        sqnr_db=_decibels(figures),
        deviates=tap is not None and figures.deviates,
    )


def _decibels(figures: Figures) -> float | None:
    if not figures.error or not figures.power:
        return None
    return float(10 * np.log10(figures.power / figures.error))


def _natives(case: Case) -> dict[str, tuple[float, float]]:
    """Scale and zero point of activations by the target's own rules, where samples were seen."""
    sites = [s for s in case.placed.sites if s.streams and s.key in case.seen]
    if not sites:
        return {}
    plan = make_plan(case.model, case.placed, case.seen, case.target)
    found = [(s.tensor, plan[s.key]) for s in sites if s.key in plan and plan[s.key].axis is None]
    return {name: (float(a.scale), float(a.zero_point)) for name, a in found}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _in_words(deviations: Sequence[DumpDeviation], compared: int, planned: int) -> Message:
    words = {"compared": str(compared), "planned": str(planned)}
    if not compared:
        return say("dump.nothing", **words)
    if not deviations:
        return say("dump.equal", **words)
    return say("dump.differs", first=deviations[0].text, **words)
