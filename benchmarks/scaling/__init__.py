"""How time and memory grow with workers, samples and layers."""
