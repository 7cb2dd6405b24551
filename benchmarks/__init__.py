"""Measurements behind docs/benchmarks.md and docs/scaling.md; README.md lists them.

A benchmark is a process of its own, as the command is, and is set up like it.
"""

from lostbits.system.process import set_up

set_up()  # here, as torch, which benchmarks import, reads once what is set
