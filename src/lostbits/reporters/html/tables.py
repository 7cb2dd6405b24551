"""The rows of the page's tables, laid out and sorted."""

from collections.abc import Mapping, Sequence
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


_NAMES = tuple(f"column.{name}" for name in ("tensor", "role", "node", "grid"))
# Codes of the headings; what they mean stands under the same names in the ``_hint`` section.
COLUMNS: tuple[str, ...] = (
    *(f"column.{name}" for name in ("tensor", "role", "node", "grid", "share", "sqnr")),
    "column.bits_left",
    *(f"step.{name}" for name in STEPS),
    *(f"column.{name}" for name in ("range", "mse", "round", "clip", "dead_zone", "codes")),
    "column.reached",
    "column.stability",
)


# Of these the low figures are the bad ones, so that a first click sorts upwards.
_LOW = {f"column.{name}" for name in ("sqnr", "bits_left", "codes", "reached", "stability")}
# What a table of that many columns can do without at first sight; the rest is a click away.
_EXTRA = {
    f"column.{name}"
    for name in ("node", "mse", "round", "clip", "dead_zone", "reached", "stability")
}


@final
class Column(NamedTuple):
    """A heading of the table of tensors.

    Attributes:
        code: Of the catalogues.
        figure: Whether numbers stand below it.
        first: How a first click sorts: what is worst comes first.
        shown: Whether it is shown before a reader has chosen.
    """

    code: str
    figure: bool
    first: str
    shown: bool


def nameless(tensor: str) -> bool:
    """Whether a name was made by an exporter and says nothing, so that the layer's must.

    >>> nameless("onnx::Conv_911"), nameless("1234"), nameless("block1.conv.weight")
    (True, True, False)
    """
    return tensor.startswith("onnx::") or tensor.isdecimal()


def columns(ranked: "Sequence[Row]") -> list[Column]:
    """The columns; what every row has nothing to tell of is not shown at first."""
    silent = (formats.NONE, formats.bits(0.0))
    empty = [
        code
        for number, code in enumerate(COLUMNS[1:])
        if all(row.cells[number].text in silent for row in ranked)
    ]
    told = _EXTRA - {"column.node"} if any(nameless(r.site.tensor) for r in ranked) else _EXTRA
    return [_column(code, shown=code not in told and code not in empty) for code in COLUMNS]


def _column(code: str, *, shown: bool) -> Column:
    figure = code not in _NAMES
    up = code in _LOW or not figure
    return Column(code, figure, "ascending" if up else "descending", shown)


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

    @property
    def label(self) -> str:
        """What a chart calls it: its layer, where its own name says nothing."""
        site = self.site
        return site.node if site.node and nameless(site.tensor) else site.tensor

    @property
    def cause(self) -> str:
        """The larger one."""
        return "clip" if abs(self.clip) > abs(self.round) else "round"


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
        _share(share),
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


def _share(share: float) -> Cell:
    """What cancels error of others has the colour of that."""
    kind = "figure bar below" if share < 0 else "figure bar"
    return Cell(formats.percent(share), share, kind, formats.fill(abs(share)))


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
