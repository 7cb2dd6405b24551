"""ONNX in, a file or a model in memory; onnx_ir model out."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import onnx
import onnx_ir as ir
from onnx_ir.external_data import load_to_model

from lostbits.errors import ModelError, edge
from lostbits.graph.convert_opset import check_opset
from lostbits.graph.external import with_external_data
from lostbits.graph.functions import check_functions
from lostbits.graph.invalid import invalid, wrong_kind
from lostbits.graph.model_path import check_path
from lostbits.graph.order import sort
from lostbits.graph.outline import forget, outline
from lostbits.graph.tensors import tensors_of
from lostbits.system.file_kind import kind_by_name
from lostbits.system.files import PROTOBUF, read_file


@final
@dataclass(frozen=True)
class File:
    """A model that was read.

    Attributes:
        path: Of the file; for a model in memory its name, which is no path.
        sha256: Of the file; of a model in memory, as a protobuf message.
        model: With its external data, its nodes sorted, its constants dense.
    """

    path: Path
    sha256: str
    model: ir.Model


def load(source: Path | onnx.ModelProto | ir.Model) -> File:
    """The model of a file, or a copy of one in memory.

    The large constants of a large model stay in files; see graph.large.

    Raises:
        ModelError: M001 missing, M002 not a valid ONNX file, M003 opset, M004 external data,
            M005 nothing to compute, M018 a file of another kind.
    """
    if not isinstance(source, Path):
        return _in_memory(source)
    check_path(source)
    with edge(partial(_unreadable, source)):
        content = read_file(source, most=PROTOBUF)
        proto = onnx.ModelProto.FromString(content)
        return _checked(proto, source, hashlib.sha256(content).hexdigest())


def _unreadable(path: Path, found: str) -> ModelError:
    """M018 where the name tells a format whose bytes tell nothing, else M002."""
    kind = kind_by_name(path)
    return invalid(str(path), found) if kind is None else wrong_kind(path, kind)


def _in_memory(source: onnx.ModelProto | ir.Model) -> File:
    name = Path(f"{source.graph.name or 'model'}.onnx")
    with edge(partial(invalid, f"{type(source).__name__} {source.graph.name!r}")):
        proto = onnx.ModelProto()
        if isinstance(source, ir.Model):  # its tensors know their files, and are read from there
            proto.CopyFrom(ir.to_proto(load_to_model(source.clone())))
        else:
            proto.CopyFrom(source)
            _check_whole(proto, name)
        content = proto.SerializeToString(deterministic=True)
        return _checked(proto, name, hashlib.sha256(content).hexdigest())


def _check_whole(proto: onnx.ModelProto, name: Path) -> None:
    """M004 for data in files: nobody knows the folder of a model that is in memory."""
    for tensor in tensors_of(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError(
                "M004.memory",
                f"{name}: constant {tensor.name!r}",
                "data in a file, of a folder that is not known",
            )


def _checked(proto: onnx.ModelProto, path: Path, sha256: str) -> File:
    check_functions(proto)
    sort(proto)
    forget(proto)
    onnx.checker.check_model(outline(proto))
    model = with_external_data(proto, path)
    check_opset(model, str(path))
    if not model.graph.outputs or not model.graph.inputs:
        raise ModelError("M005", str(path), "an empty graph")
    return File(path, sha256, model)
