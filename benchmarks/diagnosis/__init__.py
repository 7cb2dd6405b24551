"""The diagnosis of EfficientNet-Lite0: closure, time, memory, and whether shares are right."""
