"""TensorRT's calibration cache (up to 10.x): a header and one scale per activation.

The last colon of a line separates name and scale: names may hold colons themselves, as those that
TensorFlow's exporters write (``input_1:0``) do.
"""

import re
import struct
from typing import ClassVar, final

from lostbits.errors import ReadError
from lostbits.grid import Grid
from lostbits.reader import Parameters, Reader, Reading, check_unique, damaged, excerpt, lines_of

_HEADER = re.compile(r"TRT-(\d+)-(\w+)")
_LINE = re.compile(r"(.+): ([0-9a-fA-F]{8})")
_METHODS = {
    "EntropyCalibration": "entropy",
    "EntropyCalibration2": "entropy",
    "MinMaxCalibration": "min_max",
}


@final
class TensorrtCache(Reader):
    """Scales are amax/127 as float32, most significant hexadecimal digit first.

    References:
        NVIDIA TensorRT 8.0, samples/sampleINT8/README.md, "Calibration file".
    """

    name: ClassVar[str] = "tensorrt-cache"
    title: ClassVar[str] = "TensorRT calibration cache"

    def recognises(self, content: bytes) -> bool:
        """By the first bytes of the header."""
        return content.startswith(b"TRT-")

    def parse(self, content: bytes) -> Parameters:
        """One symmetric int8 entry per line."""
        header, *lines = lines_of(content)
        match = _HEADER.fullmatch(header.strip())
        if match is None:
            raise damaged(f"header {excerpt(header)} is not TRT-<version>-<algorithm>")
        pairs = [_pair(n, line) for n, line in enumerate(lines, 2) if line.strip()]
        check_unique(name for name, _ in pairs)
        reading = Reading(self.name)
        for name, digits in pairs:
            (scale,) = struct.unpack("!f", bytes.fromhex(digits))
            reading.add(name, Grid.of(8, signed=True), scale)
        return reading.parameters(_METHODS.get(match[2]))


def _pair(number: int, line: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line.rstrip())
    if match is None:
        raise _damaged_line(number, line)
    return match[1], match[2]


def _damaged_line(number: int, line: str) -> ReadError:
    return damaged(f"{excerpt(line)} is not 'name: 8 hexadecimal digits'", f"line {number}")
