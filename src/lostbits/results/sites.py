"""What a diagnosis tells of one tensor that is quantized."""

from dataclasses import dataclass
from typing import Literal, final

from lostbits.graph.site import Role
from lostbits.runtime.figure_kinds import (
    Bits,
    GridName,
    Named,
    Part,
    Positive,
    Size,
)

STEPS = ("shape", "granularity", "symmetry", "scale_format", "range_choice")


@final
@dataclass(frozen=True)
class LostBits:
    """The waterfall of one site: bits lost to each constraint, from the ideal quantizer down.

    Each is ``0.5 * log2`` of a ratio of squared errors, and at least 0; they sum to ``total``.

    Attributes:
        shape: The best uniform grid per channel against the best non-uniform one.
        granularity: One scale for the tensor against one per channel.
        symmetry: Symmetric against asymmetric.
        scale_format: Power-of-two scales against free ones.
        range_choice: The range in use against the best one under the same constraints.
        direction: Whether the range in use is wider or narrower than the best one.
        total: Bits of the grid minus the effective bits.
    """

    shape: Size
    granularity: Size
    symmetry: Size
    scale_format: Size
    range_choice: Size
    direction: Literal["too_wide", "too_narrow", "best"]
    total: Size

    @property
    def steps(self) -> dict[str, float]:
        """Bits lost by the name of the constraint, in the order of the waterfall."""
        return {name: getattr(self, name) for name in STEPS}


@final
@dataclass(frozen=True)
class Mark:
    """One range on the trade-off curve.

    Attributes:
        factor: Its width as a multiple of the full one.
        round, clip: Mean squared error of each kind.
    """

    factor: float
    round: Size
    clip: Size


@final
@dataclass(frozen=True)
class TradeOff:
    """The article's figure 3: round and clip error against the range.

    Attributes:
        factor: Range as a multiple of the full (min-max) range.
        round, clip: Mean squared error of each kind at that range.
        marks: For every method, and ``in use``: its factor, round and clip.
    """

    factor: list[Size]
    round: list[Size]
    clip: list[Size]
    marks: dict[str, Mark]


@final
@dataclass(frozen=True)
class Utilisation:
    """How well the values use the grid.

    Attributes:
        codes_used: Codes that at least one value has.
        codes_total: Codes of the grid.
        entropy_bits: Of the codes.
        range_share: Part of the range that the values reach.
        headroom_bits: Bits that the channels leave unused, on average.
        allocation_gain_db: What channels of different widths would win.
    """

    codes_used: Size
    codes_total: Size
    entropy_bits: Size
    range_share: Part
    headroom_bits: Size
    allocation_gain_db: float


@final
@dataclass(frozen=True)
class Stability:
    """Mean squared error on either half of the samples.

    Attributes:
        mse_first_half: Of the tensor, over the first half of the samples.
        mse_second_half: Over the other half.
        ratio: Of the smaller one to the larger one: 1 for stable data.
    """

    mse_first_half: Size
    mse_second_half: Size
    ratio: Part


@final
@dataclass(frozen=True)
class Bins:
    """Values of a tensor by their size.

    Attributes:
        edges: Lowest and highest edge; the bins between them are equally wide.
        counts: Values in each bin.
        zeros: One number: values that are exactly zero.
    """

    edges: list[float]
    counts: list[Size]
    zeros: list[Size]


@final
@dataclass(frozen=True)
class SiteReport:
    """Everything about one site; errors are means of squares in the tensor's own unit squared.

    Attributes:
        utilisation: None where nothing was counted.
        channel_range: Number, lowest and highest value of channels.
        levels: Share of the values in each of at most 64 equal groups of codes, lowest first.
    """

    tensor: str
    role: Role
    node: str
    op: Named
    group: str
    grid: GridName
    bits: Bits
    scale: list[Positive]
    zero_point: list[int]
    axis: int | None
    lo: float
    hi: float
    mse: Size
    mse_round: Size
    mse_clip: Size
    mse_dead_zone: Size
    sqnr_db: float | None
    effective_bits: float
    lost_bits: LostBits | None
    utilisation: Utilisation | None
    stability: Stability | None
    trade_off: TradeOff | None
    histogram: Bins | None
    channel_range: list[list[float]] | None
    levels: list[float] | None

    @property
    def key(self) -> str:
        """Of the site, as plans have it."""
        return f"{self.tensor}:{self.role}"


@final
@dataclass(frozen=True)
class Standing:
    """How one site is quantized, and what that costs.

    Attributes:
        share: What it carries, as part of an output error that stands beside it.
    """

    grid: str
    lo: float
    hi: float
    sqnr_db: float | None
    share: float
