"""lostbits' own plan: every site with its grid, scale, zero point and axis."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

from lostbits.errors import ReadError
from lostbits.grid import Grid
from lostbits.reader import (
    Parameters,
    Reader,
    Reading,
    check_unique,
    damaged,
    grid_of,
    json_object,
    parse_json,
    wrong_version,
)

_FIELDS = ("bits", "signed", "qmin", "qmax", "scale", "zero_point", "axis")
FORMAT = "lostbits-plan/1"


@final
class Plan(Reader):
    """What the exporter ``json`` writes."""

    name: ClassVar[str] = "json"
    title: ClassVar[str] = "lostbits plan (JSON)"

    def recognises(self, content: bytes) -> bool:
        """By the name in ``format``."""
        return str(json_object(content).get("format")).startswith("lostbits-plan/")

    def read(self, content: bytes) -> Parameters:
        """One entry per site."""
        value = parse_json(content)
        if value.get("format") != FORMAT:
            raise wrong_version(value.get("format"), [FORMAT])
        return read_sites(value, self.name)


def read_sites(value: Mapping[str, Any], source: str) -> Parameters:
    """The list ``sites`` of a file of ours; both of our JSON formats have it."""
    reading, sites = Reading(source), value.get("sites")
    if not isinstance(sites, list) or not all(isinstance(s, dict) for s in sites):
        raise damaged("no list of sites")
    check_unique(site.get("tensor") for site in sites)
    for site in sites:
        _add(reading, site)
    floats = value.get("float")
    reading.floats.extend(floats if isinstance(floats, dict) else ())
    return reading.parameters()


def _add(reading: Reading, site: Mapping[str, Any]) -> None:
    tensor = site["tensor"]
    missing = [key for key in _FIELDS if key not in site]
    if missing:
        reading.malformed(tensor, f"no field {missing[0]!r}")
        return
    bits, signed, low, high, scale, zero, axis = (site[key] for key in _FIELDS)
    try:
        full = grid_of(tensor, bits, signed=signed is True)
    except ReadError as error:
        reading.problems.append(error)
        return
    if (low, high) != (full.qmin, full.qmax):  # a narrower one, such as -127..127
        if not (_whole(low) and _whole(high) and full.qmin <= low < high <= full.qmax):
            reading.malformed(tensor, f"codes {low!r}..{high!r}")
            return
        full = Grid(full.bits, full.signed, low, high)
    reading.add(tensor, full, scale, zero, axis=axis)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
