"""Put every model at hand through a diagnosis: what runs, what is refused, what crashes.

The bar: no crash, every site matched, and attributions that add up to the measured total within
5 %::

    python -m benchmarks.front_end [--parts models nodes] [--targets ...] [--models ...]
                                   [--every 1] [--save]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from benchmarks.front_end.guard import Job, Outcome, guarded
from benchmarks.front_end.models import light_jobs, light_names, ocr_jobs
from benchmarks.front_end.nodes import node_jobs, node_names
from benchmarks.results import Rows, parser, recorded
from benchmarks.table import Column

TARGETS = ["snpe", "tensorrt", "onnxruntime", "qnn-htp"]
SMALL = {"light_shufflenet", "light_squeezenet", "light_inception_v1"}
RESIDUAL = 0.05
SAMPLES = "2 random samples each; PP-OCRv4: rendered text"


MODELS = (
    Column("model"),
    Column("target"),
    Column("sites"),
    Column("SQNR", "dB", ".2f"),
    Column("residual", "", "+.2%"),
    Column("attributed by"),
    Column("diagnosis", "s", ".1f"),
)
NODES = (
    Column("target"),
    Column("diagnoses"),
    Column("by the gradient"),
    Column("by permutation"),
    Column("refused with a code"),
    Column("no answer in time"),
    Column("crashed"),
    Column(f"residual above {RESIDUAL:.0%}"),
)


def main() -> None:
    """Run the chosen parts and exit with status 1 if the bar is missed."""
    arguments = _arguments()
    missed = 0
    if "models" in arguments.parts:
        with recorded("models", MODELS, n=SAMPLES, keys=2, save=arguments.save) as rows:
            missed += sum(_model(rows, o) for o in guarded(_models(arguments), 900))
    if "nodes" in arguments.parts:
        names = node_names()[:: arguments.every]
        n = f"{len(names)} node tests, each also with constants"
        with recorded("nodes", NODES, n=n, save=arguments.save) as rows:
            for target in arguments.targets or TARGETS[:1]:
                missed += _nodes(rows, target, list(guarded(node_jobs(names, target), 60)))
    sys.exit(1 if missed else 0)


def _arguments() -> argparse.Namespace:
    words = parser(__doc__)
    words.add_argument(
        "--parts", nargs="+", default=["models", "nodes"], choices=["models", "nodes"]
    )
    words.add_argument(
        "--targets", nargs="+", default=[], help="instead of a choice for each model"
    )
    words.add_argument("--models", nargs="+", default=[], help="only models with such names")
    words.add_argument("--every", type=int, default=1, help="take each n-th node test only")
    return words.parse_args()


def _models(arguments: argparse.Namespace) -> Iterator[Job]:
    """Small models on all targets, each large one on another."""
    for job in _all_models(arguments.targets):
        if not arguments.models or any(part in job.name for part in arguments.models):
            yield job


def _all_models(targets: list[str]) -> Iterator[Job]:
    for number, name in enumerate(light_names()):
        some = TARGETS if name in SMALL else [TARGETS[number % len(TARGETS)]]
        yield from light_jobs([name], targets or some)
    yield from ocr_jobs(targets or TARGETS)


def _model(rows: Rows, outcome: Outcome) -> bool:
    """Add a row; whether the bar was missed."""
    if outcome.status != "ran":
        rows.add(outcome.name, outcome.target, outcome.status)
        rows.remark(f"{outcome.name}, {outcome.target}: {outcome.detail}")
        return True
    sites = f"{outcome.matched} of {outcome.sites}"
    figures = (outcome.sqnr_db, outcome.residual, outcome.method, outcome.seconds)
    rows.add(outcome.name, outcome.target, sites, *figures)
    return outcome.matched < outcome.sites or abs(outcome.residual) > RESIDUAL


def _nodes(rows: Rows, target: str, outcomes: list[Outcome]) -> int:
    """Add counts, and remark all that is out of order; how many gave no answer or crashed."""
    ran = [o for o in outcomes if o.status == "ran"]
    refused = Counter(o.code for o in outcomes if o.status == "refused")
    late, crashed = ([o for o in outcomes if o.status == s] for s in ("late", "crashed"))
    methods = Counter(o.method for o in ran)
    open_ended = [o for o in ran if abs(o.residual) > RESIDUAL or o.matched < o.sites]
    rows.add(
        target,
        len(outcomes),
        methods["aumann-shapley"],
        methods["permutation"],
        refused.total(),
        len(late),
        len(crashed),
        len(open_ended),
    )
    codes = ", ".join(f"{code} {count}" for code, count in sorted(refused.items()))
    rows.remark(f"refused on {target}: {codes}")
    for o in (*late, *crashed):
        rows.remark(f"{o.name}: {o.status}: {(o.detail.strip().splitlines() or [''])[-1]}")
    for o in open_ended:
        rows.remark(f"{o.name}: residual {o.residual:+.1%}, sites {o.matched} of {o.sites}")
    return len(late) + len(crashed)


if __name__ == "__main__":
    main()
