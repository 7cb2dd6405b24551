"""What the verbs find, as frozen dataclasses; JSON and its schema are made from them at the edge.

Texts are messages: a code and figures, of which a reporter makes sentences in a language.
"""

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, final

from lostbits.case import Case
from lostbits.graph.site import Role
from lostbits.language import Message, say
from lostbits.results.arithmetic import ArithmeticReport
from lostbits.results.checks import Check
from lostbits.results.dead_parts import DeadFigures
from lostbits.results.dumps import DumpVerification
from lostbits.results.facts import (
    Coverage,
    DataFacts,
    ExportedFile,
    MemoryUse,
    ModelFacts,
    PlanFacts,
    TargetFacts,
)
from lostbits.results.judgement import Grade, Judgement
from lostbits.results.recovery import Attempt, Outcome
from lostbits.results.restore import Repair, RestoreCurve
from lostbits.results.samples import SampleCheck
from lostbits.results.sites import SiteReport
from lostbits.results.verification import Verification
from lostbits.runtime.figure_kinds import (
    Count,
    FindingCode,
    Named,
    Size,
    Stamp,
)
from lostbits.runtime.metrics import Baseline, Metric

FORMAT = "lostbits-result/2"
Cause = Literal["round", "clip", "accumulate"]
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
    "shared_scale",
    "samples",
    "collapse",
    "pair_overflow",
    "sum_overflow",
    "requantization",
]
Severity = Literal["broken", "usual"]

_SHOWN = 5  # findings on the first screen
# Part of the total that an attribution may miss and still be told as shares; and what shares that
# are above zero may add up to before it is said that errors cancel.
_OPEN, _CANCELLING = 0.10, 1.5


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
        parts: The split of an entry for errors that are made to cancel, a weight and the
            correction in its bias; empty for all others.
    """

    tensor: str
    role: Role
    cause: Cause
    value: float
    share: float
    reason: Reason | None = None
    parts: "list[Attribution]" = field(default_factory=list)

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
        attributions: One for each site and cause; a weight and the correction in its bias are one.
        channels: Per site key, values per channel (the largest sites only).
        note: Why this method was taken, and what it was based on.
        of: Output or part whose error this is; None: that of all outputs.
    """

    method: Attributor
    metric: Metric
    total: float
    residual: float
    evaluations: Size
    attributions: list[Attribution]
    channels: dict[str, list[float]]
    note: Message
    of: str | None = None

    @property
    def split(self) -> list[Attribution]:
        """One for each site and cause, corrections by themselves, largest first."""
        found = [part for entry in self.attributions for part in entry.parts or [entry]]
        return sorted(found, key=lambda part: -abs(part.value))

    @property
    def open(self) -> bool:
        """Whether it misses so much of the total that its parts must not be told as shares."""
        return abs(self.residual) > _OPEN

    @property
    def cancelling(self) -> bool:
        """Whether errors cancel so much that parts of them add up to far more than the whole."""
        shares = [a.share for a in self.attributions]
        return sum(s for s in shares if s > 0) > _CANCELLING or max(shares, default=0.0) > 1

    @property
    def values(self) -> dict[str, float]:
        """What every site carries, all causes together, by site key; without a share, no entry."""
        sums: dict[str, float] = {}
        for a in self.attributions:
            sums[a.key] = sums.get(a.key, 0.0) + a.value
        return sums


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
        severity: ``broken`` where a part of the network says nothing any more; such come first.
        dead: Figures of that part; None of other findings.
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
    severity: Severity = "usual"
    dead: DeadFigures | None = None


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
        dumps: What devices have put out, beside the simulation.
        notes: What a reader must know to judge the figures.
        recovered: What came of a recovery; None of a diagnosis alone.
        plan: The file that was diagnosed; None for a target's own rules.
        checks: The goals, in the order in which they were given.
        judgement: Good, degraded or broken, and why; None in a result of an older version.
        evaluation: Samples that judged a recovery, of which baseline and verdict are; None where
            they are of ``data``.
        samples: What the samples say of themselves; None where that was not looked at.
        repair: Sites of a broken network that are in float in ``network``, and come first among
            the findings; None where it stands as it came.
        restore: What setting sites to float restores; None where it was not measured.
        judgement_after: Of the recovered case on the same samples.
        arithmetic: How the kernels computed; None where sums are ideal.
        next_commands: What to run next, in order: commands, or calls where samples have no path.
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
    dumps: list[DumpVerification] = field(default_factory=list)
    notes: list[Message]
    recovered: Outcome | None = None
    plan: PlanFacts | None = None
    checks: list[Check] = field(default_factory=list)
    judgement: Judgement | None = None
    evaluation: DataFacts | None = None
    judgement_after: Judgement | None = None
    samples: SampleCheck | None = None
    repair: Repair | None = None
    restore: RestoreCurve | None = None
    arithmetic: ArithmeticReport | None = None
    next_commands: list[str] = field(default_factory=list)

    @property
    def judged_on(self) -> DataFacts:
        """The samples that baseline and verdict are of."""
        return self.data if self.evaluation is None else self.evaluation

    @property
    def treatable(self) -> bool:
        """Whether a recovery is what to run next: not of what is healthy, or wrongly calibrated."""
        return bool(self.findings) and not self.healthy and self.findings[0].reason != "samples"

    @property
    def healthy(self) -> bool:
        """Whether nothing is to be done."""
        return self.judgement is not None and self.judgement.grade is Grade.GOOD

    def __repr__(self) -> str:
        model, target = Path(self.model.path).name, self.target.name
        figures = f"SQNR {_db(self.baseline.sqnr_db)}, {self.data.samples} samples"
        return f"<Diagnosis of {model} on {target}: {figures}, {len(self.findings)} findings>"

    def _repr_html_(self) -> str:
        """The first screen, for a notebook."""
        told = [f"<p>{html.escape(str(note))}</p>" for note in self.notes]
        if self.recovered is not None:
            told.insert(0, f"<p><b>{html.escape(str(self.recovered.text))}</b></p>")
        shown = [] if self.healthy else self.findings[:_SHOWN]
        items = "".join(_item(each) for each in shown)
        verdict, grade = html.escape(str(self.verdict)), _graded(self.judgement)
        return f"<p><b>{grade}{verdict}</b></p>{''.join(told)}<ol>{items}</ol>"


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


def _graded(judgement: Judgement | None) -> str:
    """The word in its colour."""
    if judgement is None or judgement.grade is None:
        return ""
    color = {"good": "#00795d", "degraded": "#9a6700", "broken": "#a3122b"}[judgement.grade]
    word = html.escape(str(say(f"grade.{judgement.grade}")))
    return f'<span style="color:{color}">{word}</span> '


def _item(finding: Finding) -> str:
    text, command = html.escape(str(finding.text)), html.escape(finding.command)
    return f"<li>{text}<br><code>{command}</code></li>"
