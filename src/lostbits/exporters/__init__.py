"""The exporters, by the names that users give to ``--to``."""

from lostbits.errors import ExportError, close_match
from lostbits.exporter import Exporter
from lostbits.exporters.baked import Baked
from lostbits.exporters.cambricon import Cambricon
from lostbits.exporters.encodings import LEGACY, NAMED, ONNX
from lostbits.exporters.plan import Json
from lostbits.exporters.qdq import ONNXRUNTIME, OPENVINO, QNN, TENSORRT
from lostbits.exporters.tensorrt import Cache, DynamicRanges

ALL: tuple[Exporter, ...] = (
    Json(),
    ONNXRUNTIME,
    OPENVINO,
    TENSORRT,
    QNN,
    Cache(),
    DynamicRanges(),
    LEGACY,
    NAMED,
    ONNX,
    Cambricon(),
    Baked(),
)


def exporter(name: str) -> Exporter:
    """Look up an exporter by name.

    Raises:
        ExportError: E016, if there is none of that name.
    """
    known = {e.name: e for e in ALL}
    if name not in known:
        where = f"--to {name}"
        raise ExportError("E016", where, "no such format", advice=close_match(name, known))
    return known[name]


__all__ = ["ALL", "Cache", "Cambricon", "DynamicRanges", "Json", "exporter"]
