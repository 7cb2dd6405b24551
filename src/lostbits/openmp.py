"""Importing this module, before torch, makes waiting OpenMP threads sleep instead of spin.

Two runtimes share the cores here: ONNX Runtime and torch, in turns. A thread that spins while it
waits takes the core from the other one's workers; on two busy cores a demo run took over 150 s
with spinning and 22 s without. But a thread that sleeps at once has to be woken for every one of
torch's many short operations. So it spins for about a tenth of a millisecond first, which idle
cores thank with a quarter of the time and busy ones do not notice. The user's own setting wins.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
