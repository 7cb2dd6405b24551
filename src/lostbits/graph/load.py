"""ONNX file in, onnx_ir model out."""

from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from lostbits.errors import ModelError, close_match, first_line
from lostbits.graph.large import keep_in_files

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
    _check_external_data(model, path)
    _check_valid(path)
    _check_opset(model, path)
    if not model.graph.outputs or not model.graph.inputs:
        raise ModelError(
            "M005", str(path), "must have inputs and outputs", "an empty graph", "export it again"
        )
    keep_in_files(model.graph)
    return ir.external_data.load_to_model(model)


def _parse(path: Path) -> ir.Model:
    try:
        return ir.load(path)
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


def _check_external_data(model: ir.Model, path: Path) -> None:
    for value in model.graph.initializers.values():
        tensor = value.const_value
        found = _lack(tensor) if isinstance(tensor, ir.ExternalTensor) else ""
        if found:
            raise ModelError(
                "M004",
                f"{path}: tensor {value.name!r}",
                "external data must lie beside the model",
                found,
                "copy the data file next to the model",
            )


def _lack(tensor: ir.ExternalTensor) -> str:
    """What is wrong with the file of a tensor, if anything."""
    file = Path(tensor.path)
    if not file.is_file():
        return f"{tensor.location!r} is missing"
    size, needed = file.stat().st_size, (tensor.offset or 0) + tensor.nbytes
    return f"{tensor.location!r} has {size} bytes of {needed}" if size < needed else ""
