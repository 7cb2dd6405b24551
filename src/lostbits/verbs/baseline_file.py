"""A baseline: figures of one side in a small file, to be committed and compared with later."""

import json
from pathlib import Path
from typing import Any

import msgspec

from lostbits.errors import OutputError, edge
from lostbits.reporter import finite, strict_json
from lostbits.reporters.schema import completed, plain
from lostbits.results.comparison import BASELINE_FORMAT, SideFigures
from lostbits.system import files
from lostbits.verbs.output import replace_file

_MOST = 1 << 26  # bytes
_LOOK = 64  # bytes in which the format stands


def is_baseline(path: Path) -> bool:
    """Whether a file says of itself that it is one; of any other it is left to readers."""
    if path.suffix != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return BASELINE_FORMAT.split("/")[0].encode() in file.read(_LOOK)


def read_baseline(path: Path) -> SideFigures:
    """The figures in a file.

    Raises:
        OutputError: O011.
    """
    with edge(lambda found: OutputError("O011", str(path), found)):
        content = json.loads(files.read_file(path, most=_MOST))
        return msgspec.convert(completed(content, SideFigures), SideFigures)


def write_baseline(side: SideFigures, path: str | Path) -> Path:
    """Write the figures of one side; the same figures give the same bytes.

    Raises:
        OutputError: O001.
    """
    content: dict[str, Any] = plain(side)
    ordered = {"format": content.pop("format"), **content}
    text = strict_json(finite(ordered)[0])
    replace_file(Path(path), text.encode(errors="backslashreplace"))
    return Path(path)
