"""The targets, by the names that users type, and those that users bring."""

from pathlib import Path

from lostbits.errors import TargetError, close_match
from lostbits.target import Target
from lostbits.targets.cnrt import CNRT
from lostbits.targets.onnxruntime import ONNXRUNTIME
from lostbits.targets.openvino import OPENVINO
from lostbits.targets.qnn_htp import QNN_HTP
from lostbits.targets.snpe import SNPE
from lostbits.targets.tensorrt import TENSORRT
from lostbits.targets.toml_file import read_target

ALL: tuple[Target, ...] = (TENSORRT, SNPE, QNN_HTP, CNRT, ONNXRUNTIME, OPENVINO)


def target(name_or_path: str) -> Target:
    """Look up a target by name, or read one from a file whose name ends in ``.toml``.

    Raises:
        TargetError: T001, if there is none of that name; T003, if the file is wrong.

    >>> target("snpe").activations.grid.name
    'uint8'
    """
    if name_or_path.endswith(".toml"):
        return read_target(Path(name_or_path), ALL)
    known = {t.name: t for t in ALL}
    if name_or_path not in known:
        where = f"target {name_or_path!r}"
        raise TargetError("T001", where, "no such target", advice=close_match(name_or_path, known))
    return known[name_or_path]


__all__ = [
    "ALL",
    "CNRT",
    "ONNXRUNTIME",
    "OPENVINO",
    "QNN_HTP",
    "SNPE",
    "TENSORRT",
    "target",
]
