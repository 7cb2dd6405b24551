"""A case on disk: what ``recover --out`` keeps, and what the other verbs start from.

=============== ===========================================================================
float.onnx      the float network, perhaps in another form of the same function
quantized.onnx  Q/DQ, the rounding of a recovery included; runs anywhere, nothing reads it here
written.npz     constants that a recovery chose
plan.json       the complete plan, and the digests of the files that belong to it
=============== ===========================================================================

The large constants of a large model lie beside it, in ``float.onnx.data`` and
``quantized.onnx.data``: one file holds no more than 2 GiB.

Each file is replaced as a whole, plan.json last. A crash between two of them leaves files of
different moments, which the digests tell apart; nothing is ever made of such a mixture.
"""

import hashlib
import io
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lostbits.case import Case
from lostbits.errors import OutputError, described, edge
from lostbits.exporter import serialized
from lostbits.exporters import Json
from lostbits.foreign.match_names import match
from lostbits.graph.large import LARGE_MODEL, parted
from lostbits.graph.place import Placed, place
from lostbits.graph.queries import constant
from lostbits.reader import Parameters
from lostbits.readers.plan import ARITHMETIC, Plan
from lostbits.runtime.float_reference import Reference, open_reference
from lostbits.runtime.simulation import quantized_model
from lostbits.system.archive import arrays
from lostbits.system.arrays_on_disk import spooled
from lostbits.system.files import PROTOBUF, Content, open_file, read_file, size_of
from lostbits.system.memory import excess
from lostbits.target import Target
from lostbits.targets import target as find_target
from lostbits.targets import with_arithmetic
from lostbits.targets.kept_arithmetic import from_kept_form, kept_form

FLOAT, QUANTIZED, WRITTEN, PLAN = "float.onnx", "quantized.onnx", "written.npz", "plan.json"
_DIGESTS = "digests"
_NAMED = 1 << 26  # bytes of the names of written.npz, and of its headers, at the very most
_VERSION, _FORMAT = "case", 1  # version 0.1 wrote none, which is the first
_NAMES = "names"  # in written.npz: savez could not take a tensor whose name is ``file``
_DATA = ".data"  # after the name of a model, the file beside it
Written = dict[str, NDArray[np.float32]]


def files_of(case: Case) -> dict[str, Content]:
    """Content by file name, in the order in which the files must be written."""
    floats = _model(FLOAT, case.model)
    quantized = _model(QUANTIZED, quantized_model(case))
    files: dict[str, Content] = {**floats, **quantized, WRITTEN: _packed(case.written)}
    exporter = Json()
    plan = json.loads(exporter.render(case, exporter.sites(case))[PLAN])
    plan[_VERSION] = {"format": _FORMAT, "lostbits": version("lostbits")}
    if case.target.arithmetic is not None:
        plan[ARITHMETIC] = kept_form(case.target.arithmetic)
    plan[_DIGESTS] = {name: _digest(files[name]) for name in (*floats, WRITTEN)}
    return {**files, PLAN: (json.dumps(plan, indent=1) + "\n").encode()}


def _model(name: str, model: ir.Model) -> dict[str, Content]:
    """The file of a model, and the one beside it, which comes first."""
    copy, parts = parted(model, f"{name}{_DATA}")
    beside: dict[str, Content] = {f"{name}{_DATA}": parts} if parts else {}
    return {**beside, name: serialized(copy)}


def kept_files(folder: Path) -> list[Path]:
    """The files of a case that lie in a folder, the one for runtimes first."""
    paths = (folder / name for name in (QUANTIZED, FLOAT, PLAN))
    return [path for path in paths if path.is_file()]


def holds_case(folder: Path) -> bool:
    """Whether ``folder`` is one that a recovery has written."""
    return os.path.isfile(folder / PLAN)


def load_case(folder: Path, target: Target | None = None) -> tuple[Case, Reference]:
    """The case in ``folder``: model, plan and chosen constants; without statistics of data.

    Beside it the float network as it was opened.

    The kernels of the target compute as those that the plan was made for.

    Args:
        folder: Where ``files_of`` was written.
        target: Whose rules place the sites; default, the built-in one that the plan names.

    Raises:
        OutputError: O003 when a part is missing or damaged; O004 when the parts do not belong
            together.
        ReadError: I002 to I008 when plan.json is damaged.
        TargetError: T001 when the plan names a target that is not built in; T050 and T003 for an
            arithmetic that is none.
    """
    with edge(lambda found: _no_case(folder, found)):
        return _loaded(folder, target)


def _loaded(folder: Path, target: Target | None) -> tuple[Case, Reference]:
    plan = _part(folder, PLAN, PROTOBUF)
    parameters, facts = Plan().read(plan), json.loads(plan)
    _check_version(folder, facts)
    written = _part(folder, WRITTEN, _most(folder))
    _check_digests(folder, facts)
    chosen = _with_kept(target or find_target(str(facts.get("target"))), facts, folder / PLAN)
    # What a recovery put in, such as a Mul before a layer, stays as the plan knows it.
    reference = open_reference(folder / FLOAT, fold=False)
    model = reference.model
    placed = place(model, chosen)
    whole = _whole(folder, parameters, model, placed)
    constants = _unpacked(folder, written)
    _check_written(folder, constants, model)
    return Case(model, chosen, placed, {}, whole, {}, 0, constants), reference


def _with_kept(chosen: Target, facts: dict[str, Any], path: Path) -> Target:
    """The target, whose kernels compute as those did that the plan was made for."""
    kept = facts.get(ARITHMETIC)
    if kept is None or chosen.name != facts.get("target"):
        return chosen
    return with_arithmetic(chosen, from_kept_form(kept, f"{path}: {ARITHMETIC}"))


def _most(folder: Path) -> int:
    """Bytes that constants chosen by a recovery can take: no more than those of the model."""
    try:
        files = (folder / FLOAT, folder / f"{FLOAT}{_DATA}")
        return _NAMED + sum(size_of(path) for path in files if path.exists())
    except (OSError, ValueError) as error:
        raise _no_case(folder / FLOAT, described(error)) from error


def _part(folder: Path, name: str, most: int) -> bytes:
    try:
        return read_file(folder / name, most=most)
    except (OSError, ValueError) as error:
        raise _no_case(folder / name, described(error)) from error


def _no_case(path: Path, found: str) -> OutputError:
    return OutputError("O003", str(path), found)


def _check_version(folder: Path, facts: dict[str, Any]) -> None:
    """O010 for a folder of another form of this file."""
    own = facts.get(_VERSION)
    own = own if isinstance(own, dict) else {"format": _FORMAT}
    if own.get("format") != _FORMAT:
        found = f"format {own.get('format')}, written by lostbits {own.get('lostbits')}"
        own_version = version("lostbits")
        raise OutputError("O010", str(folder / PLAN), found, format=_FORMAT, version=own_version)


def _check_digests(folder: Path, facts: dict[str, Any]) -> None:
    digests = facts.get(_DIGESTS)
    known = digests if isinstance(digests, dict) else {}
    beside = (name for name in known if name == f"{FLOAT}{_DATA}")
    for name in (FLOAT, WRITTEN, *beside):
        if known.get(name) != _digest_of(folder / name):
            raise _mixed(folder / name, "another file")


def _whole(folder: Path, parameters: Parameters, model: ir.Model, placed: Placed) -> Any:
    """The plan, if every entry has its site; what is missing was left in float."""
    found = match(parameters, model, placed)
    for name, reason in found.unmatched.items():
        raise _mixed(folder / PLAN, f"{name!r}: {reason}")
    for problem in parameters.problems:
        raise problem
    return found.plan


def _mixed(path: Path, found: str) -> OutputError:
    return OutputError("O004", str(path), found, plan=PLAN)


def _packed(written: Any) -> Content:
    names = sorted(written)
    arrays = {f"{number}": written[name] for number, name in enumerate(names)}
    arrays[_NAMES] = np.asarray(names, str)
    if sum(array.nbytes for array in arrays.values()) >= LARGE_MODEL:
        return [spooled(lambda file: np.savez(file, **arrays))]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpacked(folder: Path, content: bytes) -> Written:
    with edge(lambda found: _no_case(folder / WRITTEN, found)):
        stored: dict[str, Any] = arrays(content)
        names = [str(name) for name in stored[_NAMES]]
        return {name: stored[f"{number}"] for number, name in enumerate(names)}


def _check_written(folder: Path, written: Written, model: ir.Model) -> None:
    """Whether the model has constants of these names and shapes."""
    for name, array in written.items():
        own = constant(model.graph.initializers.get(name))
        if own is None or (own.shape, own.dtype) != (array.shape, array.dtype):
            raise _mixed(folder / WRITTEN, f"{name!r}, no such constant of {FLOAT}")
        if not np.isfinite(array).all():
            raise _mixed(folder / WRITTEN, f"{name!r}, with values that are not finite")


def _digest(content: Content) -> str:
    digest = hashlib.sha256()
    for part in [content] if isinstance(content, bytes) else content:
        digest.update(part)
    return digest.hexdigest()


def _digest_of(path: Path) -> str:
    """Raises O003 for what cannot be read, or is more than memory holds: a hole has any size."""
    try:
        with open_file(path) as file:
            if large := excess(size_of(path)):
                raise _no_case(path, large)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _no_case(path, error.strerror or str(error)) from error
