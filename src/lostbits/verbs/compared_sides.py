"""The two sides of a comparison: what each can tell, and how it is measured."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np

from lostbits.case import Case
from lostbits.diagnoses.side_figures import side_of_diagnosis
from lostbits.errors import TargetError
from lostbits.foreign.file import read_foreign
from lostbits.grid import Affine, Grid
from lostbits.results.comparison import SideFigures
from lostbits.results.diagnosis import Diagnosis, Recovery
from lostbits.results.sites import SiteReport
from lostbits.verbs.baseline_file import is_baseline, read_baseline
from lostbits.verbs.case_files import FLOAT, PLAN, holds_case
from lostbits.verbs.load import load
from lostbits.verbs.origin import Provenance, origin_of, samples_of
from lostbits.verbs.result_files import read
from lostbits.workers.progress import silent

Side = Case | Recovery | Diagnosis | SideFigures | str | Path
Given = Case | Diagnosis | SideFigures | Path
_RESULT = "result.json"


def given(side: Side) -> Given:
    """What a side is: a case, a result, a baseline, a folder with a case, or a file of parameters.

    Raises:
        OutputError: O002, O011 for a result or a baseline that cannot be read.
    """
    match side:
        case Recovery():
            return side.case
        case str() | Path():
            return _opened(Path(side))
    return side


def _opened(path: Path) -> Given:
    if os.path.isdir(path):
        return path if holds_case(path) else read(path)
    if path.name == PLAN and (path.parent / FLOAT).is_file():
        return path.parent
    if path.name == _RESULT:
        return read(path.parent)
    return read_baseline(path) if is_baseline(path) else path


def name_of(side: Given) -> str:
    """What texts call it."""
    match side:
        case Case():
            return "case" if side.origin is None else side.origin.name
        case Diagnosis():
            return side.model.path
        case SideFigures():
            return side.name
    return str(side)


def parameters(side: Given) -> Mapping[str, Affine] | None:
    """Parameters by tensor; None of a baseline, which keeps figures."""
    match side:
        case Case():
            return {key.rpartition(":")[0]: affine for key, affine in side.plan.items()}
        case Diagnosis():
            return {site.tensor: affine_of(site) for site in side.sites}
        case SideFigures():
            return None
    path = side / PLAN if os.path.isdir(side) else side
    return {e.tensor: e.affine for e in read_foreign(path).parameters.entries}


def affine_of(site: SiteReport) -> Affine:
    """The parameters that a result has of a site."""
    scale, zero = np.array(site.scale, np.float32), np.array(site.zero_point, np.int64)
    if site.axis is None:
        scale, zero = scale[0], zero[0]
    return Affine(Grid.named(site.grid), scale, zero, site.axis)


def told(side: Given) -> SideFigures | None:
    """Figures that are there without a run."""
    match side:
        case Diagnosis():
            return side_of_diagnosis(side)
        case SideFigures():
            return side
    return None


@final
@dataclass(frozen=True)
class Opener:
    """Makes a case with data of either side.

    Attributes:
        data: Samples that both are measured on.
        model: The float network, for files that hold parameters alone.
        target: Whose rules; default, those of the side, or what fits it best.
        options: Of ``load``.
    """

    data: object
    model: Any
    target: Any
    options: Mapping[str, Any]

    def case(self, side: Given, other: Given) -> Case:
        """The case of one side, over the data.

        Raises:
            TargetError: T032 for a file without a float network, T034 for a result that cannot be
                measured again.
        """
        match side:
            case Case():
                return self._again(side)
            case Diagnosis():
                return self._of_result(side, other)
            case Path() if os.path.isdir(side):
                return load(side, self.data, self.target, **self._of_folder)
            case Path():
                model = self._model(side, other)
                target = self.target or _target_of(other)
                return load(model, self.data, target, plan=side, **self.options)
        raise TargetError("T034", name_of(side), "a baseline")  # whose figures are taken instead

    @property
    def _of_folder(self) -> dict[str, Any]:
        return {k: v for k, v in self.options.items() if k != "overrides"}

    def _again(self, case: Case) -> Case:
        """The same plan and constants, with statistics of these samples."""
        origin = origin_of(case)
        named = ("samples", "preprocess")
        count, preprocess = (self.options.get(name) for name in named)
        judged = samples_of(self.data, origin.reference, count, preprocess)
        return _kept(origin, case, judged)

    def _of_result(self, found: Diagnosis, other: Given) -> Case:
        taken = found.plan is not None and found.plan.constants_taken
        if taken:
            where = f"the result of {found.model.path}"
            raise TargetError("T034", where, f"constants of its own, such as {taken[0]!r}")
        model = self._model(Path(found.model.path), other, found.model.path)
        case = load(model, self.data, self.target or found.target.name, **self.options)
        plan = {site.key: affine_of(site) for site in found.sites}
        return replace(case, plan={k: plan[k] for k in plan if k in {s.key for s in _sites(case)}})

    def _model(self, side: Path, other: Given, path: str = "") -> Any:
        """The float network that a file of parameters belongs to."""
        if self.model is not None:
            return self.model
        if path and os.path.isfile(path):
            return path
        match other:
            case Case() if other.origin is not None:
                return origin_of(other).reference.model.clone()
            case Diagnosis() if os.path.isfile(other.model.path):
                return other.model.path
            case Path() if os.path.isdir(other):
                return other / FLOAT
        raise TargetError("T032", str(side), "parameters alone")


def _sites(case: Case) -> Any:
    return case.placed.sites


def _target_of(other: Given) -> Any:
    match other:
        case Case():
            return other.target
        case Diagnosis():
            return other.target.name
    return None


def _kept(origin: Provenance, case: Case, judged: Any) -> Case:
    kept = replace(
        origin,
        reference=replace(origin.reference, model=case.model),
        placed=case.placed,
        data=judged,
        calibration=None,
        foreign=None,
        adopted=None,
        kept=case,
    )
    return kept.calibrate(judged.source, silent, None)
