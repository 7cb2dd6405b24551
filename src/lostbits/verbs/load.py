"""The verb ``load``: a model, data and a target -> the case that every other verb works on."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from lostbits.case import Case
from lostbits.data import Preprocess
from lostbits.diagnoses.memory_estimate import Footprint
from lostbits.diagnoses.settings import Settings
from lostbits.errors import ExportError, ModelError, TargetError, edge
from lostbits.foreign.adopt_plan import fitting_target
from lostbits.foreign.by_structure import named_alike
from lostbits.foreign.file import Foreign, read_foreign
from lostbits.graph.compared_outputs import compared_outputs
from lostbits.graph.invalid import invalid
from lostbits.graph.place import Placed, place
from lostbits.graph.told_outputs import Told, told_outputs
from lostbits.plan.tensor_settings import Override
from lostbits.plan.wished_scales import with_wishes
from lostbits.runtime.equality import check_equal, rounding_db
from lostbits.runtime.float_reference import Reference, open_reference
from lostbits.runtime.settle_branches import settled
from lostbits.runtime.torch_model import exported, is_torch
from lostbits.target import Arithmetic, Target
from lostbits.targets import target as find_target
from lostbits.targets import with_arithmetic
from lostbits.targets.kept_arithmetic import from_kept_form
from lostbits.verbs.arguments import checked, wrong_type
from lostbits.verbs.case_files import holds_case, load_case
from lostbits.verbs.holdout import held_out
from lostbits.verbs.origin import Provenance, Samples, origin_of, samples_of, timed, working
from lostbits.workers.pool import Pool, Resources, size
from lostbits.workers.progress import Progress, silent
from lostbits.workers.work_folder import Work, nobody

_COMPARED = 2  # samples that show whether normalising kept the network
_USUAL = "onnxruntime"  # whose rules most tools have taken over
Model = str | Path | onnx.ModelProto | ir.Model  # or a torch module, which is not imported for this


@checked
def load(  # noqa: PLR0913 - the one door; all but the first three are keywords
    model: Any,
    data: object = None,
    target: str | Path | Target | None = None,
    *,
    arithmetic: str | Path | Arithmetic | None = None,
    calibration: object = None,
    plan: str | Path | None = None,
    example_inputs: Sequence[Any] | None = None,
    hold_out: bool = False,
    samples: int | None = None,
    overrides: Iterable[str | Override] = (),
    outputs: str | Path | Mapping[str, str] | Iterable[str] | None = None,
    mask_outputs: str | Mapping[str, str] | Iterable[str] | None = None,
    preprocess: str | Path | Preprocess | None = None,
    batch: int = 8,
    workers: int | Pool = 1,
    threads: int = 0,
    memory: int | str | None = None,
    ray: str | None = None,
    cache: Work | None = None,
    announce: Callable[[str], None] = nobody,
    progress: Progress = silent,
) -> Case:
    """The case of a model on a target: loaded, checked, calibrated and planned.

    No other function makes a case from the outside, and everything that is named is read once.

    Args:
        model: Path of an ONNX file, an ``onnx.ModelProto``, an ``onnx_ir.Model``, a
            ``torch.nn.Module`` or ``torch.export.ExportedProgram``, or the folder of a recovery.
        data: Samples that are measured and judged: paths, arrays, iterables; see lostbits.data.
        target: Name, path of a TOML file, or a Target. Default: that of the folder, the one whose
            rules fit ``plan`` best, or ``onnxruntime``.
        arithmetic: How the kernels compute, instead of as the target says: a name (``x86-avx2``,
            ``tflite``, ...), path of a TOML file, or an Arithmetic. Default: sums as wide as they
            need.
        calibration: Samples that set the ranges and teach; default, the data.
        plan: Somebody else's file: its parameters, instead of those of the target's own rules.
        example_inputs: What a torch module is exported with, in the order of ``forward``; default,
            from the data.
        hold_out: Keep the last quarter of the data to judge a recovery, at most 64 samples and of
            few up to a half; the others set the ranges.
        samples: Use only the first of the data.
        overrides: Wishes for single tensors, as ``--set`` has them.
        outputs: What outputs mean, where the graph does not show it: kinds by name (``classes``,
            ``sequence``, ``embedding``, ``image``, ``detections``, ``other``), texts ``NAME=KIND``,
            or the path of a TOML file.
        mask_outputs: Inputs that say which positions of an output count, by its name, or texts
            ``NAME=INPUT``; ``NAME=!INPUT`` where zeros count.
        preprocess: How images become values; for folders of images.
        batch: Samples a run while calibrating.
        workers: Processes on this machine, or a pool that is open.
        threads: Of each worker; 0 divides the cores among them.
        memory: Bytes that each process may take, or text such as ``4GiB``.
        ray: Address of a Ray cluster.
        cache: Where the sums over the data are kept as they grow.
        announce: Told in a sentence what a bounded run will take.
        progress: Told after every batch.

    Raises:
        LostbitsError: With code, place, rule, what was found and what to do.
    """
    start = time.perf_counter()
    bound = size(memory) if isinstance(memory, str) else memory
    count = workers if isinstance(workers, int) else 1
    settings = Settings(
        batch=batch,
        overrides=tuple(o if isinstance(o, Override) else Override.parse(o) for o in overrides),
        resources=Resources(count, threads, ray, bound),
        cache=cache,
        announce=announce,
    )
    told = told_outputs(outputs, mask_outputs)
    opener = partial(samples_of, count=samples, preprocess=Preprocess.of(preprocess))
    foreign = None if plan is None else read_foreign(Path(plan))
    if isinstance(model, str | Path) and os.path.isdir(model):
        _check_alone(
            Path(model),
            plan=foreign,
            calibration=calibration,
            hold_out=hold_out or None,
            overrides=settings.overrides or None,
            example_inputs=example_inputs,
        )
        return _of_folder(Path(model), data, (target, arithmetic), opener, settings, told)
    reference = _reference(model, example_inputs, data, foreign)
    opened = partial(_samples, partial(opener, reference=reference), data, calibration, hold_out)
    parts = opened() if reference.changes.control_flow else None
    if parts is not None:  # what there is of the network depends on the samples
        reference = _settled(reference, parts, settings, foreign)
    foreign = foreign and named_alike(foreign, reference.plain, reference.model)
    chosen = _target(target, foreign, reference)
    chosen = with_arithmetic(chosen, arithmetic or _kept(foreign, chosen))
    origin = _opened(reference, chosen, settings, foreign)
    origin = replace(origin, told=told, arithmetic=_given(arithmetic))
    compared_outputs(reference.model.graph, told)  # raises, before samples are read
    parts = parts or opened()
    case = _calibrated(replace(origin, data=parts[0], calibration=parts[1]), workers, progress)
    return timed(case, time.perf_counter() - start)


def _settled(
    reference: Reference,
    parts: tuple[Samples | None, Samples | None],
    settings: Settings,
    foreign: Foreign | None,
) -> Reference:
    """With the branches that all samples take."""
    shown = parts[1] or parts[0]
    if shown is None:
        return reference
    fold = foreign is None or foreign.folds
    return settled(reference, shown.source, settings.batch, fold=fold)


def _calibrated(origin: Provenance, workers: int | Pool, progress: Progress) -> Case:
    """The case of what was opened, after a look at whether normalising has kept the network."""
    shown = origin.calibration or origin.data
    if shown is None:
        raise ExportError("E020", str(origin.reference.path), "a model alone")
    origin = _bounded(origin, shown)
    with working(origin.settings, workers) as (pool, peak):
        looked_at = shown.source, min(origin.settings.batch, _COMPARED)
        check_equal(origin.reference, *looked_at)
        rounding = rounding_db(origin.reference, *looked_at)
        origin = replace(origin, reference=replace(origin.reference, rounding_db=rounding))
        case = origin.calibrate(shown.source, progress, pool)
        peaks = (peak.bytes, pool.peak)
    return replace(case, origin=replace(origin_of(case), peaks=peaks))


def _reference(
    model: Any, examples: Sequence[Any] | None, data: object, foreign: Foreign | None
) -> Reference:
    """The float network of whatever was given."""
    fold = foreign is None or foreign.folds
    if is_torch(model):
        return open_reference(exported(model, examples, data), fold=fold)
    if examples is not None:
        raise wrong_type("example_inputs", "a torch module beside them", model, "leave them out")
    if isinstance(model, str | Path):
        return open_reference(Path(model), fold=fold)
    if isinstance(model, onnx.ModelProto | ir.Model):
        return open_reference(model, fold=fold)
    takes = "a path, onnx.ModelProto, onnx_ir.Model, torch module or exported program"
    raise wrong_type("model", takes, model, "give the float model in one of these forms")


def _samples(
    opener: Callable[[object], Samples], data: object, calibration: object, hold_out: bool
) -> tuple[Samples | None, Samples | None]:
    """What is judged, and what sets ranges and teaches."""
    judged = None if data is None else opener(data)
    teaching = None if calibration is None else opener(calibration)
    if hold_out and judged is not None and teaching is None:
        return held_out(judged)
    return judged, teaching


def _target(
    target: str | Path | Target | None, foreign: Foreign | None, reference: Reference
) -> Target:
    if isinstance(target, Target):
        return target
    if target is None:
        return find_target(_USUAL) if foreign is None else fitting_target(foreign, reference.model)
    return find_target(str(target))


def _opened(
    reference: Reference, target: Target, settings: Settings, foreign: Foreign | None
) -> Provenance:
    with edge(partial(invalid, str(reference.path))):
        placed = place(reference.model, target)
    model, wishes = with_wishes(reference.model, placed, target, settings.overrides)
    if model is not reference.model:
        reference = replace(reference, model=model)
        settings, placed = replace(settings, overrides=wishes), place(model, target)
    _check_sites(placed, reference.path, target)
    return Provenance(reference, placed, target, None, None, settings, foreign=foreign)


def _check_sites(placed: Placed, model: Path, target: Target) -> None:
    if not placed.sites:
        raise ModelError(
            "M011",
            str(model),
            f"no site; {len(placed.left_in_float)} tensors stay in float",
            target=target.name,
        )


def _bounded(origin: Provenance, shown: Samples) -> Provenance:
    """With batches that the memory has room for; says what the run will take."""
    settings = origin.settings
    if settings.resources.memory is None:
        return origin
    footprint = Footprint.of(origin.reference.model, origin.placed, shown.source)
    settings = footprint.fit(settings)
    settings.announce(str(footprint.said(settings)))
    return replace(origin, settings=settings, footprint=footprint)


def _given(arithmetic: str | Path | Arithmetic | None) -> str | None:
    """As ``--arithmetic`` has it."""
    if isinstance(arithmetic, Arithmetic):
        return arithmetic.name
    return None if arithmetic is None else str(arithmetic)


def _kept(foreign: Foreign | None, chosen: Target) -> Arithmetic | None:
    """Of the kernels that a plan of ours was made for, if it was for this target."""
    if foreign is None or foreign.parameters.target != chosen.name:
        return None
    kept = foreign.parameters.arithmetic
    return None if kept is None else from_kept_form(kept, str(foreign.path))


def _check_alone(folder: Path, **of_a_model: object) -> None:
    """A folder has its plan; what would make another is refused, not ignored."""
    given = [name for name, value in of_a_model.items() if value is not None]
    if given:
        found = f"{folder}, which has its own plan"
        raise TargetError("T019", f"argument {given[0]}", found, argument=given[0])


def _of_folder(
    folder: Path,
    data: object,
    rules: tuple[str | Path | Target | None, str | Path | Arithmetic | None],
    opener: Callable[..., Samples],
    settings: Settings,
    told: Told,
) -> Case:
    """The case that a recovery has kept; with data it can be diagnosed, too."""
    target, arithmetic = rules
    chosen = find_target(str(target)) if isinstance(target, str | Path) else target
    case, reference = load_case(folder, chosen)
    case = replace(case, target=with_arithmetic(case.target, arithmetic))
    case = replace(case, compared=compared_outputs(case.model.graph, told))
    judged = None if data is None else opener(data, reference=reference)
    parts = (reference, case.placed, case.target, judged, None)
    asked = _given(arithmetic)
    origin = Provenance(*parts, settings, kept=case, folder=folder, told=told, arithmetic=asked)
    if judged is None:
        return replace(case, origin=origin)
    return origin.calibrate(judged.source, silent, None)


__all__ = ["holds_case", "load"]
