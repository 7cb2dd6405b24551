"""The refusal of a file that is no sound ONNX model."""

from lostbits.errors import ModelError


def invalid(where: str, found: str) -> ModelError:
    """M002."""
    return ModelError("M002.invalid", where, found)
