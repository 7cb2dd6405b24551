"""The diagnosis on EfficientNet-Lite0: closure, deletion test, simulation, time, memory.

Run ``python -m benchmarks.prepare`` first::

    python -m benchmarks.diagnosis [--only closure,statistics,ranges,...] [--save]

Time is a ratio of two measurements of one run on one machine; nothing here is a test.
"""

from collections.abc import Callable

from benchmarks.diagnosis.closure import closure
from benchmarks.diagnosis.memory import memory
from benchmarks.diagnosis.ranges import ranges, statistics
from benchmarks.diagnosis.shares import deletion, quadrature
from benchmarks.diagnosis.simulation import simulation
from benchmarks.results import parser

TABLES: dict[str, Callable[[bool], None]] = {
    "closure": closure,
    "statistics": statistics,
    "ranges": ranges,
    "quadrature": quadrature,
    "deletion": deletion,
    "simulation": simulation,
    "memory": memory,
}


def main() -> None:
    """Measure the tables that were asked for."""
    words = parser(__doc__)
    words.add_argument("--only", default=",".join(TABLES), help="comma-separated tables")
    arguments = words.parse_args()
    for name in arguments.only.split(","):
        TABLES[name](arguments.save)


if __name__ == "__main__":
    main()
