"""Bytes without type or shape: ``snpe-net-run``, ``qnn-net-run`` and many a runtime of its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

from lostbits.dump import DumpFormat, Stored, placed

_SUFFIXES = frozenset({".raw", ".bin"})
_NATIVE = "_native"  # qnn-net-run --use_native_output_files: the tensor's own type


@final
class Raw(DumpFormat):
    """``Result_N/NAME.raw``: values of float32, or of the type of the tensor.

    LiteRT's ``benchmark_model --output_filepath`` and Cambricon's ``mm_run`` write such files too.

    References:
        Qualcomm AI Runtime 2.39, SNPE tools, snpe-net-run (--debug, --output_dir); QNN tools,
        qnn-net-run (--debug, --use_native_output_files).
    """

    name = "raw"
    title = "raw files by name (SNPE and QNN Result_N/NAME.raw)"

    def takes(self, files: Sequence[Path]) -> list[Path]:
        """By suffix."""
        return [f for f in files if f.suffix.lower() in _SUFFIXES]

    def read(self, root: Path, file: Path) -> Iterator[Stored]:
        """One tensor; of the two forms in which a tool writes it, the name is the same."""
        name, sample = placed(root, file)
        yield Stored(name.removesuffix(_NATIVE), sample, str(file), file.read_bytes)
