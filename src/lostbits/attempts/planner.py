"""From a diagnosis to an ordered list of attempts; each is judged on samples it has not seen."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import final

from lostbits.attempts.forecasts import Forecast, Forecasts, promise
from lostbits.attempts.knapsack import Option, best, timely
from lostbits.attempts.ledger import Entry, decibels_of, failed
from lostbits.attempts.pace import Pace, attempt_cost
from lostbits.attempts.parallel_proposals import beside, proposals
from lostbits.attempts.tools import Tools
from lostbits.case import Case
from lostbits.data import Source
from lostbits.diagnoses.scale_remedies import worst_db
from lostbits.language import Message, say
from lostbits.recovery import (
    FORMS,
    STAGES,
    Change,
    Context,
    Diagnosed,
    Effort,
    Proposal,
    Recovery,
    Rewriting,
    Stage,
    Sweeping,
)
from lostbits.runtime.judged import Judged, better
from lostbits.runtime.metrics import Baseline
from lostbits.runtime.noise_gains import KnownGains
from lostbits.system.deadline import Deadline
from lostbits.workers.progress import ATTEMPT, Progress

LEAST = 0.05  # dB: less than this is not worth another step
_LARGE = 3.0  # dB: after such a gain the errors lie elsewhere, and are attributed anew
_CLOSING = 0.4  # part of the time, at most, that is kept for what comes after the attempts
_UNKNOWN = 6.0  # dB: a bit's worth, where the goal is not in decibels


@final
@dataclass
class Planner:
    """One recovery in progress.

    Attributes:
        case: The best so far.
        diagnosed: Where its error comes from.
        source: Samples to work on.
        recoveries: What may be tried.
        deadline: ``time.monotonic()`` at which attempts end; one that would end later by its cost
            starts only where none would end before, and stops at the border of a layer.
        effort: How hard each may try, and the goal at which to stop.
        tools: See Tools.
        pass_seconds: How long the float network takes over the samples to work on.
        look_seconds: How long an attribution takes.
        stage: Of the last attempt that was kept.
        moved: Whether an attempt has won so much that the errors lie elsewhere by now.
        considered: For the present case, by recoveries that need nothing else and should help.
        proposed: For the present case, by recoveries that were asked beside another one.
        pace: What ``pass_seconds`` and the attempts so far tell of the time that one will take.
        first: The case as it came, with its figures in ``before``.
        base: It in the form of the network that the best so far has: what ``steps`` start from.
        steps: Changes that were kept since, by name.
        judged: Figures of the best so far.
        known: Noise gains of the form of the network that was asked for last.
        attempted: Told after every attempt, with the seconds of all that may still help; may put
            another case in the place of the best.
        closing: Seconds to leave for what follows the attempts, from those that judging one takes.
        calibrating: Seconds that another form of the network takes to be calibrated.
        judging: Seconds that judging a case takes.
    """

    case: Case
    diagnosed: Diagnosed
    source: Source
    recoveries: Sequence[Recovery]
    deadline: float
    effort: Effort
    tools: Tools
    pass_seconds: float = 0.0
    look_seconds: float = 0.0
    ledger: list[Entry] = field(default_factory=list)
    stage: Stage = STAGES[0]
    moved: bool = False
    steps: list[tuple[str, Change]] = field(default_factory=list)
    stopped: Message = field(default_factory=lambda: say("recovered.time"))
    attempted: Callable[[Recovery, float], None] = lambda recovery, awaited: None
    considered: dict[str, Proposal] = field(default_factory=dict)
    proposed: dict[str, Change] = field(default_factory=dict)
    closing: Callable[[float], float] = lambda judging: 0.0
    calibrating: float = 0.0
    judging: float = 0.0

    def __post_init__(self) -> None:
        self.pace = Pace.of_pass(self.case, self.pass_seconds)
        self.first = self.base = self.case
        self.first_diagnosed = self.diagnosed
        self.known = KnownGains(self.source, self.effort.pool, self.effort.seed)

    @property
    def begun(self) -> bool:
        """Whether the case as it came was judged, so that there is something to tell."""
        return hasattr(self, "before")

    @property
    def now(self) -> Baseline:
        """Figures of the best so far."""
        return self.judged.baseline

    def run(self, progress: Progress) -> None:
        """Attempt until the goal is met, the time is up, or nothing is left to try."""
        start = time.perf_counter()
        self.judged = self.tools.judge(self.case)
        self.judging = time.perf_counter() - start
        left = max(self.deadline - time.monotonic(), 0.0)
        self.deadline -= min(self.closing(self.judging), _CLOSING * left)
        self.before = self.judged.baseline
        self.tools.save(self.case, self.ledger)
        waiting, case = list(self.recoveries), None
        predicted: Forecasts = {}
        while True:
            if case is not self.case:  # a dropped attempt leaves all predictions as they were
                self._look_again(predicted, waiting)
                case, predicted = self.case, self._predicted(waiting)
            chosen = None if self._met() else self._next(predicted, waiting)
            if chosen is None:
                self.stopped = self._reason_to_stop(predicted, waiting)
                return
            waiting.remove(chosen)
            self._attempt(chosen, predicted, waiting, progress)
            self.attempted(chosen, self._awaited(predicted, waiting))

    def _look_again(self, predicted: Forecasts, waiting: Sequence[Recovery]) -> None:
        """Attribute the error anew after a large change, where that leaves time for the best."""
        if not self.moved:
            return
        whole, rest = (self._best(predicted, waiting, spent) for spent in (0.0, self.look_seconds))
        if rest and promise(rest, predicted) >= promise(whole, predicted):
            self.diagnosed, self.moved = self.tools.diagnose(self.case), False

    def _predicted(self, waiting: Sequence[Recovery]) -> Forecasts:
        """Of all whose stage has not passed; what is solved for those that help is kept."""
        self.considered.clear()
        diagnosed = replace(self.diagnosed, missing_db=self.missing_db)
        found = {r.name: self._forecast(r, diagnosed) for r in waiting if self._in_time(r)}
        for name in [n for n in self.considered if found[n].gain < LEAST]:
            del self.considered[name]
        return found

    def _forecast(self, recovery: Recovery, diagnosed: Diagnosed) -> Forecast:
        if isinstance(recovery, Rewriting):
            proposal = self.considered[recovery.name] = recovery.consider(self.case)
            gain = proposal.gain(diagnosed)
        else:
            assert isinstance(recovery, Sweeping)
            gain = recovery.gain(diagnosed)
        return Forecast(gain, attempt_cost(recovery, self.case))

    @property
    def missing_db(self) -> float | None:
        """Decibels to the goal; a goal in another unit may need any number of them."""
        goal = self.effort.goal
        if goal is None:
            return None
        return goal.bound - decibels_of(self.now) if goal.name == "sqnr_db" else _UNKNOWN

    def _met(self) -> bool:
        return self.effort.goal is not None and self.effort.goal.met(self.now)

    def _reason_to_stop(self, predicted: Forecasts, waiting: Sequence[Recovery]) -> Message:
        """Why nothing more is attempted."""
        if self._met():
            return say("recovered.goal_met", goal=str(self.effort.goal))
        if time.monotonic() >= self.deadline:
            return say("recovered.time")
        if hopeful := self._hopeful(predicted, waiting):
            seconds = {r.name: self.pace.needed(predicted[r.name].cost) for r in hopeful}
            needs = (f"{name} about {time:.0f} s" for name, time in seconds.items())
            return say("recovered.no_fit", needs=", ".join(needs))
        # What revives dead parts is no news to a network without any.
        names = ", ".join(r.name for r in waiting if r.stage != "scales")
        listed = say("recovered.names", names=names) if names else ""
        return say("recovered.nothing", names=listed)

    def reason_to_stop(self) -> Message:
        """Why it ended, by what is known at the end."""
        return (
            say("recovered.goal_met", goal=str(self.effort.goal)) if self._met() else self.stopped
        )

    def _hopeful(self, predicted: Forecasts, waiting: Sequence[Recovery]) -> list[Recovery]:
        """Those that are predicted to help."""
        return [r for r in waiting if self._in_time(r) and predicted[r.name].gain >= LEAST]

    def _awaited(self, predicted: Forecasts, waiting: Sequence[Recovery]) -> float:
        hopeful = self._hopeful(predicted, waiting)
        return sum(self._option(r, predicted[r.name]).cost for r in hopeful)

    def _in_time(self, recovery: Recovery) -> bool:
        """Another form of the network would undo what ranges, weights or bits have won."""
        return recovery.stage not in FORMS or self.stage in FORMS

    def _best(
        self, predicted: Forecasts, waiting: Sequence[Recovery], spent: float = 0.0
    ) -> tuple[Recovery, ...]:
        """Those that promise most together in the time that is left, or nobody.

        Args:
            predicted: Of all that may come.
            waiting: Those that may.
            spent: Seconds that something else takes before.
        """
        hopeful = self._hopeful(predicted, waiting)
        offered = [self._option(r, predicted[r.name]) for r in hopeful]
        room = self.deadline - time.monotonic() - spent
        kept = timely(offered, room, self.judging)
        possible, options = [hopeful[i] for i in kept], [offered[i] for i in kept]
        fitting = best(options, room)
        if not fitting and not spent:
            fitting = self._cheapest(possible, options, room)
        return tuple(possible[i] for i in fitting)

    def _cheapest(
        self, possible: Sequence[Recovery], options: Sequence[Option], room: float
    ) -> tuple[int, ...]:
        """The one that takes least, though it may not end in time: what it does by then counts.

        What is said of its time is said in advance, and too much for small networks.
        """
        least = {True: self.judging + self.calibrating, False: self.judging}
        begun = [i for i, r in enumerate(possible) if room > least[r.stage in FORMS]]
        return tuple(sorted(begun, key=lambda i: (options[i].cost, i))[:1])

    def _option(self, recovery: Recovery, forecast: Forecast) -> Option:
        """What was proposed beside another one costs no time any more."""
        known = recovery.name in self.proposed
        part = recovery.least_part if isinstance(recovery, Sweeping) else 1.0
        seconds = 0.0 if known else part * self.pace.needed(forecast.cost)
        return Option(recovery.stage, forecast.gain, seconds)

    def _next(self, predicted: Forecasts, waiting: Sequence[Recovery]) -> Recovery | None:
        """Of the best, the earliest stage first; within it, by ``Forecast.worth``."""
        chosen = self._best(predicted, waiting)
        if not chosen:
            return None
        first = min(STAGES.index(r.stage) for r in chosen)
        now = [r for r in chosen if STAGES.index(r.stage) == first]
        return max(now, key=lambda r: predicted[r.name].worth(r.stage))

    def _reserved(
        self, chosen: Recovery, predicted: Forecasts, waiting: Sequence[Recovery]
    ) -> float:
        """Seconds for those of the best that come later and promise more.

        What takes longer than was said of it may not take the time of what it came before.
        """
        gain = predicted[chosen.name].gain
        best = self._best(predicted, [chosen, *waiting])
        more = [r for r in best if r is not chosen and predicted[r.name].gain > gain]
        return sum(self.pace.needed(predicted[r.name].cost) for r in more)

    def context(
        self,
        diagnosed: Diagnosed,
        progress: Progress,
        stage: Stage = STAGES[-1],
        spent: float = 0.0,
    ) -> Context:
        """What a sweep may work with.

        Args:
            diagnosed: Where the error comes from.
            progress: Told how far the work is.
            stage: Of the sweep; another form of the network is calibrated when it is done.
            spent: Seconds to leave besides.
        """
        after = spent + self.judging + (self.calibrating if stage in FORMS else 0.0)
        until = Deadline(self.deadline).sooner(after)
        effort = replace(self.effort, deadline=until)
        return Context(self.source, diagnosed, effort, progress, self.tools.judges, self.known)

    def _proposal(
        self,
        chosen: Recovery,
        predicted: Forecasts,
        waiting: Sequence[Recovery],
        progress: Progress,
    ) -> Change:
        """What it changes of the present case; others may have been asked beside it."""
        if isinstance(chosen, Rewriting):
            return self.considered.pop(chosen.name).change()
        if chosen.name not in self.proposed:
            asked = self._asked(chosen, predicted, waiting)
            spent = self._reserved(chosen, predicted, waiting)
            context = self.context(self.diagnosed, progress, chosen.stage, spent)
            self.proposed |= proposals(asked, self.case, context)
        return self.proposed.pop(chosen.name)

    def _asked(
        self, chosen: Recovery, predicted: Forecasts, waiting: Sequence[Recovery]
    ) -> list[Sweeping]:
        """The one that is chosen, and what is likely to come after it, as far as workers go."""
        assert isinstance(chosen, Sweeping)
        asked = [chosen]
        rest: list[Recovery] = [r for r in waiting if beside(r, self.effort)]
        while beside(chosen, self.effort) and len(asked) < self.effort.pool.workers:
            more = self._next(predicted, rest)
            if not isinstance(more, Sweeping):
                break
            rest.remove(more)
            asked.append(more)
        return asked

    def _attempt(
        self,
        recovery: Recovery,
        predicted: Forecasts,
        waiting: Sequence[Recovery],
        progress: Progress,
    ) -> None:
        start, by_itself = time.perf_counter(), not self.proposed
        number = len(self.ledger) + 1
        more = len(self._hopeful(predicted, waiting))
        progress(f"{ATTEMPT}{recovery.name}", number, number + more)
        try:
            change = self._proposal(recovery, predicted, waiting, progress)
            case, change, after = self._measured(recovery, change)
        except Exception as error:  # what is no fault of this attempt alone is raised again
            case, change, after = self.case, failed(recovery, error), self.judged
        kept = case is not self.case and (self._revives(recovery, after) or self.prefers(after))
        seconds = time.perf_counter() - start
        forecast = predicted[recovery.name]
        if by_itself and not self.proposed and after is not self.judged:
            self.pace.learn(forecast.cost, seconds)
        entry = Entry(
            recovery.name,
            "network",
            forecast.gain if change.predicted_gain_db is None else change.predicted_gain_db,
            self.now,
            after.baseline,
            kept,
            seconds,
            change.summary,
            change.skipped,
        )
        self.ledger.append(entry)
        if kept:
            self.case, self.judged, self.stage = case, after, recovery.stage
            self._remember(recovery.name, change)
            self.proposed.clear()
            self.moved = self.moved or entry.gain_db >= _LARGE
        self.tools.save(self.case, self.ledger)

    def prefers(self, after: Judged) -> bool:
        """Whether it is better than the best so far: what meets the goal is, else what counts."""
        if self.effort.goal is not None:
            met = self.effort.goal.met(after.baseline)
            if met != self._met():
                return met
        return better(self.judged, after, LEAST)

    def _revives(self, recovery: Recovery, after: Judged) -> bool:
        """Whether a part that was dead wins, and the whole does not lose.

        Nothing of a dead part comes through by chance, so that no test has to tell it from noise.
        """
        if recovery.stage != "scales" or self.now.metric is not None:
            return False
        found = after.baseline
        won = decibels_of(found) - decibels_of(self.now)
        return worst_db(found) - worst_db(self.now) >= LEAST and won > -LEAST

    def _remember(self, name: str, change: Change) -> None:
        """Another form of the network makes what was chosen for the old one void."""
        if change.model is not None:
            self.base, self.steps = self.case, []
        else:
            self.steps.append((name, change))

    def _measured(self, recovery: Recovery, change: Change) -> tuple[Case, Change, Judged]:
        """The case with the change, what was changed, and how it does."""
        if change.empty:
            return self.case, change, self.judged
        case, change = self.tools.changed(self.case, recovery, change)
        return case, change, self.judged if case is self.case else self.tools.judge(case)
