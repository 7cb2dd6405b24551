"""More workers, more data, deeper networks: how time and memory grow.

Run ``python -m benchmarks.prepare`` first, for EfficientNet-Lite0 and the photographs; the rest
needs nothing::

    python -m benchmarks.scaling [--only workers,growth,memory,large] [--samples 128] [--most 4096]
                                 [--stages calibration,diagnosis,reconstruction] [--repeats 3]
                                 [--plot docs/images/growth.svg] [--save]

``large`` runs only where it is named: it takes half an hour and 14 GB of disk.

Times are those of this machine at this moment, and ratios of them mean something only where
nothing else runs on it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.results import parser
from benchmarks.scaling.growth import growth
from benchmarks.scaling.large import large_model
from benchmarks.scaling.memory import memory, peak
from benchmarks.scaling.workers import REPEATS, workers


def main() -> None:
    """Measure the tables that were asked for."""
    arguments = _arguments()
    if arguments.peak:
        stage, samples, count = arguments.peak
        peak(stage, int(samples), int(count))
        return
    save, stages = arguments.save, arguments.stages.split(",")
    tables: dict[str, Callable[[], None]] = {
        "workers": lambda: workers(arguments.samples, stages, arguments.repeats, save),
        "growth": lambda: growth(arguments.plot, save),
        "memory": lambda: memory(arguments.most, save),
        "large": lambda: large_model(arguments.blocks, save),
    }
    for name in arguments.only.split(","):
        tables[name]()


def _arguments() -> argparse.Namespace:
    words = parser(__doc__)
    words.add_argument("--only", default="workers,growth,memory")
    words.add_argument("--samples", type=int, default=128)
    words.add_argument("--stages", default="calibration,diagnosis,reconstruction")
    words.add_argument("--repeats", type=int, default=REPEATS)
    words.add_argument("--most", type=int, default=4096)
    words.add_argument("--blocks", type=int, default=48, help="64 MiB each, of the large model")
    words.add_argument("--plot", type=Path, help="SVG of the growth: pip install matplotlib")
    words.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    return words.parse_args()


if __name__ == "__main__":
    main()
