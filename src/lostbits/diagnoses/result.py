"""The result: what a run found, put together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.arithmetic_findings import arithmetic_findings, with_arithmetic
from lostbits.diagnoses.cancelling import together
from lostbits.diagnoses.dead_findings import dead_findings, with_dead
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.fact_sheets import model_facts, target_facts
from lostbits.diagnoses.findings import findings, with_reasons
from lostbits.diagnoses.finite import check_finite
from lostbits.diagnoses.judgement import judged
from lostbits.diagnoses.left_sums import arithmetic_report, left_out
from lostbits.diagnoses.sample_check import mismatch_finding, sample_notes
from lostbits.diagnoses.steps import WHOLE, Steps, repair_finding, step_notes
from lostbits.diagnoses.verdict import verdict
from lostbits.graph.outputs import choice, rows
from lostbits.graph.queries import opset
from lostbits.graph.weight_values import weight_values
from lostbits.language import Message, listed, say
from lostbits.plan.ranges import least_scales, unfit
from lostbits.quoting import command as quoted
from lostbits.quoting import operand
from lostbits.results.diagnosis import Diagnosis, Finding, NetworkReport
from lostbits.results.facts import (
    Coverage,
    DataFacts,
    Reasoned,
    Use,
)
from lostbits.results.samples import SampleCheck
from lostbits.results.sites import SiteReport
from lostbits.runtime.float_reference import Reference
from lostbits.runtime.goal import Goal
from lostbits.runtime.intervals import wilson
from lostbits.runtime.judged import far_below
from lostbits.runtime.metrics import Baseline
from lostbits.system.peak import peak_memory

WORST = "note.worst"  # code of the note that a part is far below the whole
QUANTIZERS = "note.quantizers"  # code of the note that Q/DQ pairs were taken out
_USES: tuple[Use, Use] = ("calibration", "evaluation")
_WORTH_A_WORD = 0.1  # part of the weights in float that the verdict names
_SHOWN = 5  # tensors that a note names
_SAME = 1e-5  # relative difference of two scales that are taken for equal
_TINY = float(np.finfo(np.float32).tiny)


@final
class Evaluation(NamedTuple):
    """The samples that judge a recovery, which attributions do not look at.

    Attributes:
        figures: Of the case as it came.
        data: Which samples.
        labels: Theirs, or None.
    """

    figures: Baseline
    data: DataFacts
    labels: NDArray[np.int64] | None


@final
@dataclass(frozen=True)
class Circumstances:
    """What a result tells beside what its run has measured.

    Attributes:
        adopted: Whether the parameters are somebody else's, and not of the target's rules.
        goals: What the verdict shall hold it to.
        unseen: Whether other samples have set the ranges.
        check: What the samples say of themselves.
        steps: A broken network taken apart, and what setting sites to float restores.
        judges: Figures of the samples that a recovery is judged on, where there was one.
    """

    adopted: bool = False
    goals: Sequence[Goal] = ()
    unseen: bool = False
    check: SampleCheck | None = None
    steps: Steps = WHOLE
    judges: Evaluation | None = None


def assemble(
    run: Run, reference: Reference, seconds: dict[str, float], around: Circumstances
) -> Diagnosis:
    """Everything that was found.

    Args:
        run: A diagnosis that is done.
        reference: The float network that it is about.
        seconds: By stage.
        around: What is to be told besides.

    Raises:
        SimulationError: S008 where a figure is not a number.
    """
    sites, case, check, steps = run.sites(), run.case, around.check, around.steps
    arithmetic = arithmetic_report(case, run.sums.left)
    network = together(steps.network or run.network(), case)
    network = with_arithmetic(case, with_reasons(case, sites, network), arithmetic)
    plain = ["lostbits", "diagnose", operand(str(reference.path)), "--target", case.target.name]
    if case.target.arithmetic is not None:
        plain += ["--arithmetic", case.target.arithmetic.name]
    command = run.settings.command or quoted(plain)
    dead = dead_findings(case, run.source, network, command)
    network = with_dead(network, dead)
    kernels = arithmetic_findings(case, run.source, network, arithmetic, command)
    found = _findings(case, sites, network, command, around, (dead, kernels))
    own, judges = replace(run.baseline, metric=run.metric), around.judges
    baseline, count = (own, run.done) if judges is None else (judges.figures, judges.data.samples)
    at_chance = _at_chance(run.case, run.labels if judges is None else judges.labels, baseline)
    taken = len(sites) + len(case.written)
    judgement = judged(baseline, count, matched=taken, at_chance=at_chance, goals=around.goals)
    told = _of_labels(baseline, at_chance) + ([] if check is None else sample_notes(check))
    coverage = _coverage(case, len(sites))
    diagnosis = Diagnosis(
        lostbits_version=version("lostbits"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seconds=seconds,
        peak_memory_bytes=peak_memory(),
        verdict=_with_floats(
            verdict(case.target, baseline, network, sites, found, judgement), coverage
        ),
        judgement=judgement,
        samples=check,
        repair=steps.repair,
        restore=steps.restore,
        arithmetic=arithmetic,
        evaluation=None if judges is None else judges.data,
        model=model_facts(reference, len(sites)),
        data=_data(run, around.unseen),
        target=target_facts(case.target),
        coverage=coverage,
        baseline=baseline,
        sites=sites,
        layers=run.layers(),
        network=network,
        findings=found,
        notes=[*told, *step_notes(steps), *_notes(run, reference, network, around.adopted)],
    )
    check_finite(diagnosis)
    return diagnosis


def _findings(
    case: Case,
    sites: Sequence[SiteReport],
    network: NetworkReport,
    command: str,
    around: Circumstances,
    others: tuple[list[Finding], list[Finding]],
) -> list[Finding]:
    """Samples of another kind are the only one; then what died, and what must be repaired.

    Of the rest, those of tensors and those of kernels, the largest comes first.
    """
    dead, kernels = others
    check, repair = around.check, around.steps.repair
    mismatch = None if check is None else mismatch_finding(check, network, command)
    if mismatch is not None:
        return [mismatch]
    repairs = [] if repair is None else [repair_finding(case, sites, repair, command)]
    rest = [*findings(case, sites, network, command), *kernels]
    return [*dead, *repairs, *sorted(rest, key=lambda each: -each.share)]


def _at_chance(case: Case, labels: NDArray[np.int64] | None, baseline: Baseline) -> bool:
    """Whether float answers no better than by chance, as far as so many labels can tell."""
    if labels is None or baseline.accuracy_float is None or not baseline.labelled:
        return False
    if baseline.labels_off:
        return True
    shape = case.model.graph.outputs[0].shape
    last = None if shape is None else shape[-1]
    classes = last if isinstance(last, int) else int(labels.max()) + 1
    return wilson(baseline.accuracy_float, baseline.labelled)[0] <= 1 / max(classes, 1)


def _data(run: Run, unseen: bool) -> DataFacts:
    use = _USES[unseen]
    return samples_used(run.source, use, run.done, interrupted=run.interrupted)


def samples_used(source: Source, use: Use, done: int, *, interrupted: bool = False) -> DataFacts:
    """What a result tells of samples."""
    return DataFacts(source.description, done, interrupted, source.fingerprint(), use)


def _coverage(case: Case, matched: int) -> Coverage:
    planned = [s for s in case.placed.sites if s.key not in case.plan]
    left = [Reasoned(tensor, why) for tensor, why in case.placed.left_in_float.items()]
    unmatched = [Reasoned(s.tensor, say("note.set_to_float")) for s in planned]
    weights = weight_values(case.model.graph, {s.tensor for s in case.sites})
    return Coverage(matched, len(case.placed.sites), unmatched, left, *weights)


def _with_floats(told: Message, coverage: Coverage) -> Message:
    """The verdict, and how much of the weights is no part of it, where that is a good part."""
    if coverage.float_share < _WORTH_A_WORD:
        return told
    return say("verdict.floats", verdict=told, share=f"{coverage.float_share:.0%}")


def _of_labels(baseline: Baseline, at_chance: bool) -> list[Message]:
    if not at_chance:
        idle = baseline.agreement is not None and baseline.telling_agreement is None
        return [say("note.one_answer", count=str(baseline.answers))] if idle else []
    told = f"{baseline.accuracy_float:.1%}"
    if baseline.labels_off:
        code = "note.labels_one_above" if baseline.labels_off > 0 else "note.labels_one_below"
        return [say(code, share=told, count=str(baseline.labelled))]
    return [say("note.labels_at_chance", share=told, count=str(baseline.labelled))]


def _notes(run: Run, reference: Reference, network: NetworkReport, adopted: bool) -> list[Message]:
    """What a reader must know to judge the figures."""
    notes: list[Message] = [*_on_outputs(run), *_on_samples(run), *_cut_short(run)]
    if run.labels is not None and run.done and not run.sums.comparison.labelled:
        notes.append(say("note.labels_unused"))
    if run.metric is not None:
        code = "note.loss_attributed" if network.metric == "loss" else "note.metric_decides"
        notes.append(say(code, name=run.metric.name))
    notes += _unfit(run, adopted)
    notes += _saturated(run.case)
    notes += _accumulators(run.case)
    notes += _arithmetic(run)
    if abs(network.residual) > 0.02:
        notes.append(say("note.residual", residual=f"{network.residual:+.1%}"))
    if reference.changes.quantizers:
        pairs, target = str(reference.changes.quantizers), run.case.target.name
        notes.append(say(QUANTIZERS, count=pairs, target=target))
    notes += _on_reading(reference)
    if reference.repeated:
        notes.append(say("note.repeated_outputs", outputs=", ".join(reference.repeated)))
    if run.sums.walked is not None:
        notes.append(say("note.permutations", note=network.note))
    return notes


def _on_samples(run: Run) -> Iterator[Message]:
    """What lay beside the samples and is none."""
    if run.source.skipped:
        yield say("samples.skipped", files=run.source.skipped)


def _on_reading(reference: Reference) -> Iterator[Message]:
    """What the file was made into before all work."""
    changes = reference.changes
    if changes.opset:
        own = str(changes.opset)
        yield say("note.opset", found=own, used=str(opset(reference.model)))
    if changes.floats:
        code = "note.in_float32" if "double" in changes.floats else "note.exactly_in_float32"
        yield say(code, floats=", ".join(changes.floats))
        if reference.rounding_db is not None:
            yield say("note.own_rounding", value=f"{reference.rounding_db:.1f}")
    if changes.assumed:
        yield say("note.branches", nodes=", ".join(changes.assumed))
    if changes.control_flow:
        yield say("note.control_flow", nodes=", ".join(changes.control_flow))


def _cut_short(run: Run) -> Iterator[Message]:
    """That not all samples were looked at, and why."""
    done = str(run.done)
    if run.interrupted:
        yield say("note.interrupted", done=done, all=str(len(run.source)))
    elif run.late:
        yield say("note.late", done=done, all=str(run.wanted))
    if run.unwalked:
        yield say("note.unwalked", runs=str(2 * len(run.case.attributed_sites)))


def _on_outputs(run: Run) -> Iterator[Message]:
    """Which part the loss is that of, what stands for outputs, and what was left out."""
    baseline, focus, compared = run.baseline, run.focus, run.case.compared
    whole = _decibels(baseline.sqnr_db)
    parts = [part for output in baseline.outputs for part in output.parts]
    named = [part for part in parts if focus is not None and part.name == focus.name]
    if focus is not None and named and far_below(baseline) and named[0] == baseline.worst:
        dead = say("note.part_dead") if named[0].dead else ""
        own = _decibels(named[0].sqnr_db)
        yield say(WORST, part=focus.name, value=own, dead=dead, whole=whole)
    elif focus is not None:
        yield say("note.part_told", part=focus.name)
    yield from (told for told in (choice(compared), rows(compared)) if told is not None)
    for each in compared:
        if each.mask is not None:
            yield say("note.masked", output=each.name, input=each.mask.input)


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _unfit(run: Run, adopted: bool) -> list[Message]:
    """Tensors whose range is not that of the target's method; a plan from a file has its own."""
    wishes = run.settings.overrides
    wished = {wish.tensor for wish in wishes}
    found = [each for each in unfit(run.case, wishes) if not adopted or each.tensor in wished]
    named = [
        say("note.too_few", tensor=e.tensor, size=str(e.size), method=e.method, least=str(e.least))
        for e in found
    ]
    return [say("note.min_max_instead", where=listed(named))] if named else []


def _saturated(case: Case) -> list[Message]:
    """Tensors whose range ends where values stop to mean anything; masks apart from others."""
    rows: dict[bool, list[Message]] = {True: [], False: []}
    for site in case.sites:
        ends, seen = case.saturations.get(site.tensor), case.seen.get(site.key)
        if ends is None or seen is None:
            continue
        lo, hi = float(seen.whole.lo.min()), float(seen.whole.hi.max())
        if lo <= np.float32(ends.lo) or hi >= np.float32(ends.hi):
            end = f"{ends.lo if lo <= np.float32(ends.lo) else ends.hi:.4g}"
            rows[ends.mask].append(say("note.saturates_at", tensor=site.tensor, end=end))
    codes = {True: "note.masks", False: "note.saturates"}
    return [say(codes[mask], where=_first(named)) for mask, named in rows.items() if named]


def _first(named: list[Message]) -> Message:
    shown, more = listed(named[:_SHOWN]), str(len(named) - _SHOWN)
    return say("note.and_more", row=shown, count=more) if len(named) > _SHOWN else shown


def _accumulators(case: Case) -> list[Message]:
    """Weights with channels at, or below, the least scale that their biases allow."""
    least = least_scales(case.model, case.placed, case.plan, case.target, case.written)
    ratios = {key: case.plan[key].scale / np.maximum(v, _TINY) for key, v in least.items()}
    at = {key: int((np.abs(r - 1) <= _SAME).sum()) for key, r in ratios.items()}
    below = {key: int((r < 1 - _SAME).sum()) for key, r in ratios.items()}
    return [
        say(code, where=_counted(counts))
        for code, counts in (("note.widened", at), ("note.narrow", below))
        if any(counts.values())
    ]


def _arithmetic(run: Run) -> Iterator[Message]:
    """What was simulated, and which layers were not."""
    own = run.case.target.arithmetic
    if own is None:
        return
    yield say("note.arithmetic", name=own.name, title=own.title)
    if run.sums.walked is not None:
        yield say("note.arithmetic_walked")
    if missing := left_out(run.case, run.sums.left):
        shown, more = ", ".join(missing[:_SHOWN]), len(missing) - _SHOWN
        rest = say("note.and_others", count=str(more)) if more > 0 else ""
        yield say("note.arithmetic_ideal", nodes=shown, more=rest)


def _counted(channels: Mapping[str, int]) -> Message:
    """The first few tensors, with how many channels each."""
    live = [(key.removesuffix(":weight"), n) for key, n in channels.items() if n]
    return _first([say("note.channels", count=str(n), tensor=t) for t, n in live])
