"""Peak memory of a diagnosis, each in its own process."""

import json
import subprocess
import sys

from benchmarks.prepared import EFFICIENTNET, MANY
from benchmarks.results import recorded
from benchmarks.table import Column

_COUNTS = (64, 512)
_COLUMNS = (
    Column("samples"),
    Column("peak", "MiB", ".0f"),
    Column(f"of {_COUNTS[0]} samples", "", ".3f"),
)
_CODE = """
import json, sys, lostbits
model, data, n = sys.argv[1:]
result = lostbits.diagnose(model, data, "snpe", lostbits.Settings(samples=int(n)))
print(json.dumps(result["peak_memory_bytes"]))
"""


def memory(save: bool) -> None:
    """Of 64 and of 512 photographs."""
    with recorded("memory", _COLUMNS, n="one run each, snpe", save=save) as rows:
        first = 0.0
        for count in _COUNTS:
            peak = _peak(count)
            first = first or peak
            rows.add(count, peak, peak / first)


def _peak(count: int) -> float:
    """Most memory that a process had, MiB."""
    command = [sys.executable, "-c", _CODE, str(EFFICIENTNET), str(MANY), str(count)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(run.stdout.splitlines()[-1])) / 2**20
