"""What a comparison of two sides finds: parameters, figures, and who changed the output error."""

from dataclasses import dataclass, field
from typing import Literal, final

from lostbits.graph.site import Role
from lostbits.language import Message
from lostbits.results.checks import Check
from lostbits.results.sites import Standing
from lostbits.runtime.figure_kinds import Digest, Named, Several, Unlimited
from lostbits.runtime.metrics import Baseline, Metric

FORMAT = "lostbits-comparison/1"
BASELINE_FORMAT = "lostbits-baseline/1"
Way = Literal["path", "difference"]


@final
@dataclass(frozen=True)
class ParameterChange:
    """One tensor whose parameters differ.

    Attributes:
        codes: How far the ends of the range moved, in steps of the finer grid; the largest of all
            channels. Infinite where the numbers of scales differ.
        grids: Names before and after.
        lo, hi: Ends of the range before and after, over all channels.
    """

    tensor: str
    codes: Unlimited
    grids: tuple[str, str]
    lo: tuple[float, float]
    hi: tuple[float, float]


@final
@dataclass(frozen=True)
class TensorError:
    """One tensor of one side.

    Attributes:
        standing: How it is quantized and what that costs; None for a corrected float bias.
        causes: What it carries of the output error, in the unit of the metric: round, and clip.
    """

    tensor: str
    role: Role
    standing: Standing | None
    causes: dict[str, float]

    @property
    def key(self) -> str:
        """Of the site, as plans have it."""
        return f"{self.tensor}:{self.role}"


@final
@dataclass(frozen=True)
class SideFigures:
    """One side, measured: the content of a baseline file.

    Attributes:
        name: Of the file, folder or case.
        data_sha256: Of the samples; figures of other samples are not compared.
        metric: Of ``total`` and of the tensors' causes.
        total: The output error.
        figures: The quantized network beside the float one.
    """

    lostbits_version: Named
    name: str
    samples: Several
    data_sha256: Digest
    metric: Metric
    total: float
    figures: Baseline
    tensors: list[TensorError]
    format: Literal["lostbits-baseline/1"] = "lostbits-baseline/1"


@final
@dataclass(frozen=True)
class TensorChange:
    """What one tensor has to do with the change of the output error.

    Attributes:
        before, after: How it is quantized, and its own SQNR; None where it is in float.
        value: In the unit of the metric.
        share: Part of the whole change.
        causes: ``value`` by cause.
        what: What became of the tensor, as a part of a sentence.
    """

    tensor: str
    role: Role
    before: Standing | None
    after: Standing | None
    value: float
    share: Unlimited
    causes: dict[str, float]
    what: Message


@final
@dataclass(frozen=True)
class OutputChange:
    """The change of the output error, and who made it; ``after - before`` is measured.

    Attributes:
        way: ``path`` from one plan to the other, or ``difference`` of two attributions from float.
        metric: Of all values.
        before, after: The output error of each side.
        residual: ``(sum of values - change) / change``.
        closed: Whether shares may be told: the residual is at most a tenth.
        tensors: Largest change first.
        text: The whole in a few sentences.
    """

    way: Way
    metric: Metric
    before: float
    after: float
    residual: Unlimited
    closed: bool
    tensors: list[TensorChange]
    text: Message


@final
@dataclass(frozen=True)
class Comparison:
    """Two sides, old and new.

    Attributes:
        same: Tensors whose parameters are equal, to the last bit.
        changed: The others, the farthest first.
        only_old: Tensors that only the old side has.
        only_new: Tensors that only the new side has.
        text: The same in a sentence.
        old: What was measured of the old side; None without data.
        new: The same of the new side.
        output: The change of the output error; None where it cannot be told.
        checks: The gates, in the order in which they were given.
        unsaid: What this comparison cannot tell, and what it would take.
    """

    same: int
    changed: list[ParameterChange]
    only_old: list[str]
    only_new: list[str]
    text: Message
    old: SideFigures | None = None
    new: SideFigures | None = None
    output: OutputChange | None = None
    checks: list[Check] = field(default_factory=list)
    unsaid: list[Message] = field(default_factory=list)
    format: Literal["lostbits-comparison/1"] = "lostbits-comparison/1"

    @property
    def codes(self) -> float:
        """The largest change; infinite where one side lacks a tensor."""
        if self.only_old or self.only_new:
            return float("inf")
        return max((change.codes for change in self.changed), default=0.0)

    @property
    def passed(self) -> bool:
        """Whether every gate is met; true without any."""
        return all(check.met for check in self.checks)

    def __repr__(self) -> str:
        told = self.text if self.output is None else self.output.text
        return f"<Comparison: {told}>"
