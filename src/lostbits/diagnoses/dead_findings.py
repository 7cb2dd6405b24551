"""Findings of parts that a shared scale leaves nothing of, with remedies that were measured."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import final

from lostbits.case import Case
from lostbits.command_lines import trying
from lostbits.data import Source
from lostbits.diagnoses.scale_remedies import (
    SAMPLES,
    Trial,
    remedied,
    remedies,
    trial,
    worst_db,
)
from lostbits.graph.scale_marks import Scaling, host_lines
from lostbits.language import Figure, Message, listed, say
from lostbits.plan.dead_channels import DeadPart, dead_parts
from lostbits.results.dead_parts import DeadFigures, Tried
from lostbits.results.diagnosis import Attribution, Finding, NetworkReport
from lostbits.runtime.held_out_figures import Judge
from lostbits.runtime.metrics import Baseline
from lostbits.workers.pool import Pool
from lostbits.workers.pools import InProcess

CODE = "F010"
_MOST = 4  # parts whose remedies are measured
_WORTH = 1.0  # dB that a remedy of an inner tensor must win: else nobody misses the part
_CLOSE = 1.0  # dB that a remedy which costs less may stay behind the best
_OTHER_OUTPUTS = 6.0
_FAR = 60.0  # dB: what is won of a part with no error left


def dead_findings(
    case: Case,
    source: Source,
    network: NetworkReport,
    command: str,
    pool: Pool | None = None,
) -> list[Finding]:
    """Findings of dead parts, those at outputs first; empty, and nothing run, where there is none.

    Args:
        case: What was diagnosed.
        source: Its samples, of which the first are run.
        network: The attribution.
        command: The command that was run, to which ``--set`` is added.
        pool: Who runs the networks; default, this process.
    """
    ends = {value.name for value in case.model.graph.outputs}
    parts = sorted(dead_parts(case), key=lambda part: part.tensor not in ends)[:_MOST]
    if not parts:
        return []
    bench = _Bench(case, source.slice(0, min(SAMPLES, len(source))), pool or InProcess())
    found = (bench.measured(part) for part in parts)
    return [
        each.finding(case, network, command)
        for each in found
        if each.part.tensor in ends or each.gain_db >= _WORTH
    ]


def with_dead(network: NetworkReport, found: Sequence[Finding]) -> NetworkReport:
    """The attribution, where what is rounded away with a dead part has that as its reason."""
    sources = {source for each in found if each.dead for source in each.dead.sources}
    parts = [
        replace(a, reason="shared_scale") if _is_of(a, sources) else a for a in network.attributions
    ]
    return replace(network, attributions=parts)


def _is_of(part: Attribution, sources: Collection[str]) -> bool:
    return (
        part.tensor in sources and part.cause == "round" and part.role in ("activation", "output")
    )


@final
class _Bench:
    """What remedies are measured with."""

    def __init__(self, case: Case, source: Source, pool: Pool) -> None:
        self.case, self.source, self.pool = case, source, pool
        self.judge = Judge(case.model, source, pool=pool, compared=case.compared)
        self.before: Baseline = self.judge(case)

    def measured(self, part: DeadPart) -> "_Measured":
        """The part, with every remedy that the target has for it."""
        trials = [
            trial(self.case, part, how, self.source, self.judge, self.before, self.pool)
            for how in remedies(self.case, part)
        ]
        return _Measured(part, trials, len(self.source))


@final
@dataclass(frozen=True)
class _Measured:
    """A dead part, and what its remedies came to."""

    part: DeadPart
    trials: Sequence[Trial]
    samples: int

    @property
    def best(self) -> Trial | None:
        """What wins about as much as any, and costs least; None where nothing wins."""
        kept = [t for t in self.trials if t.gain_db >= _WORTH]
        most = max((t.gain_db - _price(t) for t in kept), default=0.0)
        return next((t for t in kept if t.gain_db - _price(t) >= most - _CLOSE), None)

    @property
    def gain_db(self) -> float:
        """What the best wins of the worst part."""
        return 0.0 if self.best is None else min(self.best.gain_db, _FAR)

    def finding(self, case: Case, network: NetworkReport, command: str) -> Finding:
        """In words and figures."""
        part, ends = self.part, {value.name for value in case.model.graph.outputs}
        shares = (a.share for a in network.attributions if _is_of(a, part.sources))
        return Finding(
            code=CODE,
            tensor=part.tensor,
            role="output" if part.tensor in ends else "activation",
            node=part.node,
            cause="round",
            reason="shared_scale",
            share=sum(shares),
            bits=part.lost_bits,
            gain_db=self.gain_db,
            remedy=self._remedy(),
            command=trying(command, self._wishes()),
            text=self._text(),
            severity="broken",
            dead=self._figures(case),
        )

    def _wishes(self) -> list[str]:
        best = self.best
        if best is None:
            return []
        # What calibration decides no wish can say: one scale per channel measures the same.
        setting = "per_channel" if best.scaling is Scaling.BEFORE else setting_of(best)
        return [f"{self.part.tensor}={setting}"]

    def _remedy(self) -> Message:
        best = self.best
        return say("remedy.none") if best is None else say(f"remedy.scale_{best.scaling}")

    def _figures(self, case: Case) -> DeadFigures:
        part, rounded, best = self.part, self.part.rounded, self.best
        lines = [] if best is None else host_lines(remedied(case, part, best.scaling))
        return DeadFigures(
            operands=list(part.operands),
            sources=list(part.sources),
            beside=part.beside,
            scale=part.scale,
            widest=part.widest,
            reach=rounded.reach,
            channels=rounded.channels,
            constant=rounded.constant,
            poor=rounded.poor,
            sqnr_db=rounded.sqnr_db,
            samples=self.samples,
            tried=[
                Tried(setting_of(t), *(None if (v := worst_db(f)) >= 200 else v for f in t.figures))
                for t in self.trials
            ],
            host=lines,
        )

    def _text(self) -> Message:
        part, rounded = self.part, self.part.rounded
        poor: Figure = say("finding.dead_poor", count=str(rounded.poor)) if rounded.poor else ""
        sqnr = rounded.sqnr_db
        common = {
            "scale": f"{part.scale:.3g}",
            "reach": f"{rounded.reach:.3g}",
            "widest": f"{part.widest:.4g}",
            "constant": str(rounded.constant),
            "channels": str(rounded.channels),
            "poor": poor,
            "sqnr": "-" if sqnr is None else f"{sqnr:.1f}",
            "measured": self._measured_text(),
        }
        if part.operands:
            operands = ", ".join(part.operands)
            return say("finding.dead", part=operands, beside=part.beside, node=part.node, **common)
        return say("finding.dead_channels", tensor=part.tensor, **common)

    def _measured_text(self) -> Message:
        if not self.trials:
            return say("finding.dead_no_remedy")
        rows = [
            say(
                "finding.dead_tried",
                remedy=say(f"remedy.scale_{t.scaling}"),
                before=f"{min(worst_db(t.before), 200.0):.1f}",
                after=f"{min(worst_db(t.after), 200.0):.1f}",
            )
            for t in self.trials
        ]
        return say("finding.dead_measured", samples=str(self.samples), rows=listed(rows))


def _price(tried: Trial) -> float:
    """Decibels that other outputs than the network had must be worth."""
    return _OTHER_OUTPUTS if tried.scaling is Scaling.SPLIT else 0.0


def setting_of(tried: Trial) -> str:
    """The remedy as ``--set`` takes it; for a divided input, the recovery's name."""
    return {Scaling.BEFORE: "input_scaling", Scaling.WIDE: "16bit"}.get(
        tried.scaling, str(tried.scaling)
    )
