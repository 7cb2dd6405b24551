"""What a planner works with: who judges, diagnoses, calibrates, and applies a change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import onnx_ir as ir

from lostbits.attempts.ledger import Entry
from lostbits.case import Case
from lostbits.errors import RecoveryError
from lostbits.graph.halves import half_quantized
from lostbits.language import say
from lostbits.recovery import Change, Diagnosed, Recovery, applied
from lostbits.runtime.held_out_figures import Judges
from lostbits.runtime.judged import Judged

_SAME_FUNCTION = 1e-3  # relative error that a change of form may leave in the float outputs


@final
@dataclass(frozen=True)
class Tools:
    """What the planner works with; each is a function, so that a test can put another in place.

    Attributes:
        judge: Figures of a case on held-out samples, with what tells a gain from noise.
        diagnose: Where the error of a case comes from.
        recalibrate: The case of another form of the float network.
        distance: Relative change of the float outputs under another form.
        save: Told of every case that is the best so far.
        judges: By which trials of a recovery are judged; None: by the samples to work on.
    """

    judge: Callable[[Case], Judged]
    diagnose: Callable[[Case], Diagnosed]
    recalibrate: Callable[[Case, ir.Model], Case]
    distance: Callable[[ir.Model], float]
    save: Callable[[Case, Sequence[Entry]], None]
    judges: Judges | None = None

    def changed(self, case: Case, recovery: Recovery, change: Change) -> tuple[Case, Change]:
        """The case with the change, or as it was where the platform cannot take it."""
        if change.model is not None:
            return self._in_another_form(case, recovery, change.model), change
        new = applied(case, change)
        halves = half_quantized(new.model, new.sites) if new.target.together else {}
        more = halves.keys() - half_quantized(case.model, case.sites).keys()
        if not more:
            return new, change
        refused = say("ledger.refused", target=case.target.name, layers=", ".join(sorted(more)))
        return case, Change(recovery.name, refused, skipped=change.skipped)

    def _in_another_form(self, case: Case, recovery: Recovery, model: ir.Model) -> Case:
        distance = self.distance(model)
        if recovery.keeps_function and not distance < _SAME_FUNCTION:
            where, found = f"recovery {recovery.name!r}", f"its outputs moved by {distance:.1e}"
            raise RecoveryError("R003", where, found, name=recovery.name)
        return self.recalibrate(case, model)
