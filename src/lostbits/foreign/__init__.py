"""Somebody else's quantization: read, matched to the model, adopted, and its faults priced."""
