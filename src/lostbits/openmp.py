"""Importing this module, before torch, makes waiting OpenMP threads sleep instead of spin.

Two runtimes share the cores here: ONNX Runtime and torch, in turns. A thread that spins while it
waits takes the core from the other one's workers; on two busy cores a demo run took over 150 s
with spinning and 22 s without. The user's own setting wins.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
