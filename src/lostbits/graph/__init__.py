"""ONNX in: loading, normalising, placing quantizers, instrumenting copies."""
