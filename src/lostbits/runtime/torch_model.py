"""A torch module -> ONNX, by torch's own exporter; names of parameters and modules stay."""

import contextlib
import io
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from lostbits.errors import ModelError, first_line
from lostbits.system.logs import silenced

_OPSET = 20


def is_torch(model: object) -> bool:
    """Whether it is a torch module or an exported program, if torch has been imported at all."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    return isinstance(model, torch.nn.Module | torch.export.ExportedProgram)


def exported(model: Any, inputs: Sequence[Any] | None, data: object) -> onnx.ModelProto:
    """The ONNX model of a torch module or exported program, for inference and any batch size.

    Args:
        model: The module, of any mode, or the program.
        inputs: Sample inputs, in the order of ``forward``; default, the first sample of ``data``.
        data: Where that is looked for: an array, tensor, or mapping of these by name.

    Raises:
        ModelError: M015 without example inputs; M016 for what torch cannot export; M017 where
            what it needs is not installed.
    """
    import torch  # noqa: PLC0415 - imported by the user already, or there is no module

    program = isinstance(model, torch.export.ExportedProgram)
    arguments = () if program else _arguments(model, inputs, data)
    training = not program and model.training
    try:
        if training:
            model.eval()
        return _proto(model, arguments)
    finally:
        if training:
            model.train()


def _proto(model: Any, arguments: tuple[Any, ...]) -> onnx.ModelProto:
    """The model; batches of any size where torch can leave them open."""
    where = f"torch {type(model).__name__}"
    try:
        return _try(model, arguments, free=bool(arguments))
    except ImportError as error:
        raise ModelError("M017", where, first_line(error)) from error
    except Exception:  # of whatever kind: a network may fix its batch, which is no fault
        try:
            return _try(model, arguments, free=False)
        except Exception as error:
            raise ModelError("M016", where, _reason(error)) from error


def _try(model: Any, arguments: tuple[Any, ...], free: bool) -> onnx.ModelProto:
    import torch  # noqa: PLC0415

    axes = tuple({0: torch.export.Dim.DYNAMIC} if a.ndim else None for a in arguments)
    options: dict[str, Any] = {"dynamo": True, "opset_version": _OPSET, "verbose": False}
    if free:
        options["dynamic_shapes"] = axes
    said = io.StringIO()  # pages of graphs, when it fails; the error says what matters
    with (
        silenced("torch"),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of torch about its own workings
        program = torch.onnx.export(model, arguments, **options)
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    return proto


def _reason(error: BaseException) -> str:
    """The op or line that torch says it stumbled over, which is the last of its causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _arguments(model: Any, inputs: Sequence[Any] | None, data: object) -> tuple[Any, ...]:
    import torch  # noqa: PLC0415

    given = _first(data) if inputs is None else list(inputs)
    if not given:
        raise ModelError(
            "M015",
            f"torch {type(model).__name__}",
            "none, and data of which none can be taken",
        )
    return tuple(torch.as_tensor(each) for each in given)


def _first(data: object) -> list[Any]:
    """The first two samples of arrays; two, because torch takes a length of one for fixed."""
    if isinstance(data, Mapping):
        parts = list(data.values())
    elif isinstance(data, list | tuple):
        parts = list(data)
    else:
        parts = [data]
    arrays = [np.asarray(p) for p in parts if hasattr(p, "__array__") and np.ndim(p)]
    return [a[:2] for a in arrays] if len(arrays) == len(parts) else []
