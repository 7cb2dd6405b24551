"""TensorRT up to 10.x: calibration cache, and dynamic ranges of activations.

Weights have no entry in either: TensorRT takes max|w|/127 of every output channel itself.
"""

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, Files, Kind, Takes, constant_values
from lostbits.graph.site import Site
from lostbits.grid import affine_from_range
from lostbits.reader import Parameters
from lostbits.readers.ranges import Ranges
from lostbits.readers.tensorrt_cache import TensorrtCache

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:\.\d+)?")
_FIRST, _LAST = 4, 10  # major versions that take a cache
_INT8 = frozenset({"int8"})
_TAKES: Mapping[Kind, Takes] = {"activation": Takes(_INT8, symmetric=_INT8)}
_OTHERWISE: Mapping[Kind, str] = {
    "weight": "TensorRT quantizes weights itself: max|w|/127 of each output channel",
    "bias": "TensorRT adds the bias in float",
}


@final
@dataclass(frozen=True)
class Cache(Exporter):
    """One line per activation: name, and the bits of scale = amax/127.

    Attributes:
        version: Of the TensorRT that will read it; others calibrate anew without a word.
        algorithm: Of the calibrator that will read it, such as ``EntropyCalibration2``, which
            trtexec uses; it must match, whatever the ranges come from.

    References:
        NVIDIA TensorRT 8.0, samples/sampleINT8/README.md, "Calibration file".
    """

    version: tuple[int, int, int] = (10, 3, 0)
    algorithm: str = "EntropyCalibration2"
    name = "tensorrt-cache"
    title = "TensorRT calibration cache (up to 10.x)"
    files = ("calibration.cache",)
    takes = _TAKES
    otherwise = _OTHERWISE

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """No blank line and no carriage return: one of the readers stops at either."""
        header = f"TRT-{version_number(self.version)}-{self.algorithm}"
        lines = [f"{s.tensor}: {hexadecimal(case.plan[s.key].scale)}" for s in sites]
        return {self.files[0]: "".join(f"{line}\n" for line in (header, *lines)).encode()}

    def read(self, files: Files) -> Parameters:
        """See readers.tensorrt_cache."""
        return TensorrtCache().read(files[self.files[0]])

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """Names that readers cut, weights that TensorRT will quantize otherwise."""
        return [*_cut_names(sites, self.name), *_other_weights(case, self.name)]


@final
class DynamicRanges(Exporter):
    """Ends of ranges (amax = 127 * scale) for ``setDynamicRange``, as three tools read them.

    References:
        NVIDIA TensorRT 10.16, samples/sampleINT8API (text); PPQ, parser/tensorRT.py; MQBench,
        deploy/deploy_linear.py.
    """

    name = "tensorrt-ranges"
    title = "TensorRT dynamic ranges (up to 10.x), text and JSON"
    files = ("ranges.txt", "act_quant_info.json", "clip_ranges.json")
    takes = _TAKES
    otherwise = _OTHERWISE

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """The same ranges three times; in double, 127 * scale and its quotient are exact."""
        ranges = {s.tensor: float(case.plan[s.key].scale) * 127 for s in sites}
        contents = (
            "".join(f"{tensor}:{amax!r}\n" for tensor, amax in ranges.items()),
            json.dumps({"act_quant_info": ranges}, indent=4) + "\n",
            json.dumps({"tensorrt": {"blob_range": ranges}}, indent=4) + "\n",
        )
        return {f: c.encode() for f, c in zip(self.files, contents, strict=True)}

    def read(self, files: Files) -> Parameters:
        """Any of the three; see readers.ranges."""
        return Ranges().read(next(files[f] for f in self.files if f in files))

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """As for the cache."""
        return [*_cut_names(sites, self.name), *_other_weights(case, self.name)]


def version_number(version: tuple[int, int, int]) -> int:
    """The integer in the header: thousands before TensorRT 10, tens of thousands since.

    >>> version_number((8, 6, 2)), version_number((10, 3, 0))
    (8602, 100300)
    """
    major, minor, patch = version
    return major * (1000 if major < 10 else 10000) + minor * 100 + patch


def parsed_version(text: str) -> tuple[int, int, int]:
    """The version that will read a cache, as its users write it; a fourth number is of no account.

    >>> parsed_version("8.6.1.6"), parsed_version("10.3")
    ((8, 6, 1), (10, 3, 0))

    Raises:
        ExportError: E021 for anything else, and for versions that read no caches.
    """
    found = _VERSION.fullmatch(text)
    major, minor, patch = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    if not _FIRST <= major <= _LAST:
        raise ExportError("E021", "--tensorrt", repr(text), first=_FIRST, last=_LAST)
    return major, minor, patch


def hexadecimal(scale: np.float32 | np.ndarray[tuple[()], np.dtype[np.float32]]) -> str:
    """Bits of a float32, most significant digit first.

    >>> hexadecimal(np.float32(1 / 127))
    '3c010204'
    """
    return struct.pack("!f", float(scale)).hex()


def _cut_names(sites: Sequence[Site], where: str) -> list[ExportError]:
    """ONNX Runtime and sampleINT8API end a name at its first colon."""
    return [
        ExportError("E005", f"tensor {s.tensor!r} in {where}", "some readers cut it")
        for s in sites
        if ":" in s.tensor
    ]


def _other_weights(case: Case, where: str) -> list[ExportError]:
    """Weights whose scales are not those that TensorRT computes."""
    return [
        ExportError("E006", f"weight {site.tensor!r} in {where}", "other ones")
        for site in case.sites
        if site.role == "weight" and not _native(case, site)
    ]


def _native(case: Case, site: Site) -> bool:
    affine, array = case.plan[site.key], constant_values(case, site)
    if affine.axis is None or affine.grid.name != "int8" or affine.zero_point.any():
        return False
    rest = tuple(a for a in range(array.ndim) if a != affine.axis)
    lo, hi = array.min(axis=rest), array.max(axis=rest)
    native = affine_from_range(lo, hi, affine.grid, symmetric=True, axis=affine.axis)
    return bool(np.allclose(native.scale, affine.scale, rtol=1e-6, atol=0))
