"""The exporters, by the names that users give to ``--to``."""

from lostbits.errors import ExportError
from lostbits.exporter import Exporter
from lostbits.exporters.baked import Baked
from lostbits.exporters.cambricon import Cambricon
from lostbits.exporters.encodings import LEGACY, NAMED, ONNX
from lostbits.exporters.plan import Json
from lostbits.exporters.qdq import ONNXRUNTIME, OPENVINO, QNN, TENSORRT
from lostbits.exporters.tensorrt import Cache, DynamicRanges
from lostbits.members import Members

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


def _unknown(name: str, advice: str) -> ExportError:
    return ExportError("E016", f"--to {name}", "no such format", advice=advice)


MEMBERS: Members[Exporter] = Members("lostbits.exporters", Exporter, ALL, _unknown)


def exporter(given: str | Exporter) -> Exporter:
    """The exporter of that name; one that is given itself stays as it is.

    Raises:
        ExportError: E016, if there is none of that name.
        MemberError: See ``Members``.
    """
    return MEMBERS.find(given)


__all__ = ["ALL", "MEMBERS", "Cache", "Cambricon", "DynamicRanges", "Json", "exporter"]
