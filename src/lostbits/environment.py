"""What other libraries read from the environment when they are imported; the user's setting wins.

A library changes nothing in its host's process. These are exceptions, because there is no later
time: each is read once, when the package that reads it is imported. Importing this module comes
first in every process that imports lostbits, workers included.
"""

import os

# ONNX Runtime reports its use to Microsoft, from its import on: who runs it on what, and its error
# messages, in which the nodes and tensors of the model have their names. Nothing that can be called
# later undoes the first event, nor the files that it writes into the home folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Waiting OpenMP threads shall sleep instead of spin. Two runtimes share the cores here: ONNX
# Runtime and torch, in turns. A thread that spins while it waits takes the core from the other
# one's workers; on two busy cores a demo run took over 150 s with spinning and 22 s without. But a
# thread that sleeps at once has to be woken for every one of torch's many short operations, so it
# spins 3,000 times first. On two idle cores that saves 12 to 36 % of a stage; with three busy
# processes beside it stages took from 6 % less to 18 % more, and with 10,000 spins from a third
# more to twice as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
