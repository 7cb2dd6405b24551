"""The result: what a run found, as plain data."""

import hashlib
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from lostbits.case import Case, least_scales
from lostbits.diagnoses.findings import by_role, findings
from lostbits.diagnoses.run import Run
from lostbits.diagnosis import Finding, NetworkReport
from lostbits.graph.queries import name_of
from lostbits.reporter import FORMAT, Result
from lostbits.runtime.measure import Baseline
from lostbits.runtime.reference import Reference
from lostbits.target import Target

_SHOWN = 5  # tensors that a note names
_SAME = 1e-5  # relative difference of two scales that are taken for equal
_TINY = float(np.finfo(np.float32).tiny)


def assemble(run: Run, model: Path, reference: Reference, seconds: dict[str, float]) -> Result:
    """Everything that was found, as the content of result.json."""
    sites = run.site_errors.reports()
    network = run.network()
    command = run.settings.command or f"lostbits diagnose {model} --target {run.case.target.name}"
    found = findings(run.case, sites, network, command)
    names = [
        name_of(v) for v in run.case.model.graph.outputs if name_of(v) in run.case.output_energy
    ]
    baseline = run.comparison.baseline(names)
    left = run.case.placed.left_in_float
    return {
        "format": FORMAT,
        "lostbits_version": version("lostbits"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seconds": seconds,
        "peak_memory_bytes": peak_memory(),
        "verdict": verdict(run.case.target, baseline, network, found),
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
                {"tensor": s.tensor, "reason": "set to float"}
                for s in run.case.placed.sites
                if s.key not in run.case.plan
            ],
            "left_in_float": [{"tensor": t, "reason": why} for t, why in left.items()],
        },
        "baseline": asdict(baseline),
        "sites": [asdict(s) for s in sites],
        "layers": [asdict(r) for r in run.layer_errors.reports()],
        "network": asdict(network),
        "findings": [asdict(f) for f in found],
        "ledger": [],
        "exports": [],
        "verify": [],
        "notes": _notes(run, reference, network),
    }


def _notes(run: Run, reference: Reference, network: NetworkReport) -> list[str]:
    """What a reader must know to judge the figures."""
    notes = []
    if run.interrupted:
        notes.append(
            f"Interrupted: these are the figures of the first {run.done} of "
            f"{len(run.source)} samples."
        )
    notes += _accumulators(run.case)
    if abs(network.residual) > 0.02:
        notes.append(f"The attribution does not close: residual {network.residual:+.1%}.")
    if reference.changes.quantizers:
        notes.append(
            f"The file held {reference.changes.quantizers} Q/DQ pairs; they were taken out, and "
            f"the plan is {run.case.target.name}'s own."
        )
    if run.permutation is not None:
        notes.append(f"Attribution by permutations: {network.note}.")
    return notes


def _accumulators(case: Case) -> list[str]:
    """Weights with channels at, or below, the least scale that their biases allow."""
    least = least_scales(case.model, case.placed, case.plan, case.target, case.written)
    ratios = {key: case.plan[key].scale / np.maximum(v, _TINY) for key, v in least.items()}
    at = {key: int((np.abs(r - 1) <= _SAME).sum()) for key, r in ratios.items()}
    below = {key: int((r < 1 - _SAME).sum()) for key, r in ratios.items()}
    notes = {
        "Weight scales wider than the weights need, so that bias and products fit into the 32 bits "
        "of the accumulator": at,
        "Weight scales so small that bias and products may exceed the 32 bits of the accumulator, "
        "which then turns the sign of the channel": below,
    }
    return [
        f"{text}: {_counted(counts)}." for text, counts in notes.items() if any(counts.values())
    ]


def _counted(channels: Mapping[str, int]) -> str:
    """The first few tensors, with how many channels each."""
    live = [(key.removesuffix(":weight"), n) for key, n in channels.items() if n]
    named = ", ".join(f"{n} of {tensor}" for tensor, n in live[:_SHOWN])
    return named + (f", and of {len(live) - _SHOWN} more weights" if len(live) > _SHOWN else "")


def verdict(
    target: Target, baseline: Baseline, network: NetworkReport, found: Sequence[Finding]
) -> str:
    """Two sentences for the first screen."""
    bits = f"{target.activations.grid.name} for {target.name}"
    if baseline.accuracy_float is not None and baseline.accuracy_quantized is not None:
        first = (
            f"{bits} answers {baseline.accuracy_quantized:.1%} correctly, float "
            f"{baseline.accuracy_float:.1%}"
        )
    elif baseline.agreement is not None:
        first = f"{bits} keeps {baseline.agreement:.1%} of the answers"
    else:
        first = f"{bits} changes the output"
    noise = "no output error" if baseline.sqnr_db is None else f"SQNR {baseline.sqnr_db:.1f} dB"
    if not found:
        return f"{first} ({noise}). Nothing was lost."
    roles = max(by_role(network).items(), key=lambda item: item[1])
    few = sum(f.share for f in found[:4])
    return (
        f"{first} ({noise}). {roles[1]:.0%} of the loss comes from {roles[0]}s; the first "
        f"{min(len(found), 4)} findings carry {few:.0%}, led by "
        f"{found[0].reason.replace('_', ' ')} of {found[0].tensor}."
    )


def peak_memory() -> int:
    """Largest resident size of this process so far, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


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
