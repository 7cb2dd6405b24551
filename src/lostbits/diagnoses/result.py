"""The result: what a run found, as plain data."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lostbits.case import Case, least_scales, unfit
from lostbits.diagnoses.findings import findings, reasons
from lostbits.diagnoses.finite import check_finite
from lostbits.diagnoses.run import Run
from lostbits.diagnoses.verdict import verdict
from lostbits.diagnosis import NetworkReport
from lostbits.graph.queries import name_of
from lostbits.language import Sentence, listed, say, sentences
from lostbits.quoting import command as quoted
from lostbits.quoting import operand
from lostbits.reporter import FORMAT, Result
from lostbits.runtime.peak import peak_memory
from lostbits.runtime.reference import Reference
from lostbits.target import Target

_SHOWN = 5  # tensors that a note names
_SAME = 1e-5  # relative difference of two scales that are taken for equal
_TINY = float(np.finfo(np.float32).tiny)


def assemble(run: Run, model: Path, reference: Reference, seconds: dict[str, float]) -> Result:
    """Everything that was found, as the content of result.json."""
    sites = run.sites()
    network = run.network()
    plain = ["lostbits", "diagnose", operand(str(model)), "--target", run.case.target.name]
    command = run.settings.command or quoted(plain)
    found = findings(run.case, sites, network, command)
    names = [
        name_of(v) for v in run.case.model.graph.outputs if name_of(v) in run.case.output_energy
    ]
    baseline = run.sums.comparison.baseline(names)
    parts = reasons(run.case, sites, network)
    left = run.case.placed.left_in_float
    return {
        "format": FORMAT,
        "lostbits_version": version("lostbits"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seconds": seconds,
        "peak_memory_bytes": peak_memory(),
        "memory": None,
        "verdict": verdict(run.case.target, baseline, parts, sites, found),
        "model": _model(model, reference, len(sites)),
        "data": {
            "source": run.source.description,
            "samples": run.done,
            "interrupted": run.interrupted,
            "sha256": run.source.fingerprint(),
        },
        "target": _target(run.case.target),
        "coverage": {
            "sites_matched": len(sites),
            "sites_total": len(run.case.placed.sites),
            "unmatched": [
                {"tensor": s.tensor, "reason": say("note.set_to_float")}
                for s in run.case.placed.sites
                if s.key not in run.case.plan
            ],
            "left_in_float": [{"tensor": t, "reason": why} for t, why in left.items()],
        },
        "baseline": asdict(baseline),
        "sites": [s.row() for s in sites],
        "layers": [asdict(r) for r in run.layers()],
        "network": asdict(network)
        | {"attributions": [asdict(part) | {"reason": reason} for part, reason in parts]},
        "findings": [asdict(f) for f in found],
        "ledger": [],
        "exports": [],
        "verify": [],
        "notes": _notes(run, reference, network),
    }


def spoken(result: Result) -> Result:
    """The result with what its sentences were composed from, for other languages.

    Raises:
        SimulationError: S008 where a figure is not a number.
    """
    check_finite(result)
    return {**result, "sentences": sentences(result)}


def _notes(run: Run, reference: Reference, network: NetworkReport) -> list[str]:
    """What a reader must know to judge the figures."""
    notes: list[str] = []
    if run.interrupted:
        notes.append(say("note.interrupted", done=str(run.done), all=str(len(run.source))))
    if run.labels is not None and run.done and not run.sums.comparison.labelled:
        notes.append(say("note.labels_unused"))
    notes += _unfit(run)
    notes += _accumulators(run.case)
    if abs(network.residual) > 0.02:
        notes.append(say("note.residual", residual=f"{network.residual:+.1%}"))
    if reference.changes.quantizers:
        pairs, target = str(reference.changes.quantizers), run.case.target.name
        notes.append(say("note.quantizers", count=pairs, target=target))
    if reference.repeated:
        notes.append(say("note.repeated_outputs", outputs=", ".join(reference.repeated)))
    if run.sums.walked is not None:
        notes.append(say("note.permutations", note=network.note))
    return notes


def _unfit(run: Run) -> list[str]:
    """Tensors whose range is not that of the target's method; a plan from a file has its own."""
    wishes = run.settings.overrides
    wished = {wish.tensor for wish in wishes}
    found = [
        each
        for each in unfit(run.case, wishes)
        if run.settings.plan is None or each.tensor in wished
    ]
    named = [
        say("note.too_few", tensor=e.tensor, size=str(e.size), method=e.method, least=str(e.least))
        for e in found
    ]
    return [say("note.min_max_instead", where=listed(named))] if named else []


def _accumulators(case: Case) -> list[str]:
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


def _counted(channels: Mapping[str, int]) -> Sentence:
    """The first few tensors, with how many channels each."""
    live = [(key.removesuffix(":weight"), n) for key, n in channels.items() if n]
    named = listed([say("note.channels", count=str(n), tensor=t) for t, n in live[:_SHOWN]])
    more = str(len(live) - _SHOWN)
    return say("note.and_more", row=named, count=more) if len(live) > _SHOWN else named


def _model(path: Path, reference: Reference, sites: int) -> dict[str, Any]:
    graph = reference.model.graph
    return {
        "path": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "inputs": [name_of(v) for v in graph.inputs],
        "outputs": [name_of(v) for v in graph.outputs],
        "nodes": graph.num_nodes(),
        "sites": sites,
        "normalised": asdict(reference.changes),
        "metadata": dict(reference.plain.metadata_props),
    }


def _target(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "title": target.title,
        "weights": asdict(target.weights),
        "activations": asdict(target.activations),
        "bias_bits": target.bias_bits,
        "takes": target.takes,
        "sources": [asdict(s) for s in target.sources],
    }
