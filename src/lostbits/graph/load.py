"""ONNX file in, onnx_ir model out."""

from functools import partial
from pathlib import Path

import onnx
import onnx_ir as ir

from lostbits.errors import ModelError, close_match, described, edge
from lostbits.graph.external import with_external_data
from lostbits.graph.functions import check_functions
from lostbits.graph.invalid import invalid
from lostbits.graph.order import sort
from lostbits.graph.outline import forget, outline
from lostbits.system.files import PROTOBUF, read_file
from lostbits.system.memory import excess

OPSETS = range(11, 24)


def load(path: Path) -> ir.Model:
    """The model at ``path`` with its external data, its nodes sorted, its constants dense.

    The large constants of a large model stay in files; see graph.large.

    Raises:
        ModelError: M001 missing, M002 not an ONNX file, M003 opset, M004 external data,
            M005 nothing to compute.
    """
    _check_file(path)
    with edge(partial(invalid, str(path))):
        proto = onnx.ModelProto.FromString(read_file(path, most=PROTOBUF))
        check_functions(proto)
        sort(proto)
        forget(proto)
        onnx.checker.check_model(outline(proto))
        model = with_external_data(proto, path)
    _check_opset(model, path)
    if not model.graph.outputs or not model.graph.inputs:
        raise ModelError("M005", str(path), "an empty graph")
    return model


def _check_file(path: Path) -> None:
    """M001 unless there is a regular file that memory can hold."""
    try:
        found = "" if path.is_file() else "a folder" if path.is_dir() else "no such file"
        found = found or excess(path.stat().st_size) or ""
    except (OSError, ValueError) as error:  # a name too long, a folder without access
        found = described(error)
    if found:
        raise ModelError("M001", str(path), found, advice=_near(path))


def _near(path: Path) -> str:
    try:
        return close_match(path.name, (p.name for p in path.parent.glob("*.onnx")))
    except (OSError, ValueError):
        return "check the path"


def _check_opset(model: ir.Model, path: Path) -> None:
    version = model.opset_imports.get("", model.opset_imports.get("ai.onnx"))
    if version is None or version not in OPSETS:
        raise ModelError(
            "M003", str(path), f"opset {version}", first=OPSETS.start, last=OPSETS.stop - 1
        )
