"""What the integer kernels of each runtime compute, as graphs."""
