"""What the verbs find, as frozen dataclasses; JSON and its schema are made from them at the edge.

Texts are messages: a code and figures, of which a reporter makes sentences in a language.
"""

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, final

from lostbits.bounds import (
    Bits,
    Count,
    Digest,
    FindingCode,
    GridName,
    Named,
    Part,
    Positive,
    Several,
    Size,
    Stamp,
)
from lostbits.case import Case
from lostbits.graph.normalise import Normalisation
from lostbits.graph.site import Role
from lostbits.grid import Grid
from lostbits.language import Message
from lostbits.runtime.measure import Baseline, Metric
from lostbits.target import Source

FORMAT = "lostbits-result/2"
Cause = Literal["round", "clip"]
Attributor = Literal["aumann-shapley", "permutation"]

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

Parameter = Literal["scale", "zero_point", "axis", "rounding", "shape", "values", "quantizer"]
DeviationCause = Literal[
    "parameters", "float", "saturation", "shared_scale", "one_code", "arithmetic"
]
STEPS = ("shape", "granularity", "symmetry", "scale_format", "range_choice")
_SHOWN = 5  # findings on the first screen


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
        mse_first_half, mse_second_half: Of the tensor, over the samples of that half.
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
    op: Named
    tensor: str
    inputs: list[str]
    error: Size
    shares: dict[str, float]
    own_error: Size
    inherited_error: Size
    bias_share: float
    coherence: Size


@final
@dataclass(frozen=True)
class Attribution:
    """How much of the change of the output one (site, cause) carries.

    Attributes:
        value: In the unit of the metric.
        share: Part of the measured total.
        reason: Why; None before the waterfalls have told.
    """

    tensor: str
    role: Role
    cause: Cause
    value: float
    share: float
    reason: Reason | None = None

    @property
    def key(self) -> str:
        """Of the site, as plans have it."""
        return f"{self.tensor}:{self.role}"


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
        attributions: One for each site and cause.
        channels: Per site key, values per channel (the largest sites only).
        note: Why this method was taken, and what it was based on.
    """

    method: Attributor
    metric: Metric
    total: float
    residual: float
    evaluations: Size
    attributions: list[Attribution]
    channels: dict[str, list[float]]
    note: Message

    @property
    def values(self) -> dict[str, float]:
        """What every site carries, all causes together, by site key; without a share, no entry."""
        sums: dict[str, float] = {}
        for a in self.attributions:
            sums[a.key] = sums.get(a.key, 0.0) + a.value
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

    code: FindingCode
    tensor: str
    role: Role
    node: str
    cause: Cause
    reason: Reason
    share: float
    bits: float
    gain_db: float
    remedy: Message
    command: Named
    text: Message


@final
@dataclass(frozen=True)
class Reasoned:
    """A tensor, and why nothing else became of it."""

    tensor: str
    reason: Message


@final
@dataclass(frozen=True)
class Coverage:
    """How much of the network the figures stand for.

    Attributes:
        sites_matched: Sites with parameters.
        sites_total: Sites that the target has in this network.
        unmatched: Those without parameters.
        left_in_float: Tensors that the target does not quantize.
    """

    sites_matched: Count
    sites_total: Count
    unmatched: list[Reasoned]
    left_in_float: list[Reasoned]


@final
@dataclass(frozen=True)
class ModelFacts:
    """What was diagnosed.

    Attributes:
        path: File, or the name of what was given instead of one.
        sha256: Of the file, or of the model as a protobuf message.
        nodes: Of the normalised network.
        sites: Tensors of it that are quantized.
        normalised: What normalising changed.
        metadata: As the file has it.
    """

    path: Named
    sha256: Digest
    inputs: list[str]
    outputs: list[str]
    nodes: Count
    sites: Count
    normalised: Normalisation
    metadata: dict[str, str]


@final
@dataclass(frozen=True)
class DataFacts:
    """The samples that were used."""

    source: str
    samples: Several
    interrupted: bool
    sha256: Digest


@final
@dataclass(frozen=True)
class RuleFacts:
    """How one role is quantized; see ``target.Rule``.

    Attributes:
        symmetric: Zero point fixed.
        per_channel: One scale per output channel.
        method: Name of the native range method.
        power_of_two: Scales are powers of two.
        minimum_range: Ranges narrower than this are widened to it.
    """

    grid: Grid
    symmetric: bool
    per_channel: bool
    method: str
    power_of_two: bool
    minimum_range: float


@final
@dataclass(frozen=True)
class TargetFacts:
    """The platform's rules.

    Attributes:
        weights, activations: How each of them is quantized.
        bias_bits: Width of the integers of a bias; None where it stays in float.
        takes: Which parameters it takes from outside.
        sources: Where each rule was read.
    """

    name: Named
    title: Message
    weights: RuleFacts
    activations: RuleFacts
    bias_bits: int | None
    takes: Message
    sources: list[Source]


@final
@dataclass(frozen=True)
class MemoryUse:
    """Of a run with a bound; mapped files do not count.

    Attributes:
        bound_bytes: That each process might take.
        estimate_bytes: What it was estimated to take, before the run.
        peak_bytes: Of the process that wrote this.
        worker_peak_bytes: Of the largest worker beside it; None without any.
        batch: Samples that are attributed at a time.
        exceeded: Whether the peak is above the bound.
    """

    bound_bytes: Several
    estimate_bytes: Several
    peak_bytes: Count
    worker_peak_bytes: Count | None
    batch: Several
    exceeded: bool
    text: Message


@final
@dataclass(frozen=True)
class PlanFacts:
    """The file whose quantization was diagnosed.

    Attributes:
        recognised: Its format.
        tensors: That the file has parameters of.
        matched: Tensors of the file that belong to a site.
        idle: Unmatched tensors whose values lie on their grid before the file quantizes them.
        constants_taken: Weights and biases that are not the nearest rounding of the model's.
        sqnr_db_vs_file: Of the simulated network against the file that was run; None where they
            are equal, or it was not run.
        unmatched: Tensors of the file without a site.
        problems: What of the file could not be read as it stands.
        suspicions: What of it is probably not as it was meant.
        file_was_run: Whether the quantized model ran, to be compared with the simulation.
    """

    path: Named
    sha256: Digest
    recognised: str
    tensors: Count
    matched: Count
    idle: Count
    unmatched: list[Reasoned]
    problems: list[Message]
    suspicions: list[Message]
    constants_taken: list[str]
    file_was_run: bool
    sqnr_db_vs_file: float | None


@final
@dataclass(frozen=True)
class Attempt:
    """One attempt of a recovery, as the ledger keeps it; figures are of the samples that judge.

    Attributes:
        method: Name of the recovery.
        scope: What it worked on: the stage of recoveries that it belongs to.
        predicted_gain_db: What it was expected to win, in dB of the output's SQNR.
        skipped: What it left alone, with reasons.
        gain_db: What it won, or lost.
    """

    method: str
    scope: str
    predicted_gain_db: float
    before: Baseline
    after: Baseline
    kept: bool
    seconds: Size
    note: Message
    skipped: dict[str, Message]
    gain_db: float


@final
@dataclass(frozen=True)
class SiteChange:
    """One site before and after; None where it is, or came, in float.

    Shares are of the output error before, on the same samples.
    """

    tensor: str
    role: Role
    before: Standing | None
    after: Standing | None


@final
@dataclass(frozen=True)
class Outcome:
    """What came of all attempts.

    Attributes:
        stopped: Why no more were made.
        goal_met: None without a goal.
        floors_db: SQNR that the output would have with one role in float.
        sites: What became of each.
    """

    before: Baseline
    after: Baseline
    stopped: Message
    goal_met: bool | None
    floors_db: dict[str, float | None]
    sites: list[SiteChange]
    text: Message


@final
@dataclass(frozen=True)
class ExportedFile:
    """One file of an export.

    Attributes:
        lint: What the platform would refuse, ignore or change.
    """

    format: Named
    path: Named
    sha256: Digest
    lint: list[str]


@final
@dataclass(frozen=True)
class Defect:
    """A parameter or constant of a file that is not the planned one.

    Attributes:
        tensor: Whose it is.
        node: That computes an activation, or reads a constant.
        parameter: Which; ``rounding`` are codes of a constant on the planned grid, ``values``
            those of one that is in float, ``quantizer`` is one that is missing.
        expected: Planned; where several values differ, of the first that does.
        found: In the file.
        text: The same in words.
    """

    tensor: str
    node: str
    parameter: Parameter
    expected: str
    found: str
    text: Message


@final
@dataclass(frozen=True)
class Deviation:
    """How far one activation is from the simulation.

    Attributes:
        tensor: The activation.
        node: The node that computes it, without what is fused behind it.
        codes: Largest whole difference.
        share: Part of the values that differ by at least half a code.
        own_codes: Largest own difference.
        cause: What explains it.
        text: The same in words.
    """

    tensor: str
    node: str
    codes: Size
    share: Part
    own_codes: Size
    cause: DeviationCause
    text: Message


@final
@dataclass(frozen=True)
class FloatNodes:
    """Nodes of one op type that a runtime did not run in integers."""

    op: str
    precision: str
    nodes: list[str]


@final
@dataclass(frozen=True)
class ExecutedNodes:
    """How a runtime ran the nodes.

    Attributes:
        integer: Nodes that ran in integers.
        float: The others.
    """

    integer: Count
    float: list[FloatNodes]


@final
@dataclass(frozen=True)
class KernelsReport:
    """The simulation in the runtime's own integer arithmetic, beside the runtime.

    Attributes:
        layers: That compute in integers.
        sqnr_db: None where the two are equal.
        tensors_equal: Activations without a code that differs.
        first_deviation: The first one that differs.
    """

    layers: Count
    sqnr_db: float | None
    tensors_equal: Count
    first_deviation: Deviation | None


@final
@dataclass(frozen=True)
class Verification:
    """A file on a real runtime, beside the simulation and the float network.

    Attributes:
        sha256: Of the file.
        sqnr_db_vs_simulation: Of the runtime's outputs; None where the two are equal.
        max_abs: Largest difference to the simulation.
        agreement_vs_simulation: Samples with the same answer; None without classes.
        vs_float, simulation_vs_float: Figures of the runtime, and of the simulation.
        executed: How the runtime ran the nodes.
        tensors_compared: Activations whose codes were compared.
        tensors_hidden: Activations that cannot be asked for without changing the run.
        first_deviation: The first activation that is more than one code off.
        first_own_deviation: The first layer that differs by itself.
        defects: Where the file is not the plan.
        kernels: The simulation in the runtime's own arithmetic; None where that is not known.
        tolerance_db: Least SQNR to the simulation.
        passed: Whether the outputs are within tolerance, and the file is the planned one.
    """

    backend: Named
    version: Named
    precision: str
    sha256: Digest
    samples: Several
    sqnr_db_vs_simulation: float | None
    max_abs: Size
    agreement_vs_simulation: Part | None
    vs_float: Baseline
    simulation_vs_float: Baseline
    executed: ExecutedNodes
    tensors_compared: Count
    tensors_hidden: Count
    first_deviation: Deviation | None
    first_own_deviation: Deviation | None
    defects: list[Defect]
    kernels: KernelsReport | None
    tolerance_db: float
    passed: bool
    text: Message

    def __repr__(self) -> str:
        return f"<Verification: {'passed' if self.passed else 'FAILED'}: {self.text}>"


@final
@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All that is known of one quantized network: the content of result.json.

    Attributes:
        command: The command line that gives the same.
        seconds: By stage.
        peak_memory_bytes: Of this process, since it began.
        memory: Of a run with a bound; None without one.
        verdict: What is left of the answers, what took the rest, and what curing that wins.
        baseline: The quantized network beside the float one.
        sites: Every tensor that is quantized.
        layers: The identity of each layer's error.
        network: Where the output error comes from.
        ledger: Attempts of a recovery, in order.
        exports: Files that were made of the case.
        verify: Runs on real runtimes.
        notes: What a reader must know to judge the figures.
        recovered: What came of a recovery; None of a diagnosis alone.
        plan: The file that was diagnosed; None for a target's own rules.
    """

    format: Literal["lostbits-result/2"] = "lostbits-result/2"
    lostbits_version: Named
    created: Stamp
    command: Named
    seconds: dict[str, Size]
    peak_memory_bytes: Count
    memory: MemoryUse | None = None
    verdict: Message
    model: ModelFacts
    data: DataFacts
    target: TargetFacts
    coverage: Coverage
    baseline: Baseline
    sites: list[SiteReport]
    layers: list[LayerReport]
    network: NetworkReport
    findings: list[Finding]
    ledger: list[Attempt] = field(default_factory=list)
    exports: list[ExportedFile] = field(default_factory=list)
    verify: list[Verification] = field(default_factory=list)
    notes: list[Message]
    recovered: Outcome | None = None
    plan: PlanFacts | None = None

    def __repr__(self) -> str:
        model, target = Path(self.model.path).name, self.target.name
        figures = f"SQNR {_db(self.baseline.sqnr_db)}, {self.data.samples} samples"
        return f"<Diagnosis of {model} on {target}: {figures}, {len(self.findings)} findings>"

    def _repr_html_(self) -> str:
        """The first screen, for a notebook."""
        told = [f"<p>{html.escape(str(note))}</p>" for note in self.notes]
        if self.recovered is not None:
            told.insert(0, f"<p><b>{html.escape(str(self.recovered.text))}</b></p>")
        items = "".join(_item(each) for each in self.findings[:_SHOWN])
        verdict = html.escape(str(self.verdict))
        return f"<p><b>{verdict}</b></p>{''.join(told)}<ol>{items}</ol>"


@final
@dataclass(frozen=True)
class Recovery:
    """What a recovery has won.

    Attributes:
        case: The best one.
        report: The diagnosis of the case as it came, with the ledger and what came of it.
    """

    case: Case
    report: Diagnosis

    @property
    def outcome(self) -> Outcome:
        """Figures before and after, why no more was tried, and in words."""
        assert self.report.recovered is not None
        return self.report.recovered

    @property
    def before(self) -> Baseline:
        """Figures on the samples that judge, of the case as it came."""
        return self.outcome.before

    @property
    def after(self) -> Baseline:
        """The same of the best case."""
        return self.outcome.after

    @property
    def ledger(self) -> list[Attempt]:
        """Every attempt, in order."""
        return self.report.ledger

    @property
    def goal_met(self) -> bool | None:
        """None without a goal."""
        return self.outcome.goal_met

    def __repr__(self) -> str:
        model, target = Path(self.report.model.path).name, self.report.target.name
        kept = sum(attempt.kept for attempt in self.ledger)
        moved = f"SQNR {_db(self.before.sqnr_db)} -> {_db(self.after.sqnr_db)}"
        return f"<Recovery of {model} on {target}: {moved}, {kept} of {len(self.ledger)} kept>"

    def _repr_html_(self) -> str:
        """The first screen, for a notebook."""
        return self.report._repr_html_()


def _db(value: float | None) -> str:
    return "without error" if value is None else f"{value:.1f} dB"


def _item(finding: Finding) -> str:
    text, command = html.escape(str(finding.text)), html.escape(finding.command)
    return f"<li>{text}<br><code>{command}</code></li>"
