"""The diagnosis on EfficientNet-Lite0: closure, deletion test, simulation, time, memory.

Run ``python benchmarks/prepare.py`` first. Prints the tables of docs/benchmarks.md::

    python benchmarks/diagnosis.py [--only closure,statistics,ranges,quadrature,deletion,...]

Time is a ratio of two measurements of one run on one machine; nothing here is a test.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch

import lostbits
from lostbits.api import build_case
from lostbits.case import Case, Seen
from lostbits.data import Batch, Source
from lostbits.diagnoses.network import NetworkErrors
from lostbits.diagnoses.permutation import Coalitions
from lostbits.diagnoses.settings import Settings
from lostbits.diagnosis import NetworkReport
from lostbits.estimators import ALL as ESTIMATORS
from lostbits.graph.instrument import with_outputs
from lostbits.graph.place import place
from lostbits.graph.site import Site
from lostbits.reporter import Result
from lostbits.runtime.calibration import calibrate
from lostbits.runtime.checkpoint import Folding
from lostbits.runtime.executor import Executor
from lostbits.runtime.lockstep import observe
from lostbits.runtime.measure import Value, decibels
from lostbits.runtime.pool import Resources
from lostbits.runtime.pools import pool
from lostbits.runtime.progress import silent
from lostbits.runtime.reference import input_specs, open_reference
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Simulation, live, quantized_model, replayed
from lostbits.statistics import Histogram
from lostbits.system.memory import limit
from lostbits.targets import target

FOLDER = Path(__file__).parents[1] / "build" / "bench"
MODEL, DATA, HELD_OUT, MANY = (
    FOLDER / name
    for name in ("efficientnet_lite0.onnx", "calibration.npy", "evaluation.npy", "many.npy")
)
limit(None)  # before the first thread, as the command does
TARGETS = ("snpe", "tensorrt", "qnn-htp")
SAMPLES = 64
HELD_OUT_SAMPLES = 32


def closure() -> None:
    """Sum of the attributions against the measured total, coverage, and time, for three targets.

    On two sets of photographs: where errors of batches do not cancel, more of them are refined.
    """
    for data in (DATA, MANY):
        print(f"\n## Closure and time (the first 64 photographs of {data.name})\n")
        _closures(data)


def _closures(data: Path) -> None:
    print(
        "| target | sites | SQNR dB | agreed | sum / total | passes | ORT s | s | ratio | stages |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in TARGETS:
        unit = _inference(data)
        start = time.perf_counter()
        result = lostbits.diagnose(MODEL, data, name, Settings(samples=SAMPLES))
        wall = time.perf_counter() - start
        unit = min(unit, _inference(data))
        print(_closure_row(name, result, unit, wall))
        splits = [
            abs(s["mse_round"] + s["mse_clip"] - s["mse"]) / max(s["mse"], 1e-300)
            for s in result["sites"]
        ]
        print(f"<!-- {name}: worst |round + clip - total| / total = {max(splits):.1e} -->")


def _closure_row(name: str, result: Result, unit: float, wall: float) -> str:
    network, coverage, base = result["network"], result["coverage"], result["baseline"]
    stages = ", ".join(f"{k} {v:.1f}" for k, v in result["seconds"].items())
    return (
        f"| {name} | {coverage['sites_matched']} of {coverage['sites_total']} | "
        f"{base['sqnr_db']:.1f} | {base['agreement']:.3f} | {1 + network['residual']:.4f} | "
        f"{network['evaluations']:.1f} | {unit:.2f} | {wall:.1f} | {wall / unit:.0f} | {stages} |"
    )


def statistics() -> None:
    """Extremes and histograms, which every range method reads, against plain inference."""
    print("\n## Statistics for all range methods (512 photographs, one pass)\n")
    print("| target | sites | ORT s | s | ratio |")
    print("|---|---|---|---|---|")
    model, source = _opened(MANY)
    folding = Folding(pool(Resources()), silent)
    for name in TARGETS:
        sites = _streamed(model, name)
        unit = _inference(MANY, len(source))
        wall = float("inf")
        for _ in range(2):  # the unit is the best of six
            start = time.perf_counter()
            calibrate(model, sites, source, Settings().batch, folding)
            wall = min(wall, time.perf_counter() - start)
        unit = min(unit, _inference(MANY, len(source)))
        print(f"| {name} | {len(sites)} | {unit:.2f} | {wall:.1f} | {wall / unit:.1f} |")


def ranges() -> None:
    """Ranges from counts in bins that adapt, against those from bins that were fixed beforehand."""
    print("\n## One look at the data or two (64 photographs, ranges of 8 bits)\n")
    print("| target | method | same | largest change, part of the range |")
    print("|---|---|---|---|")
    model, source = _opened(DATA)
    source = source.slice(0, SAMPLES)
    for name in TARGETS:
        rule, sites = target(name).activations, _streamed(model, name)
        seen, _ = calibrate(model, sites, source, Settings().batch)
        fixed = _fixed(model, sites, source, seen)
        for method in ESTIMATORS:
            pairs = [
                [method(h, rule.grid, symmetric=rule.symmetric) for h in (seen[s.key].whole, f)]
                for s, f in zip(sites, fixed, strict=True)
            ]
            changes = [np.abs(np.subtract(a, b)).max() / (b.hi - b.lo) for a, b in pairs]
            same = np.mean([c < 1e-5 for c in changes])
            print(f"| {name} | {method.name} | {same:.0%} | {max(changes):.1e} |")


def _opened(data: Path) -> tuple[ir.Model, Source]:
    model = open_reference(MODEL).model
    return model, lostbits.data.open_source(str(data), input_specs(model))


def _streamed(model: ir.Model, name: str) -> list[Site]:
    return [s for s in place(model, target(name)).sites if s.streams]


def _fixed(
    model: ir.Model, sites: Sequence[Site], source: Source, seen: dict[str, Seen]
) -> list[Histogram]:
    known = [seen[s.key].whole for s in sites]
    counted = [Histogram(h.lo, h.hi, h.bins) for h in known]
    session = Session(with_outputs(model, [s.tensor for s in sites]))
    for part in source.batches(Settings().batch):
        values = {**part.feeds, **session.run(part.feeds)}
        for site, histogram in zip(sites, counted, strict=True):
            histogram.update(values[site.tensor])
    return counted


def quadrature() -> None:
    """Shares by the rule that every batch begins with, against a rule of ten evaluations."""
    print("\n## Shares by two evaluations, against ten (64 photographs)\n")
    print("| photographs | target | sum / total | largest | worst, points | all together, points |")
    print("|---|---|---|---|---|---|")
    for data in (DATA, MANY):
        for name in TARGETS:
            _, source, case = build_case(MODEL, data, target(name), Settings(samples=SAMPLES))
            coarse, fine = (_attributed(case, source, rule) for rule in (1, 3))
            finer = {(a.tensor, a.role, a.cause): a.share for a in fine.attributions}
            off = [abs(a.share - finer[a.tensor, a.role, a.cause]) for a in coarse.attributions]
            print(
                f"| {data.name} | {name} | {1 + coarse.residual:.4f} | {max(finer.values()):.1%} | "
                f"{100 * max(off):.1f} | {100 * sum(off):.1f} |"
            )


def _attributed(case: Case, source: Source, rule: int) -> NetworkReport:
    executor, simulation = Executor(case.model, case.players), Simulation(case)
    value = Value("nsr", case.output_energy, case.samples)
    errors = NetworkErrors(case, executor, value, rules=(rule, rule))
    for part in source.batches(8):
        others, frozen = simulation.run(part)
        floats = observe(executor, part)
        errors.update(part, frozen, floats, [torch.from_numpy(np.array(o)) for o in others])
    return errors.report()


def deletion() -> None:
    """Output error left on other photographs when the first k sites are set to float."""
    print("\n## Deletion test (`snpe`, judged on 32 other photographs)\n")
    result = lostbits.diagnose(MODEL, DATA, "snpe", Settings(samples=SAMPLES))
    _, _, case = build_case(MODEL, DATA, target("snpe"), Settings(samples=SAMPLES))
    source = lostbits.data.open_source(str(HELD_OUT), _specs(case)).slice(0, HELD_OUT_SAMPLES)
    orders = {"attribution": _by_attribution(result, case), "local SQNR": _by_noise(result, case)}
    random = np.random.default_rng(0)
    orders |= {f"random {i}": list(random.permutation(len(case.sites))) for i in range(2)}
    print("| order | k = 1 | 3 | 5 | 10 |")
    print("|---|---|---|---|---|")
    coalitions = Coalitions(case)
    nothing = np.zeros((coalitions.count, 2), bool)
    floats = [coalitions.outputs(part, nothing)[0] for part in source.batches(8)]
    whole = _left(coalitions, source, floats, [])
    for name, order in orders.items():
        left = [_left(coalitions, source, floats, order[:k]) / whole for k in (1, 3, 5, 10)]
        print(f"| {name} | " + " | ".join(f"{v:.0%}" for v in left) + " |")


def _specs(case: Case) -> list[Any]:
    return input_specs(case.model)


def _by_attribution(result: Result, case: Case) -> list[int]:
    numbers = {s.key: i for i, s in enumerate(case.sites)}
    totals: dict[str, float] = {}
    for a in result["network"]["attributions"]:
        key = f"{a['tensor']}:{a['role']}"
        totals[key] = totals.get(key, 0.0) + a["value"]
    return [numbers[k] for k in sorted(totals, key=lambda k: -totals[k])]


def _by_noise(result: Result, case: Case) -> list[int]:
    """What other tools print: the site with the worst signal-to-noise ratio first."""
    numbers = {s.key: i for i, s in enumerate(case.sites)}
    sites = [s for s in result["sites"] if s["sqnr_db"] is not None]
    return [
        numbers[f"{s['tensor']}:{s['role']}"] for s in sorted(sites, key=lambda s: s["sqnr_db"])
    ]


def _left(
    coalitions: Coalitions, source: Source, floats: Sequence[torch.Tensor], deleted: Sequence[int]
) -> float:
    """Squared error of the output with some sites in float."""
    on = np.ones((coalitions.count, 2), bool)
    on[list(deleted)] = False
    parts = zip(source.batches(8), floats, strict=True)
    return sum(float((coalitions.outputs(p, on)[0] - f).square().sum()) for p, f in parts)


def simulation() -> None:
    """Distance of our simulations to the Q/DQ model as a file in ONNX Runtime."""
    print("\n## Simulation against the Q/DQ model in ONNX Runtime (16 photographs)\n")
    print(
        "| target | replayed errors, unoptimised | live torch, unoptimised | default int8 kernels |"
    )
    print("|---|---|---|---|")
    for name in TARGETS:
        _, source, case = build_case(MODEL, DATA, target(name), Settings(samples=16))
        plain, fused = (Session(quantized_model(case), optimise=o) for o in (False, True))
        simulated, executor = Simulation(case), Executor(case.model, case.sites)
        sums = np.zeros(4)
        for part in source.batches(8):
            sums += _distances(part, plain, fused, simulated, executor, case)
        print(
            f"| {name} | "
            + " | ".join(f"{decibels(sums[0], e) or np.inf:.1f} dB" for e in sums[1:])
            + " |"
        )


def _distances(
    part: Batch,
    plain: Session,
    fused: Session,
    simulated: Simulation,
    executor: Executor,
    case: Case,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    reference = plain.run(part.feeds)["logits" if "logits" in plain.names else plain.names[0]]
    _, frozen = simulated.run(part)
    with torch.no_grad():
        replay = executor.run(part.feeds, replayed(frozen))[0].numpy()
        alive = executor.run(part.feeds, live(case.plan))[0].numpy()
    others = (replay, alive, next(iter(fused.run(part.feeds).values())))
    return np.array(
        [
            (reference.astype(float) ** 2).sum(),
            *(((o - reference).astype(float) ** 2).sum() for o in others),
        ]
    )


def _inference(path: Path = DATA, samples: int = SAMPLES) -> float:
    session = ort.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    data, name = np.load(path, mmap_mode="r")[:samples], session.get_inputs()[0].name
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for first in range(0, samples, 8):
            session.run(None, {name: data[first : first + 8]})
        best = min(best, time.perf_counter() - start)
    return best


def memory() -> None:
    """Peak memory of a diagnosis of 64 and of 512 photographs, each in its own process."""
    print("\n## Peak memory\n")
    print("| samples | peak MiB | of 64 samples |")
    print("|---|---|---|")
    first = 0.0
    for count in (64, 512):
        code = (
            "import json, sys, lostbits; model, data, n = sys.argv[1:];"
            "r = lostbits.diagnose(model, data, 'snpe', lostbits.Settings(samples=int(n)));"
            "print(json.dumps(r['peak_memory_bytes']))"
        )
        arguments = [str(MODEL), str(MANY), str(count)]
        run = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        peak = json.loads(run.stdout.splitlines()[-1]) / 2**20
        first = first or peak
        print(f"| {count} | {peak:.0f} | {peak / first:.3f} |")


TABLES: dict[str, Callable[[], None]] = {
    "closure": closure,
    "statistics": statistics,
    "ranges": ranges,
    "quadrature": quadrature,
    "deletion": deletion,
    "simulation": simulation,
    "memory": memory,
}


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(TABLES), help="comma-separated tables")
    for name in parser.parse_args().only.split(","):
        TABLES[name]()


if __name__ == "__main__":
    main()
