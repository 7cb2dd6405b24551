"""Work on many samples or layers, shared among threads, processes and machines."""
