"""A real runtime beside the simulation: where the two part, and why."""
