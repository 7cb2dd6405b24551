"""Faults of devices, by the explanation that they should be given."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import lostbits as lb
from device import Array, Device, Fault, Grid, attention, depthwise, narrowed_at, residual, spread
from lostbits.case import Case

NETS: dict[str, tuple[Callable[[], onnx.ModelProto], tuple[int, ...], str, str]] = {
    "residual": (residual, (3, 16, 16), "onnxruntime", "conv2"),
    "depthwise": (depthwise, (3, 16, 16), "qnn-htp", "conv4"),
    "attention": (attention, (10, 16), "openvino", "matmul2"),
}
RUNS = 8


def case_of(net: str) -> tuple[Case, Array]:
    """The plan of a network, with a range at the faulty tensor that is not the native one."""
    model, shape, target, tensor = NETS[net]
    data = np.random.default_rng(5).normal(size=(RUNS, *shape)).astype(np.float32)
    return narrowed_at(lb.load(model(), data=data, target=target), tensor), data


def _scaled(factor: float) -> Callable[[Grid], Grid]:
    return lambda grid: replace(grid, scale=np.asarray(grid.scale * factor, np.float32))


def _moved(grid: Grid) -> Grid:
    zero = grid.zero.astype(np.int64) + 9
    return replace(grid, zero=zero.astype(grid.zero.dtype))


def _narrow(codes: Array) -> Array:
    return np.clip(codes, 108, 148).astype(codes.dtype)


def _flipped(codes: Array) -> Array:
    random = np.random.default_rng(7)
    some = random.random(codes.shape) < 0.04
    steps = np.where(some, random.choice([-1, 1], codes.shape), 0)
    info = np.iinfo(codes.dtype)
    return np.clip(codes.astype(np.int64) + steps, info.min, info.max).astype(codes.dtype)


def _along_other(codes: Array, scale: Array, axis: int) -> Array:
    return codes * spread(scale, codes.ndim, 1 - axis)


def _older(codes: Array, scale: Array, axis: int) -> Array:
    values = codes * spread(scale, codes.ndim, axis)
    noise = np.random.default_rng(9).normal(size=values.shape)
    changed: Array = values + 0.3 * values.std() * noise
    return changed


def _mixed(x: Array) -> Array:
    """Written with channels last, and read with channels first."""
    axes = (0, 2, 3, 1) if x.ndim == 4 else (0, 2, 1)
    return np.ascontiguousarray(x.transpose(axes)).reshape(x.shape)


def _pairs(x: Array, w: Array) -> Array:
    """vpmaddubsw: two products of neighbours, added in 16 bits that stop at their ends."""
    pairs = x[..., 0::2, None] * w[0::2] + x[..., 1::2, None] * w[1::2]
    sums: Array = np.clip(pairs, -(2**15), 2**15 - 1).sum(-2)
    return sums


def _wrapped(bits: int) -> Callable[[Array], Array]:
    half = 2 ** (bits - 1)
    return lambda sums: (sums + half) % (2 * half) - half


def _width(case: Case, tensor: str, data: Array) -> int:
    """The widest accumulator that some of a layer's sums leave."""
    seen: list[float] = []

    def look(sums: Array) -> Array:
        seen.append(float(np.quantile(np.abs(sums), 0.97)))
        return sums

    device = Device(case, Fault(tensor, sums=look))
    for run in data:
        device.run({"x": run[None]})
    return int(np.floor(np.log2(min(seen)))) + 1


def faults(case: Case, net: str, data: Array) -> dict[str, tuple[str, Fault]]:
    """By name, the explanation that is right and the fault."""
    tensor = NETS[net][3]
    return {
        "scale": ("scale", Fault(tensor, grid=_scaled(1.3))),
        "fine scale": ("scale", Fault(tensor, grid=_scaled(0.8))),
        "zero point": ("zero_point", Fault(tensor, grid=_moved)),
        "override": ("override", Fault(tensor, grid=_scaled(1 / 0.7))),
        "axis": ("axis", Fault(tensor, weight=_along_other)),
        "layout": ("layout", Fault(tensor, read=_mixed)),
        "stale model": ("weights", Fault(tensor, weight=_older)),
        "truncation": ("arithmetic", Fault(tensor, rounded=np.floor)),
        "saturation": ("saturation", Fault(tensor, codes=_narrow)),
        "wrap": ("saturation", Fault(tensor, sums=_wrapped(_width(case, tensor, data)))),
        "activation": ("activation", Fault(tensor, inside=lambda x: np.maximum(x, 0))),
        "leaky": ("activation", Fault(tensor, inside=lambda x: np.where(x < 0, 0.1 * x, x))),
        "float": ("float", Fault(tensor, in_float=True)),
        "single codes": ("single_codes", Fault(tensor, codes=_flipped)),
        **({} if net == "attention" else {"bias": ("bias", Fault(tensor, bias=False))}),
        **({"pairs": ("saturation", Fault(tensor, product=_pairs))} if net == "attention" else {}),
    }


def dumped(case: Case, fault: Fault | None, data: Array, net: str, folder: Path) -> Path:
    """What the device puts out: raw files of reals with channels last, codes, or arrays."""
    device = Device(case, fault)
    for number, run in enumerate(data):
        found = {n.removesuffix("__float"): v for n, v in device.run({"x": run[None]}).items()}
        place = folder / f"Result_{number}"
        place.mkdir(parents=True)
        if net == "depthwise" and not (fault is not None and fault.in_float):
            codes: dict[str, Any] = {n: v[0] for n, v in found.items()}
            np.savez(place / "tensors.npz", **codes)
            continue
        for name, (_, reals) in found.items():
            if net == "residual":
                last = np.moveaxis(reals, 1, -1) if reals.ndim == 4 else reals
                (place / f"{name}.raw").write_bytes(np.ascontiguousarray(last).tobytes())
            else:
                np.save(place / f"{name}.npy", reals)
    return folder
