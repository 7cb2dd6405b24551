"""The refusal of a file that is no sound ONNX model."""

from pathlib import Path

from lostbits.errors import ModelError
from lostbits.language import say

_PICTURES = ("gif", "tiff", "heic")


def invalid(where: str, found: str) -> ModelError:
    """M002."""
    return ModelError("M002.invalid", where, found)


def wrong_kind(path: Path, kind: str) -> ModelError:
    """M018: a file of another format, with the way from that to an ONNX file."""
    form = kind if kind not in _PICTURES else "image"
    return ModelError(f"M018.{form}", str(path), say(f"file_kind.{kind}"))
