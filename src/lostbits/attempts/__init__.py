"""A recovery in progress: which attempt comes next, and whether it helped."""
