"""Measurements behind docs/benchmarks.md and docs/scaling.md; README.md lists them."""
