"""The map of the network: its layers as a graph, in blocks that a reader can unfold.

Blocks are runs of layers in the order of the network. Whatever the run, no path leaves it and
comes back, because a layer only reads earlier ones; so a graph of folded blocks has no circle.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple, final

from lostbits.reporters.html import tables
from lostbits.results.diagnosis import Diagnosis

_FEW, _MOST = 24, 40  # layers that need no blocks, and blocks that fit on a map


@final
class Stop(NamedTuple):
    """A layer on the map.

    Attributes:
        name, op: Of the layer, or of an input of the network.
        share: Part of the output error that its tensors carry.
        sites: Its tensors, as numbers of the page's rows.
        inputs: Stops that it reads, by number; all of them before it.
        layer: Its number among the layers; None for an input.
    """

    name: str
    op: str
    share: float
    sites: list[int]
    inputs: list[int]
    layer: int | None


@final
class Block(NamedTuple):
    """A run of at least two stops.

    Attributes:
        name: What the names of its layers begin with; empty where they have nothing in common.
        first: Its first stop.
        size: How many stops it has.
    """

    name: str
    first: int
    size: int


@final
class Map(NamedTuple):
    """Stops, inputs of the network first, and the blocks that they are folded into."""

    stops: list[Stop]
    blocks: list[Block]

    @property
    def most(self) -> float:
        """The largest share of a layer, whichever its sign."""
        return max((abs(stop.share) for stop in self.stops), default=0.0)


def network_map(result: Diagnosis, ranked: Sequence[tables.Row]) -> Map:
    """The graph of the layers that were compared."""
    inputs = [(name, "", "", list[str](), None) for name in result.model.inputs]
    layers = [(x.tensor, x.node, x.op, x.inputs, n) for n, x in enumerate(result.layers)]
    made, constants = _rows(ranked)
    number: dict[str, int] = {}
    stops = list[Stop]()
    for tensor, node, op, read, layer in (*inputs, *layers):
        sites = sorted({*made[tensor], *(constants[node] if node else ())})
        share = sum(ranked[i].share for i in sites)
        before = sorted({number[name] for name in read if name in number})
        number[tensor] = len(stops)
        stops.append(Stop(node or tensor, op, share, sites, before, layer))
    return Map(stops, blocks(stops))


def _rows(ranked: Sequence[tables.Row]) -> tuple[Mapping[str, list[int]], Mapping[str, list[int]]]:
    """Numbers of the rows of every tensor, and of the constants of every node."""
    made, constants = defaultdict[str, list[int]](list), defaultdict[str, list[int]](list)
    for row in ranked:
        made[row.site.tensor].append(row.number)
        if row.site.role in ("weight", "bias"):
            constants[row.site.node].append(row.number)
    return made, constants


def blocks(stops: Sequence[Stop]) -> list[Block]:
    """By what names begin with, where that makes blocks; else by where the graph is narrow."""
    if len(stops) <= _FEW:
        return []
    paths = [_path(stop.name) for stop in stops]
    deepest = max(map(len, paths))
    for depth in range(deepest, 0, -1):
        found = list(_runs(["/".join(path[:depth]) for path in paths]))
        largest = max(block.size for block in found)
        if len(found) <= _MOST and largest <= len(stops) / 2:
            return [block for block in found if block.size > 1]
    return _narrow(stops)


def _path(name: str) -> list[str]:
    """Where a layer belongs: its name without its own part."""
    parts = [part for part in name.split("/") if part]
    return (parts if len(parts) > 1 else re.split(r"\.", name))[:-1]


def _runs(keys: Sequence[str]) -> Iterator[Block]:
    first = 0
    for key, group in groupby(keys):
        count = len(list(group))
        yield Block(key, first, count)
        first += count


def _narrow(stops: Sequence[Stop]) -> list[Block]:
    """Blocks of about equal size that end where a single tensor leads on, if one does."""
    size, found, first = -(-len(stops) // _MOST), list[Block](), 0
    last = {each: n for n, stop in enumerate(stops) for each in stop.inputs}
    alive = set[int]()
    for n in range(len(stops)):
        alive = {each for each in (*alive, n) if last.get(each, -1) > n}
        if len(alive) == 1 and n + 1 - first >= size:
            found.append(Block("", first, n + 1 - first))
            first = n + 1
    found.append(Block("", first, len(stops) - first))
    return [block for block in found if block.size > 1]
