"""Running models: calibration, simulation, and the executor with gradients."""
