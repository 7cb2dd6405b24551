"""Tensors that ONNX Runtime writes while it runs: a protocol buffer each."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

import onnx
from onnx import numpy_helper

from lostbits.dump import Content, DumpFormat, Stored, placed

_SUFFIXES = frozenset({".tensorproto", ".pb"})
_RANK = re.compile(r"_rank_\d+$")


@final
class OnnxTensors(DumpFormat):
    """``NAME.tensorproto`` of a debug build, and ``output_0.pb`` of ONNX's test data sets.

    References:
        ONNX Runtime 1.32, docs/NodeIODump (ORT_DEBUG_NODE_IO_DUMP_OUTPUT_DATA with
        ORT_DEBUG_NODE_IO_DUMP_DATA_DESTINATION=files).
    """

    name = "onnxruntime"
    title = "ONNX Runtime's dumped tensors (.tensorproto, .pb)"

    def takes(self, files: Sequence[Path]) -> list[Path]:
        """By suffix."""
        return [f for f in files if f.suffix.lower() in _SUFFIXES]

    def read(self, root: Path, file: Path) -> Iterator[Stored]:
        """One tensor, by the name that it has in the file, or else that of the file."""
        name, sample = placed(root, file)
        yield Stored(_RANK.sub("", name), sample, str(file), lambda: _array(file))


def _array(file: Path) -> Content:
    array: Content = numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))
    return array
