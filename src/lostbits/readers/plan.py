"""lostbits' own plan: every site with its grid, scale, zero point and axis."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, final

from lostbits.errors import ReadError
from lostbits.reader import (
    Parameters,
    Reader,
    Reading,
    check_unique,
    damaged,
    json_object,
    narrowed,
    parse_json,
    wrong_version,
)

_FIELDS = ("bits", "signed", "qmin", "qmax", "scale", "zero_point", "axis")
FORMAT = "lostbits-plan/1"
ARITHMETIC = "arithmetic"  # of the kernels that a recovery's plan was made for


@final
class Plan(Reader):
    """What the exporter ``json`` writes."""

    name: ClassVar[str] = "json"
    title: ClassVar[str] = "lostbits plan (JSON)"

    def recognises(self, content: bytes) -> bool:
        """By the name in ``format``."""
        return str(json_object(content).get("format")).startswith("lostbits-plan/")

    def parse(self, content: bytes) -> Parameters:
        """One entry per site."""
        value = parse_json(content)
        if value.get("format") != FORMAT:
            raise wrong_version(value.get("format"), [FORMAT])
        told = {"target": value.get("target"), "arithmetic": value.get(ARITHMETIC)}
        return replace(read_sites(value, self.name), **told)


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
    *codes, scale, zero, axis = (site[key] for key in _FIELDS)
    try:
        grid = narrowed(tensor, *codes)
    except ReadError as error:
        reading.problems.append(error)
        return
    reading.add(tensor, grid, scale, zero, axis=axis)
