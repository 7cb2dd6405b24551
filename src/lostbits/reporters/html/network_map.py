"""The map of the network: one row a layer, from the input to the output, with lanes like a log.

The line of a tensor keeps to one lane from the layer that makes it to the last one that reads it;
a lane is free again behind that row. So a chain of layers is one straight line, and so is the way
around a block, with the layers of the block to its right.
"""

from collections.abc import Sequence
from typing import NamedTuple, final

from lostbits.reporters.html import formats, tables
from lostbits.results.diagnosis import Diagnosis

ROW = 30  # pixels a layer
_LANE, _MOST = 15.0, 150.0  # pixels between lanes, and of all lanes together
_RADIUS = 5.5


@final
class Stop(NamedTuple):
    """A layer on the map.

    Attributes:
        name, op: Of the layer, or of an input of the network.
        share: Part of the output error that its tensors carry.
        fill: How strongly it is coloured, 0 to 1.
        sites: Its tensors, as numbers of the page's rows.
        x, y: The middle of its dot.
        layer: Its number among the layers; None for an input.
    """

    name: str
    op: str
    share: float
    fill: float
    sites: list[int]
    x: float
    y: float
    layer: int | None


@final
class Map(NamedTuple):
    """Rows, the lines between them as SVG paths, and the size of the picture of the lines."""

    rows: list[Stop]
    paths: list[str]
    width: float
    height: float
    most: float
    radius: float = _RADIUS
    pitch: int = ROW


def network_map(result: Diagnosis, ranked: Sequence[tables.Row]) -> Map:
    """The rows, inputs of the network first, and their lines."""
    stations = [_Station(name, "", "", [], None) for name in result.model.inputs]
    stations += [
        _Station(layer.tensor, layer.node, layer.op, layer.inputs, number)
        for number, layer in enumerate(result.layers)
    ]
    lanes = _lanes(stations)
    step = min(_LANE, _MOST / max(len(set(lanes)), 1))
    spots = [(step * (lane + 0.7), ROW * (i + 0.5)) for i, lane in enumerate(lanes)]
    sites = [_sites(station, ranked) for station in stations]
    shares = [sum(ranked[i].share for i in found) for found in sites]
    most = max([*shares, 0.0])
    rows = [
        Stop(s.node or s.tensor, s.op, share, _fill(share, most), found, *spot, s.layer)
        for s, share, found, spot in zip(stations, shares, sites, spots, strict=True)
    ]
    width = round(step * (max(lanes, default=0) + 1.4), 1)
    return Map(rows, _paths(stations, spots), width, float(ROW * len(rows)), most)


@final
class _Station(NamedTuple):
    tensor: str
    node: str
    op: str
    inputs: Sequence[str]
    layer: int | None


def _sites(station: _Station, ranked: Sequence[tables.Row]) -> list[int]:
    """Its own constants, by node, and the tensor that it makes."""
    return [
        row.number
        for row in ranked
        if row.site.tensor == station.tensor
        or (row.site.role in ("weight", "bias") and row.site.node == station.node != "")
    ]


def _lanes(stations: Sequence[_Station]) -> list[int]:
    """A lane for every row: that of an input that ends here, or the first free one."""
    last = {name: i for i, s in enumerate(stations) for name in s.inputs}
    held: dict[int, str] = {}  # lane -> the tensor that runs in it
    lanes = []
    for i, station in enumerate(stations):
        for lane in [lane for lane, name in held.items() if last.get(name, -1) <= i]:
            del held[lane]
        lane = next(n for n in range(len(stations) + 1) if n not in held)
        held[lane] = station.tensor
        lanes.append(lane)
    return lanes


def _paths(stations: Sequence[_Station], spots: Sequence[tuple[float, float]]) -> list[str]:
    """A line from every tensor to each of its readers, turning into the reader's lane at it."""
    where = {s.tensor: spot for s, spot in zip(stations, spots, strict=True)}
    pairs = [
        (where[name], spot)
        for s, spot in zip(stations, spots, strict=True)
        for name in s.inputs
        if name in where and where[name] is not spot
    ]
    return [_path(x0, y0, x1, y1) for (x0, y0), (x1, y1) in pairs]


def _path(x0: float, y0: float, x1: float, y1: float) -> str:
    """Straight down in its own lane, which nobody else uses meanwhile, and over at the end."""
    if x0 == x1:
        return f"M{x0:.1f} {y0:.0f}V{y1:.0f}"
    bend = f"C{x0:.1f} {y1 - 9:.0f} {x1:.1f} {y1 - ROW + 9:.0f} {x1:.1f} {y1:.0f}"
    return f"M{x0:.1f} {y0:.0f}V{y1 - ROW:.0f}{bend}"


def _fill(share: float, most: float) -> float:
    """The root lets small shares still be seen."""
    return formats.fill((max(share, 0.0) / most) ** 0.5) if most > 0 else 0.0
