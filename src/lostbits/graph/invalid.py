"""The refusal of a file that is no sound ONNX model."""

from lostbits.errors import ModelError


def invalid(
    where: str,
    found: str,
    rule: str = "must be a valid ONNX model",
    todo: str = "export it again",
) -> ModelError:
    """M002."""
    return ModelError("M002", where, rule, found, todo)
