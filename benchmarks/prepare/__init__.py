"""Downloads and makes what the other benchmarks read."""
