"""ONNX file in, onnx_ir model out."""

from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from lostbits.errors import ModelError, close_match, first_line
from lostbits.graph.external import with_external_data

OPSETS = range(11, 24)


def load(path: Path) -> ir.Model:
    """The model at ``path`` with its external data, unchanged.

    The large constants of a large model stay in files; see graph.large.

    Raises:
        ModelError: M001 missing, M002 not an ONNX file, M003 opset, M004 external data,
            M005 nothing to compute.
    """
    if not path.is_file():
        near = close_match(path.name, (p.name for p in path.parent.glob("*.onnx")))
        raise ModelError("M001", str(path), "must be an ONNX file", "no such file", near)
    model = _parse(path)
    _check_valid(path)
    _check_opset(model, path)
    if not model.graph.outputs or not model.graph.inputs:
        raise ModelError(
            "M005", str(path), "must have inputs and outputs", "an empty graph", "export it again"
        )
    return model


def _parse(path: Path) -> ir.Model:
    try:
        proto = onnx.load(str(path), format="protobuf", load_external_data=False)
        return with_external_data(proto, path)
    except (DecodeError, ValueError, TypeError, KeyError, OSError) as error:
        raise _invalid(path, error) from error


def _check_valid(path: Path) -> None:
    """By ONNX's checker, which also reads the external data."""
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError, TypeError, OSError) as error:
        raise _invalid(path, error) from error


def _invalid(path: Path, error: Exception) -> ModelError:
    found = first_line(error)
    return ModelError("M002", str(path), "must be a valid ONNX model", found, "export it again")


def _check_opset(model: ir.Model, path: Path) -> None:
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx"))
    if version is None or version not in OPSETS:
        raise ModelError(
            "M003",
            str(path),
            f"must use ONNX opset {OPSETS.start} to {OPSETS.stop - 1}",
            f"opset {version}",
            "convert it with onnx.version_converter or export it with another opset_version",
        )
