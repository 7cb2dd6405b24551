"""What a diagnosis says, as plain data; the members that compute it are in ``diagnoses``."""

from dataclasses import dataclass
from typing import Any, Literal, final

Cause = Literal["round", "clip"]

# Named reasons, as findings give them. The first four are steps of the lost-bits waterfall.
Reason = Literal[
    "granularity",
    "symmetry",
    "scale_format",
    "too_wide",
    "too_narrow",
    "resolution",
    "bias_overflow",
    "changed",
    "mistake",
]


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

    shape: float
    granularity: float
    symmetry: float
    scale_format: float
    range_choice: float
    direction: Literal["too_wide", "too_narrow", "best"]
    total: float


@final
@dataclass(frozen=True)
class TradeOff:
    """The article's figure 3: round and clip error against the range.

    Attributes:
        factor: Range as a multiple of the full (min-max) range.
        round, clip: Mean squared error of each kind at that range.
        marks: For every method, and ``in use``: its factor, round and clip.
    """

    factor: list[float]
    round: list[float]
    clip: list[float]
    marks: dict[str, dict[str, float]]


@final
@dataclass(frozen=True)
class SiteReport:
    """Everything about one site; errors are means of squares in the tensor's own unit squared.

    Attributes:
        levels: Share of the values in each of at most 64 equal groups of codes, lowest first.
    """

    tensor: str
    role: str
    node: str
    op: str
    group: str
    grid: str
    bits: int
    scale: list[float]
    zero_point: list[int]
    axis: int | None
    lo: float
    hi: float
    mse: float
    mse_round: float
    mse_clip: float
    mse_dead_zone: float
    sqnr_db: float | None
    effective_bits: float
    lost_bits: LostBits | None
    utilisation: dict[str, float]
    stability: dict[str, float] | None
    trade_off: TradeOff | None
    histogram: dict[str, list[float]] | None
    channel_range: list[list[float]] | None
    levels: list[float] | None

    def row(self) -> dict[str, Any]:
        """As result.json has it; lists are not copied, of which ``asdict`` copies each number."""
        nested = {"lost_bits": self.lost_bits, "trade_off": self.trade_off}
        return {**vars(self), **{k: None if v is None else {**vars(v)} for k, v in nested.items()}}


@final
@dataclass(frozen=True)
class LayerReport:
    """The six-term identity of one layer; shares sum to 1 (or are all 0 for a perfect layer).

    Attributes:
        inputs: Tensors of other layers, or inputs of the network, that it is computed from.
        shares: ``<e_i, E>/|E|^2`` of weight, activation, interaction, bias, accumulate, output.
        own_error: Energy of what the layer adds, relative to that of its float output.
        inherited_error: The same of what its inputs bring.
        bias_share: Part of the error energy that is a constant shift per channel.
        coherence: ``|sum e_i|^2 / sum |e_i|^2``: 1 for independent terms, below for cancelling.
    """

    node: str
    op: str
    tensor: str
    inputs: list[str]
    error: float
    shares: dict[str, float]
    own_error: float
    inherited_error: float
    bias_share: float
    coherence: float


@final
@dataclass(frozen=True)
class Attribution:
    """How much of the change of the output one (site, cause) carries."""

    tensor: str
    role: str
    cause: Cause
    value: float
    share: float


@final
@dataclass(frozen=True)
class NetworkReport:
    """Attribution of the output error; ``total`` is measured, not the sum.

    Attributes:
        method: ``aumann-shapley`` or ``permutation``.
        metric: ``nsr`` (squared error over power of the float output) or ``kl``.
        total: Measured on the quantized network.
        residual: ``(sum of attributions - total) / total``.
        evaluations: Forward and backward passes over the data that it took.
        channels: Per site key, values per channel (the largest sites only).
        note: Why this method was taken, and what it was based on.
    """

    method: str
    metric: str
    total: float
    residual: float
    evaluations: float
    attributions: list[Attribution]
    channels: dict[str, list[float]]
    note: str

    @property
    def values(self) -> dict[str, float]:
        """What every site carries, all causes together, by site key; without a share, no entry."""
        sums: dict[str, float] = {}
        for a in self.attributions:
            key = f"{a.tensor}:{a.role}"
            sums[key] = sums.get(key, 0.0) + a.value
        return sums


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


@final
@dataclass(frozen=True)
class Finding:
    """One diagnosed fact.

    Attributes:
        code: ``F`` and three digits; docs/messages.md explains each.
        reason: Named cause.
        share: Part of the output error that it carries.
        bits: Bits of the tensor that the reason costs.
        gain_db: Predicted gain of the output's SQNR when the remedy is applied.
        remedy: What to do, in a few words.
        command: A command that does it and measures.
        text: The whole finding in plain words.
    """

    code: str
    tensor: str
    role: str
    node: str
    cause: Cause
    reason: Reason
    share: float
    bits: float
    gain_db: float
    remedy: str
    command: str
    text: str
