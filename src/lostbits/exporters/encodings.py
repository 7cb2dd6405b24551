"""Encodings overrides for SNPE, QNN and QAIRT, with the float model and the commands.

Every number is the exact float32 scale or an exact product of it, written in full: min, max,
scale and offset agree to the last bit, because some converters read the former pair, some the
latter, and some recompute one from the other.

Tensors that only hand on quantized values (the outputs of Concat, Reshape and their like) are
named too, with the grid of their sources: AIMET takes a tensor that is left out for one that is
not quantized, and turns off the quantizers that are tied to it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal, final

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import (
    Exporter,
    Files,
    Kind,
    Takes,
    host_model,
    left_to_host,
    onnx_files,
)
from lostbits.graph.site import Site
from lostbits.grid import Affine
from lostbits.language import Figure
from lostbits.reader import Parameters
from lostbits.readers.encodings import Encodings as EncodingsReader

Version = Literal["0.6.1", "1.0.0", "2.0.0"]
Body = dict[str, Any]
_UNSIGNED = frozenset({"uint4", "uint8", "uint16"})
_SIGNED = frozenset({"int4", "int8", "int16"})
_ENCODINGS, _MODEL, _COMMANDS = "model.encodings", "model.onnx", "convert.sh"


@final
@dataclass(frozen=True)
class Encodings(Exporter):
    """``--quantization_overrides`` in one of the three published versions.

    Attributes:
        version: What the file declares; ``LEGACY``, ``NAMED`` and ``ONNX`` below have the rest.

    A weight with a single channel is written per tensor in 0.6.1, which cannot tell the two apart.

    References:
        AIMET 2.42, Docs/api_docs/quantization_encoding_specification; Qualcomm, QAIRT
        Quantization Specification 0.1; SNPE Reference Guide, Quantizing a Model.
    """

    version: Version
    name: str
    title: str
    takes: Mapping[Kind, Takes]
    otherwise: Mapping[Kind, str]
    body: Callable[[Case, Sequence["_Named"]], Body]
    files = (_ENCODINGS, _MODEL, _COMMANDS)

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """Encodings, the model that their names belong to, and what to call."""
        encodings = {
            "version": self.version,
            "producer": {"package": "lostbits", "version": version("lostbits")},
            **self.body(case, _named_tensors(case, sites)),
        }
        return {
            _ENCODINGS: (json.dumps(encodings, indent=1) + "\n").encode(),
            **onnx_files(_MODEL, host_model(case)),
            _COMMANDS: _commands(self.version, case, sites).encode(),
        }

    def read(self, files: Files) -> Parameters:
        """See readers.encodings."""
        return EncodingsReader().read(files[_ENCODINGS])

    def left_out(self, case: Case) -> dict[str, Figure]:
        """See the contract; without the tensors that only hand on values."""
        written = {each.tensor for each in _handed_on(case)}
        return {t: why for t, why in super().left_out(case).items() if t not in written}

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """Signed activations, ranges narrower than the platform's least, what the host does."""
        signed = [s for s in sites if s.streams and case.plan[s.key].grid.signed]
        least = case.target.activations.minimum_range
        narrow = [s for s in sites if s.streams and _extent(case.plan[s.key]) < 0.99 * least]
        found = [_signed(s, self.name) for s in signed] + [_narrow(s, least) for s in narrow]
        return found + left_to_host(case)


@final
@dataclass(frozen=True)
class _Named:
    """An entry to be written: a site's, or that of a tensor which lies on a site's grid."""

    tensor: str
    affine: Affine
    section: str = "activation_encodings"


def _named_tensors(case: Case, sites: Sequence[Site]) -> list[_Named]:
    sections = {True: "activation_encodings", False: "param_encodings"}
    own = [_Named(s.tensor, case.plan[s.key], sections[s.streams]) for s in sites]
    return own + _handed_on(case)


def _handed_on(case: Case) -> list[_Named]:
    found = {t: case.placed.inherits(t, case.plan) for t in case.placed.inherited}
    return [_Named(tensor, affine) for tensor, affine in found.items() if affine is not None]


def _extent(affine: Affine) -> float:
    return float((affine.hi - affine.lo).min())


def _signed(site: Site, where: str) -> ExportError:
    return ExportError("E014", f"activation {site.tensor!r} in {where}", "signed")


def _narrow(site: Site, least: float) -> ExportError:
    return ExportError("E015", f"activation {site.tensor!r}", "a narrower one", least=least)


def _legacy(case: Case, tensors: Sequence[_Named]) -> Body:
    """0.6.1: a list of objects by name, one object per channel."""
    sections: Body = {"activation_encodings": {}, "param_encodings": {}}
    for each in tensors:
        sections[each.section][each.tensor] = legacy_entries(each.affine)
    return {**sections, "quantizer_args": _arguments(case)}


def legacy_entries(affine: Affine) -> list[dict[str, Any]]:
    """min, max, scale and offset of every channel; products of them are exact in double."""
    steps = 2**affine.grid.bits - 1
    numbers = zip(affine.scale.ravel().tolist(), offsets(affine), strict=True)
    return [
        {
            "bitwidth": affine.grid.bits,
            "dtype": "int",
            "is_symmetric": str(affine.grid.signed),
            "min": scale * offset,
            "max": scale * (steps + offset),
            "offset": offset,
            "scale": scale,
        }
        for scale, offset in numbers
    ]


def offsets(affine: Affine) -> list[float]:
    """Minus the zero points of the unsigned grid; -128 for a symmetric int8 tensor."""
    return [float(affine.grid.qmin - zero) for zero in affine.zero_point.ravel().tolist()]


def _named(case: Case, tensors: Sequence[_Named]) -> Body:
    """1.0.0: a list of objects with names, numbers in lists."""
    sections: Body = {"activation_encodings": [], "param_encodings": []}
    for each in tensors:
        affine = each.affine
        entry = {
            "name": each.tensor,
            "dtype": "INT",
            "enc_type": "PER_TENSOR" if affine.axis is None else "PER_CHANNEL",
            "bw": affine.grid.bits,
            "is_sym": affine.grid.signed,
            "scale": affine.scale.ravel().tolist(),
            "offset": offsets(affine),
        }
        sections[each.section].append(entry)
    return {**sections, "quantizer_args": _arguments(case)}


def _onnx(case: Case, tensors: Sequence[_Named]) -> Body:
    """2.0.0: one list in the vocabulary of QuantizeLinear; zero points of 0 are left out."""
    return {"encodings": [_onnx_entry(each.tensor, each.affine) for each in tensors]}


def _onnx_entry(tensor: str, affine: Affine) -> dict[str, Any]:
    zero = {"y_zero_point": affine.zero_point.tolist()} if affine.zero_point.any() else {}
    axis = {} if affine.axis is None else {"axis": affine.axis}
    kind, scale = affine.grid.name, affine.scale.tolist()
    return {"name": tensor, "output_dtype": kind, "y_scale": scale, **zero, **axis}


def _arguments(case: Case) -> dict[str, Any]:
    rules = case.target
    return {
        "activation_bitwidth": rules.activations.grid.bits,
        "dtype": "int",
        "is_symmetric": rules.weights.symmetric,
        "param_bitwidth": rules.weights.grid.bits,
        "per_channel_quantization": rules.weights.per_channel,
        "quant_scheme": rules.activations.method_name,
    }


def _commands(form: Version, case: Case, sites: Sequence[Site]) -> str:
    """What to call; INPUT_LIST names raw files, for the tensors that have no encoding."""
    overrides = f"--quantization_overrides {_ENCODINGS}"
    widths = (
        f"--act_bitwidth {case.target.activations.grid.bits} "
        f"--weights_bitwidth {case.target.weights.grid.bits} --bias_bitwidth 32"
    )
    rows = any(case.plan[s.key].axis is not None for s in sites)
    channels = " --use_per_channel_quantization --use_per_row_quantization" if rows else ""
    lines = {
        "0.6.1": (
            f"snpe-onnx-to-dlc --input_network {_MODEL} {overrides} --output_path model.dlc",
            'snpe-dlc-quantize --input_dlc model.dlc --input_list "$INPUT_LIST" '
            "--override_params --bias_bitwidth 32 --output_dlc model_quantized.dlc",
        ),
        "1.0.0": (
            f"qnn-onnx-converter --input_network {_MODEL} {overrides} "
            f'--input_list "$INPUT_LIST" {widths}{channels} --output_path model.cpp',
        ),
        "2.0.0": (
            f"qairt-converter --input_network {_MODEL} {overrides} --output_path model.dlc",
            'qairt-quantizer --input_dlc model.dlc --input_list "$INPUT_LIST" '
            f"{widths} --output_dlc model_quantized.dlc",
        ),
    }
    return "\n".join(("#!/bin/sh -eu", *lines[form], ""))


_WEIGHTS = Takes(_UNSIGNED | _SIGNED, symmetric=_SIGNED, per_channel="middle")
_PARTS: Mapping[Kind, Takes] = {
    # Legacy offsets are those of the unsigned grid: a signed one can only mean a symmetric tensor.
    "activation": Takes(_UNSIGNED | _SIGNED, symmetric=_SIGNED),
    "weight": _WEIGHTS,
}
_BIAS: Mapping[Kind, str] = {
    "bias": "the converter quantizes biases itself, with --bias_bitwidth 32"
}
LEGACY = Encodings(
    "0.6.1", "encodings-0.6.1", "encodings 0.6.1 for SNPE and QNN", _PARTS, _BIAS, _legacy
)
NAMED = Encodings("1.0.0", "encodings-1.0.0", "encodings 1.0.0 for QNN", _PARTS, _BIAS, _named)
ONNX = Encodings(
    "2.0.0",
    "encodings-2.0.0",
    "encodings 2.0.0 for QAIRT",
    {
        "activation": Takes(_UNSIGNED | _SIGNED),
        "weight": _WEIGHTS,
        "bias": Takes(frozenset({"int32"}), symmetric=frozenset({"int32"}), per_channel="middle"),
    },
    {},
    _onnx,
)
