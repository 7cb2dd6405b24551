"""Whether the samples that set ranges look like the samples that are measured.

Inputs first: where they are of another kind, every inner tensor is, and remedies for single tensors
would cure nothing. Where the inputs are alike and the tensors behind are not (noise in place of
photographs), these tell.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir

from lostbits import quoting
from lostbits.case import Case
from lostbits.data import Source, near_duplicates
from lostbits.diagnoses.batch_norm_fit import statistics_fit
from lostbits.graph.queries import name_of
from lostbits.language import Message, say
from lostbits.results.diagnosis import Finding, NetworkReport
from lostbits.results.samples import Compared, Growth, SampleCheck, StatisticsFit
from lostbits.runtime.sample_reach import Reach, sample_reach
from lostbits.workers.pool import Pool

_SHOWN = 20
_LEAST_HALVED = 4
_FEW = 8  # samples below which no figure of theirs says much of others
# Two draws from one set of photographs differ by a tenth in RMS, and by some hundredths of a
# percent of values outside; a wrong scale by a factor of 50 to 255, a wrong centre by half of all.
_INPUT_RATIO, _OUTSIDE, _SHIFT = 3.0, 0.05, 1.5
_STRANGE = 2.0  # nats: training data were nothing like these samples
_TENSOR_RATIO = 1.7  # noise against photographs: 2.3, two halves of photographs: 1.2

MOVED = 0.05  # median growth of the ranges by the second half of the samples that is worth a line

Reaches = Mapping[str, Reach]


def sample_check(
    case: Case, plain: ir.Model, data: Source, calibration: Source | None, pool: Pool
) -> SampleCheck:
    """What the samples say of themselves.

    Args:
        case: Its float network runs over both sets once.
        plain: The network before BatchNormalizations were folded.
        data: What is measured.
        calibration: What has set the ranges; None: the data have.
        pool: Who works.
    """
    inputs = [name_of(v) for v in case.model.graph.inputs if _numeric(v)]
    inner = [s.tensor for s in case.sites if s.streams and s.tensor not in inputs]
    tensors = list(dict.fromkeys([*inputs, *inner]))
    taught = sample_reach(case.model, tensors, calibration or data, pool)
    seen = taught
    if calibration is not None:
        limits = {name: reach.span for name, reach in taught.items() if reach.size}
        seen = sample_reach(case.model, tensors, data, pool, limits)
    told, behind = _pairs(inputs, seen, taught), _pairs(inner, seen, taught)
    apart, teaching = calibration is not None, calibration or data
    return SampleCheck(
        inputs=told if apart else [],
        tensors=sorted(behind, key=_unlike, reverse=True)[:_SHOWN] if apart else [],
        beyond=sum(each.outside > 0 for each in behind),
        compared=len(behind) if apart else 0,
        mismatch=_mismatch(told, behind) if apart else "none",
        growth=_growth(inner or inputs, taught, len(teaching)),
        constant=_constant(inputs, seen, len(data)),
        statistics=statistics_fit(plain, data),
        samples=len(teaching),
        different=_different(teaching),
    )


def _numeric(value: ir.Value) -> bool:
    """Numbers that mean a size: indices of tokens do not."""
    kinds = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)
    return value.dtype in (*kinds, ir.DataType.UINT8, ir.DataType.INT8)


def _pairs(names: Sequence[str], seen: Reaches, taught: Reaches) -> list[Compared]:
    return [_pair(n, seen[n], taught[n]) for n in names if seen[n].size and taught[n].size]


def _pair(name: str, seen: Reach, taught: Reach) -> Compared:
    side: Literal["below", "above", "both", "none"] = "none"
    if seen.outside:
        side = "both" if seen.below and seen.above else "below" if seen.below else "above"
    spread = max(taught.square / taught.size - taught.mean**2, 0.0) ** 0.5
    tiny = float(np.finfo(np.float32).tiny)
    return Compared(
        tensor=name,
        data=[*seen.span],
        calibration=[*taught.span],
        outside=seen.outside,
        side=side,
        ratio=1.0 if seen.rms == taught.rms else seen.rms / max(taught.rms, tiny),
        shift=abs(seen.mean - taught.mean) / max(spread, tiny) if seen.rms != taught.rms else 0.0,
    )


def _unlike(each: Compared) -> float:
    """How far apart two sets are in one tensor, in doublings of the size."""
    return abs(float(np.log2(max(each.ratio, 1e-30)))) + each.outside


def unlike_input(each: Compared) -> bool:
    """Whether an input is of another kind on the data: another scale, or another centre."""
    far = not 1 / _INPUT_RATIO < each.ratio < _INPUT_RATIO
    return far or each.outside > _OUTSIDE or each.shift > _SHIFT


def _mismatch(
    inputs: Sequence[Compared], inner: Sequence[Compared]
) -> Literal["inputs", "tensors", "none"]:
    if any(map(unlike_input, inputs)):
        return "inputs"
    if not inner:
        return "none"
    doublings = float(np.median([abs(np.log2(max(each.ratio, 1e-30))) for each in inner]))
    beyond = float(np.median([each.outside for each in inner]))
    return "tensors" if doublings > np.log2(_TENSOR_RATIO) or beyond > _OUTSIDE else "none"


def _growth(names: Sequence[str], taught: Reaches, samples: int) -> Growth | None:
    if samples < _LEAST_HALVED or not names:
        return None
    rows = {name: taught[name].growth for name in names}
    most = max(rows, key=lambda name: rows[name])
    return Growth(float(np.median([*rows.values()])), rows[most], most, samples)


def _different(source: Source) -> int | None:
    groups = near_duplicates(source)
    return None if groups is None else len(np.unique(groups))


def _constant(inputs: Sequence[str], seen: Reaches, samples: int) -> dict[str, int]:
    """An input that never varies within a sample is a mask, unless it is the only one."""
    counts = {name: len(seen[name].constant) for name in inputs}
    alone = len(inputs) == 1
    return {name: n for name, n in counts.items() if n and (n < samples or alone)}


def sample_notes(check: SampleCheck) -> list[Message]:
    """What of it a reader must know, beside a mismatch, which is a finding."""
    notes = [
        say("samples.constant", input=name, count=str(count))
        for name, count in check.constant.items()
    ]
    notes += _of_variety(check)
    grown = check.growth
    if grown is not None and grown.median >= MOVED:
        told = {"median": f"{grown.median:.0%}", "most": f"{grown.most:.0%}"}
        notes.append(say("samples.growth", tensor=grown.tensor, samples=str(grown.samples), **told))
    if check.mismatch == "none" and check.beyond:
        first = max(check.tensors, key=lambda each: each.outside)
        counts = {"count": str(check.beyond), "all": str(check.compared)}
        share = f"{first.outside:.2%}"
        notes.append(say("samples.beyond", tensor=first.tensor, share=share, **counts))
    return notes + _of_training(check.statistics)


def _of_variety(check: SampleCheck) -> list[Message]:
    """Ranges of one picture, however often it is given, are those of one picture."""
    if not check.samples or check.different is None:
        return []
    told = {"samples": str(check.samples), "different": str(check.different)}
    if check.different * 2 <= check.samples:
        return [say("samples.alike", **told)]
    return [say("samples.few", **told)] if check.samples < _FEW else []


def _of_training(fit: StatisticsFit | None) -> list[Message]:
    if fit is None or not (fit.better or fit.distance > _STRANGE):
        return []
    distance = f"{fit.distance:.2g}"
    if not fit.better:
        return [say("samples.training", distance=distance)]
    told = {"distance": distance, "better": f"{fit.better_distance:.2g}"}
    return [say("samples.training_better", how=say(f"prepared.{fit.better}"), **told)]


def mismatch_finding(check: SampleCheck, network: NetworkReport, command: str) -> Finding | None:
    """The finding before all others where ranges were set by samples of another kind."""
    if check.mismatch == "none":
        return None
    unlike = [each for each in check.inputs if unlike_input(each)] or check.tensors
    first = max(unlike, key=_unlike)
    clipped = sum(a.share for a in network.attributions if a.cause == "clip")
    data, calibration = (_span(span) for span in (first.data, first.calibration))
    told = {"tensor": first.tensor, "data": data, "calibration": calibration}
    return Finding(
        code="F012",
        tensor=first.tensor,
        role="activation",
        node="",
        cause="clip" if first.outside else "round",
        reason="samples",
        share=min(max(clipped, 0.0), 1.0),
        bits=0.0,
        gain_db=0.0,
        remedy=say("remedy.samples"),
        command=_without_calibration(command),
        text=say(f"finding.samples_{check.mismatch}", ratio=f"{first.ratio:.2g}", **told),
    )


def _span(span: Sequence[float]) -> str:
    return f"{span[0]:.3g}..{span[1]:.3g}"


def _without_calibration(command: str) -> str:
    """The command whose ranges the data themselves set: it measures what was lost by this."""
    try:
        words = quoting.words(command)
    except ValueError:
        return command
    if "--calibration" not in words:
        return command
    place = words.index("--calibration")
    return quoting.command([*words[:place], *words[place + 2 :]])
