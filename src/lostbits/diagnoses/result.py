"""The result: what a run found, put together."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from lostbits.case import Case
from lostbits.diagnoses.dead_findings import dead_findings, with_dead
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.findings import findings, with_reasons
from lostbits.diagnoses.finite import check_finite
from lostbits.diagnoses.focus import far_below
from lostbits.diagnoses.verdict import verdict
from lostbits.graph.queries import name_of
from lostbits.graph.weight_values import weight_values
from lostbits.language import Message, listed, say, verbatim
from lostbits.plan.ranges import least_scales, unfit
from lostbits.quoting import command as quoted
from lostbits.quoting import operand
from lostbits.results.diagnosis import Diagnosis, NetworkReport
from lostbits.results.facts import Coverage, DataFacts, ModelFacts, Reasoned, RuleFacts, TargetFacts
from lostbits.runtime.float_reference import Reference
from lostbits.system.peak import peak_memory
from lostbits.target import Rule, Target

WORST = "note.worst"  # code of the note that a part is far below the whole
QUANTIZERS = "note.quantizers"  # code of the note that Q/DQ pairs were taken out
_WORTH_A_WORD = 0.1  # part of the weights in float that the verdict names
_SHOWN = 5  # tensors that a note names
_SAME = 1e-5  # relative difference of two scales that are taken for equal
_TINY = float(np.finfo(np.float32).tiny)


def assemble(
    run: Run, reference: Reference, seconds: dict[str, float], *, adopted: bool = False
) -> Diagnosis:
    """Everything that was found.

    Args:
        run: A diagnosis that is done.
        reference: The float network that it is about.
        seconds: By stage.
        adopted: Whether the parameters are somebody else's, and not of the target's rules.

    Raises:
        SimulationError: S008 where a figure is not a number.
    """
    sites, case = run.sites(), run.case
    network = with_reasons(case, sites, run.network())
    plain = ["lostbits", "diagnose", operand(str(reference.path)), "--target", case.target.name]
    command = run.settings.command or quoted(plain)
    dead = dead_findings(case, run.source, network, command)
    network = with_dead(network, dead)
    found = [*dead, *findings(case, sites, network, command)]
    baseline, coverage = run.baseline, _coverage(case, len(sites))
    diagnosis = Diagnosis(
        lostbits_version=version("lostbits"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seconds=seconds,
        peak_memory_bytes=peak_memory(),
        verdict=_with_floats(
            verdict(case.target, baseline, network.attributions, sites, found), coverage
        ),
        model=_model(reference, len(sites)),
        data=_data(run),
        target=_target(case.target),
        coverage=coverage,
        baseline=baseline,
        sites=sites,
        layers=run.layers(),
        network=network,
        findings=found,
        notes=_notes(run, reference, network, adopted),
    )
    check_finite(diagnosis)
    return diagnosis


def _data(run: Run) -> DataFacts:
    source = run.source
    return DataFacts(source.description, run.done, run.interrupted, source.fingerprint())


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


def _notes(run: Run, reference: Reference, network: NetworkReport, adopted: bool) -> list[Message]:
    """What a reader must know to judge the figures."""
    notes: list[Message] = [*_on_outputs(run)]
    if run.interrupted:
        notes.append(say("note.interrupted", done=str(run.done), all=str(len(run.source))))
    if run.labels is not None and run.done and not run.sums.comparison.labelled:
        notes.append(say("note.labels_unused"))
    notes += _unfit(run, adopted)
    notes += _accumulators(run.case)
    if abs(network.residual) > 0.02:
        notes.append(say("note.residual", residual=f"{network.residual:+.1%}"))
    if reference.changes.quantizers:
        pairs, target = str(reference.changes.quantizers), run.case.target.name
        notes.append(say(QUANTIZERS, count=pairs, target=target))
    if reference.repeated:
        notes.append(say("note.repeated_outputs", outputs=", ".join(reference.repeated)))
    if run.sums.walked is not None:
        notes.append(say("note.permutations", note=network.note))
    return notes


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
    behind = list(dict.fromkeys(name for each in compared for name in each.behind))
    if behind:
        names = [each.name for each in compared if each.reader is not None]
        yield say("note.chosen", outputs=", ".join(behind), tensors=", ".join(names))
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


def _counted(channels: Mapping[str, int]) -> Message:
    """The first few tensors, with how many channels each."""
    live = [(key.removesuffix(":weight"), n) for key, n in channels.items() if n]
    named = listed([say("note.channels", count=str(n), tensor=t) for t, n in live[:_SHOWN]])
    more = str(len(live) - _SHOWN)
    return say("note.and_more", row=named, count=more) if len(live) > _SHOWN else named


def _model(reference: Reference, sites: int) -> ModelFacts:
    graph = reference.model.graph
    return ModelFacts(
        path=str(reference.path),
        sha256=reference.sha256,
        inputs=[name_of(v) for v in graph.inputs],
        outputs=[name_of(v) for v in graph.outputs],
        nodes=graph.num_nodes(),
        sites=sites,
        normalised=reference.changes,
        metadata=dict(reference.plain.metadata_props),
    )


def rule_facts(rule: Rule) -> RuleFacts:
    """The rule of one role; a method that is no built-in one stands by its name."""
    method = rule.method_name
    return RuleFacts(
        rule.grid,
        rule.symmetric,
        rule.per_channel,
        method,
        rule.power_of_two,
        rule.minimum_range,
    )


def _target(target: Target) -> TargetFacts:
    return TargetFacts(
        name=target.name,
        title=verbatim(target.title),
        weights=rule_facts(target.weights),
        activations=rule_facts(target.activations),
        bias_bits=target.bias_bits,
        takes=verbatim(target.takes),
        sources=list(target.sources),
    )
