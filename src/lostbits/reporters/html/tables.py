"""The rows of the page's tables, laid out and sorted."""

from collections.abc import Mapping
from typing import Any, NamedTuple, final

from lostbits.reporters.html import formats
from lostbits.results.diagnosis import Cause, Diagnosis
from lostbits.results.sites import STEPS, LostBits, SiteReport, Utilisation

_HEAT = 3.0  # bits lost at which a cell has its full colour


@final
class Cell(NamedTuple):
    """Text, what it sorts by, and how much of the cell is coloured (0 to 1).

    Attributes:
        word: Code of the text, where it is a word.
    """

    text: str
    value: float | str
    kind: str = "figure"
    fill: float = 0.0
    long: bool = False
    word: str = ""


# Codes of the headings; what they mean stands under the same names in the ``_hint`` section.
COLUMNS: tuple[str, ...] = (
    *(f"column.{name}" for name in ("tensor", "role", "node", "grid", "share", "sqnr")),
    "column.bits_left",
    *(f"step.{name}" for name in STEPS),
    *(f"column.{name}" for name in ("range", "mse", "round", "clip", "dead_zone", "codes")),
    "column.reached",
    "column.stability",
)


@final
class Row(NamedTuple):
    """A site on the page; shares are parts of the output error, by cause."""

    site: SiteReport
    round: float
    clip: float
    number: int
    cells: list[Cell]
    accumulate: float = 0.0

    @property
    def share(self) -> float:
        """Of all causes."""
        return self.round + self.clip + self.accumulate


def rows(result: Diagnosis) -> list[Row]:
    """The sites, those that cost most first, each with its share by cause and its cells."""
    shares: dict[tuple[str, Cause], float] = {}
    for a in result.network.attributions:
        shares[a.key, a.cause] = shares.get((a.key, a.cause), 0.0) + a.share
    found = [(s, *_by_cause(shares, s.key)) for s in result.sites]
    found.sort(key=lambda row: -(row[1] + row[2] + row[3]))
    pairs = {a.key for a in result.network.attributions if a.parts}
    return [
        Row(s, r, c, i, _cells(s, r + c + k, "corrected" if s.key in pairs else s.role), k)
        for i, (s, r, c, k) in enumerate(found)
    ]


def _by_cause(shares: Mapping[tuple[str, Cause], float], key: str) -> tuple[float, float, float]:
    rounded, clipped = shares.get((key, "round"), 0.0), shares.get((key, "clip"), 0.0)
    return rounded, clipped, shares.get((key, "accumulate"), 0.0)


def _cells(site: SiteReport, share: float, role: str) -> list[Cell]:
    used, stable = site.utilisation, site.stability
    return [
        Cell(role, role, "name", word=f"role.{role}"),
        Cell(site.node or formats.NONE, site.node, "name long", long=True),
        Cell(site.grid, site.bits, "name"),
        Cell(formats.percent(share), share, "figure bar", formats.fill(share)),
        _figure(site.sqnr_db, formats.decibel),
        Cell(f"{site.effective_bits:.1f}", site.effective_bits),
        *_lost(site.lost_bits),
        Cell(formats.span(site.lo, site.hi), site.hi - site.lo),
        *(
            _figure(value, formats.brief)
            for value in (site.mse, site.mse_round, site.mse_clip, site.mse_dead_zone)
        ),
        _codes(used),
        _figure(None if used is None else used.range_share, formats.percent),
        _figure(None if stable is None else stable.ratio, formats.brief),
    ]


def _figure(value: float | None, text: Any) -> Cell:
    return Cell(text(value), "" if value is None else value)


def _lost(lost: LostBits | None) -> list[Cell]:
    if lost is None:
        return [Cell(formats.NONE, "")] * len(STEPS)
    losses = lost.steps.values()
    return [Cell(formats.bits(v), v, "figure heat", formats.fill(v / _HEAT)) for v in losses]


def _codes(used: Utilisation | None) -> Cell:
    if used is None:
        return Cell(formats.NONE, "")
    text = f"{formats.count(used.codes_used)} / {formats.count(used.codes_total)}"
    return Cell(text, used.codes_used / used.codes_total)
