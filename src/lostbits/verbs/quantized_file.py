"""A quantized model in a file: whether it is one, and what a runtime is handed."""

import os
from pathlib import Path

import onnx
import onnx_ir as ir

from lostbits.errors import BackendError
from lostbits.exporter import serialized
from lostbits.foreign.file import Foreign, content_of, foreign_of
from lostbits.graph.external import with_external_data
from lostbits.graph.remove_idle_nodes import remove_dropouts
from lostbits.graph.simplify import opened
from lostbits.graph.tensors import tensors_of
from lostbits.graph.widen import widened
from lostbits.readers.onnx_model import PLAN_KEY


def is_quantized(path: Path) -> bool:
    """Whether a file is a quantized model; what cannot be read is none, and its opening says why.

    Raises:
        BackendError: B005 for a file that is no ONNX model, B006 for a baked one.
    """
    if path.suffix != ".onnx":
        raise BackendError("B005", str(path), f"a {path.suffix or 'nameless'} file")
    return os.path.isfile(path) and _quantizes(foreign_of(content_of(path), path))


def _quantizes(foreign: Foreign) -> bool:
    entries, model = foreign.parameters.entries, foreign.model
    if entries and model is not None and PLAN_KEY in model.metadata_props:
        found = "a baked model, which is float"
        raise BackendError("B006", str(foreign.path), found)
    return bool(entries)


def quantized_content(path: Path) -> bytes:
    """What a runtime is handed: the file, and inside it the data that lie beside it.

    Raises:
        BackendError: B006 for a baked model, B008 for one that quantizes nothing.
    """
    content = content_of(path)
    if not _quantizes(foreign_of(content, path)):
        raise BackendError("B008", str(path), "no quantizer in it")
    proto = onnx.ModelProto.FromString(content)
    if any(tensor.data_location == tensor.EXTERNAL for tensor in tensors_of(proto)):
        return serialized(with_external_data(proto, path))
    return content


def graph_of(content: bytes) -> ir.Model:
    """The graph of a file, with constants where they are looked for."""
    return opened(ir.from_proto(onnx.load_from_string(content)))


def in_float32(content: bytes) -> bytes:
    """A file as it can be fed float32 and compared in it; itself where it has no other floats."""
    model, floats = widened(graph_of(content))
    if not floats:
        return content
    remove_dropouts(model)
    return ir.to_proto(model).SerializeToString()
