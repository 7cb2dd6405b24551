"""One quantization by one tool, in a process of its own. Started by run.py.

python -m benchmarks.peers.worker TOOL SETTING MODEL DATA OUT ITERATIONS BUDGET
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.peers.job import Job, Timed


def main() -> None:
    """Quantize; leave quantized.onnx and how long it took, without imports."""
    tool, setting, model, data, out, iterations, budget = sys.argv[1:]
    paths = Path(model), Path(data), Path(out)
    job = Job(tool, setting, *paths, int(iterations), float(budget))
    module = importlib.import_module(f"benchmarks.peers.{tool.partition('-')[0]}")
    module.load()
    with Timed(job.out / "seconds"):
        module.quantize(job)


if __name__ == "__main__":
    main()
