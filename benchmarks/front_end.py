"""Put every model at hand through a diagnosis: what runs, what is refused, what crashes.

Run `python benchmarks/front_end.py`. The bar: no crash, every site matched, and attributions that
add up to the measured total within 5 %.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from front_end_guard import Job, Outcome, guarded
from front_end_models import light_jobs, light_names, ocr_jobs
from front_end_nodes import node_jobs, node_names

TARGETS = ["snpe", "tensorrt", "onnxruntime", "qnn-htp"]
SMALL = {"light_shufflenet", "light_squeezenet", "light_inception_v1"}
RESIDUAL = 0.05


def main() -> None:
    """Run the chosen parts and exit with status 1 if the bar is missed."""
    arguments = _arguments()
    missed = 0
    if "models" in arguments.parts:
        missed += sum(_model_line(o) for o in guarded(_models(arguments), 900))
    if "nodes" in arguments.parts:
        names = node_names()[:: arguments.every]
        for target in arguments.targets or TARGETS[:1]:
            missed += _node_lines(target, list(guarded(node_jobs(names, target), 60)))
    sys.exit(1 if missed else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts", nargs="+", default=["models", "nodes"], choices=["models", "nodes"]
    )
    parser.add_argument(
        "--targets", nargs="+", default=[], help="instead of a choice for each model"
    )
    parser.add_argument("--models", nargs="+", default=[], help="only models with such names")
    parser.add_argument("--every", type=int, default=1, help="take each n-th node test only")
    return parser.parse_args()


def _models(arguments: argparse.Namespace) -> Iterator[Job]:
    """Small models on all targets, each large one on another."""
    print(
        f"{'model':24}{'target':14}{'sites':>9}{'SQNR dB':>9}{'residual':>10}{'seconds':>9}",
        flush=True,
    )
    for job in _all_models(arguments.targets):
        if not arguments.models or any(part in job.name for part in arguments.models):
            yield job


def _all_models(targets: list[str]) -> Iterator[Job]:
    for number, name in enumerate(light_names()):
        some = TARGETS if name in SMALL else [TARGETS[number % len(TARGETS)]]
        yield from light_jobs([name], targets or some)
    yield from ocr_jobs(targets or TARGETS)


def _model_line(outcome: Outcome) -> bool:
    """Print a line; whether the bar was missed."""
    head = f"{outcome.name:24}{outcome.target:14}"
    if outcome.status != "ran":
        print(f"{head}{outcome.status}: {outcome.detail}", flush=True)
        return True
    sites = f"{outcome.matched}/{outcome.sites}"
    sqnr = "-" if outcome.sqnr_db is None else f"{outcome.sqnr_db:.2f}"
    print(
        f"{head}{sites:>9}{sqnr:>9}{outcome.residual:>+10.2%}{outcome.seconds:>9.1f}"
        f"  {outcome.method}",
        flush=True,
    )
    return outcome.matched < outcome.sites or abs(outcome.residual) > RESIDUAL


def _node_lines(target: str, outcomes: list[Outcome]) -> int:
    """Print counts, and all that is out of order; how many crashed."""
    ran = [o for o in outcomes if o.status == "ran"]
    crashed = [o for o in outcomes if o.status == "crashed"]
    refused = Counter(o.code for o in outcomes if o.status == "refused")
    codes = ", ".join(f"{code} {count}" for code, count in sorted(refused.items()))
    print(f"\nnode tests on {target}: {len(outcomes)} diagnoses", flush=True)
    print(f"  ran      {len(ran)}  ({_methods(ran)})")
    print(f"  refused  {refused.total()}  ({codes})")
    print(f"  crashed  {len(crashed)}")
    for outcome in crashed:
        print(f"    {outcome.name}: {(outcome.detail.strip().splitlines() or [''])[-1]}")
    open_ended = [o for o in ran if abs(o.residual) > RESIDUAL or o.matched < o.sites]
    print(f"  with a residual above {RESIDUAL:.0%}, or sites unmatched: {len(open_ended)}")
    for outcome in open_ended:
        print(f"    {outcome.name}: {outcome.residual:+.1%}, {outcome.matched}/{outcome.sites}")
    return len(crashed)


def _methods(ran: list[Outcome]) -> str:
    return ", ".join(f"{n} by {m}" for m, n in Counter(o.method for o in ran).items())


if __name__ == "__main__":
    main()
