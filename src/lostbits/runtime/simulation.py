"""The plan, simulated: ONNX Runtime runs the Q/DQ model and says what every quantizer did.

The graph is run without optimisation, so that the arithmetic is the one that ONNX defines. The
errors that it made are then frozen and replayed by the torch executor, which therefore ends at
exactly the same outputs. A live torch simulation (``live``) rounds by itself; in a deep network a
last-bit difference between two float kernels flips a code here and there, each flip perturbs what
follows, and after some tens of layers the two roundings are independent of each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, final

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from lostbits.case import Case, Plan, held_constant
from lostbits.data import Batch
from lostbits.errors import SimulationError
from lostbits.graph.instrument import after, before, quantized, with_constants, with_outputs
from lostbits.graph.large import large_constants
from lostbits.graph.qdq import qdq_model
from lostbits.graph.queries import name_of
from lostbits.graph.saturation import Saturations
from lostbits.graph.site import Site
from lostbits.grid import Affine, along
from lostbits.kernels.simulated import Simulated, ideal_name, in_arithmetic
from lostbits.runtime.chords import Chord
from lostbits.runtime.executor import Inject
from lostbits.runtime.memory_layout import channels_last, in_file
from lostbits.runtime.saturating import held, saturated
from lostbits.runtime.session import Session

T = TypeVar("T")


class Left(NamedTuple):
    """Sums of a layer that left the range of its accumulator, or of its pairs of products.

    Attributes:
        left: How many, a channel.
        sums: Of how many.
        most: The largest size of an exact sum.
    """

    left: NDArray[np.int64]
    sums: int
    most: int


@final
@dataclass(frozen=True)
class Frozen:
    """Errors that the quantizers of one run made, as torch tensors by site key.

    Attributes:
        total: What each site added: ``Q(x) - x`` at the input that it really had.
        clip: The part from limiting; sites that clipped nothing are missing.
        accumulate: The part from the arithmetic of the target's kernels, of sites that it moved: at
            a site what the kernel gives less ``Q(x)``, else what it adds to the sum of a layer that
            stays float.
        left: By the name of a linear layer, its sums that left their range.
        limited: What sites made of inputs that were infinite in part; errors of those elements are
            not finite before both networks were compared, which puts chords in the place of the
            functions that they come from.
        chords: By the name of the node.
        plan: Grids of the sites.
        start: Errors that are there before any of ``total`` is added: those of another plan, where
            a path leads from its network and not from the float one.
        saturations: By tensor, the ends that values are held within before errors are taken or put
            in: what a quantizer makes of a mask differs from it by all of its size, and means the
            same.
    """

    total: dict[str, torch.Tensor]
    clip: dict[str, torch.Tensor]
    limited: dict[str, torch.Tensor] = field(default_factory=dict)
    chords: dict[str, Chord] = field(default_factory=dict)
    plan: Plan = field(default_factory=dict)
    start: dict[str, torch.Tensor] = field(default_factory=dict)
    saturations: Saturations = field(default_factory=dict)
    accumulate: dict[str, torch.Tensor] = field(default_factory=dict)
    left: dict[str, Left] = field(default_factory=dict)

    def held(self, site: Site, x: torch.Tensor) -> torch.Tensor:
        """What the site's errors are added to."""
        return saturated(x, self.saturations.get(site.tensor))

    def since(self, other: "Frozen") -> "Frozen":
        """What these errors are more than those of another plan, which they start from."""
        keys = {**other.total, **self.total}
        total = {key: _difference(self.total, other.total, key) for key in keys}
        clips = {**other.clip, **self.clip}
        clip = {key: _difference(self.clip, other.clip, key) for key in clips}
        added = {**other.accumulate, **self.accumulate}
        accumulate = {key: _difference(self.accumulate, other.accumulate, key) for key in added}
        return Frozen(
            total,
            clip,
            start=dict(other.total),
            saturations=self.saturations,
            accumulate=accumulate,
        )


def _difference(
    errors: dict[str, torch.Tensor], others: dict[str, torch.Tensor], key: str
) -> torch.Tensor:
    """One site's errors less the others'; none where a plan leaves it in float."""
    if key not in others:
        return errors[key]
    return errors[key] - others[key] if key in errors else -others[key]


@final
class Simulation:
    """The quantized network of a case, ready to run on batches."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.streamed = [s for s in case.sites if s.streams]
        taps = [name(s) for s in self.streamed for name in (before, after)]
        self._kernels = _simulated(case, taps)
        model = self._kernels.model
        self.outputs = [name_of(v) for v in model.graph.outputs[: len(case.model.graph.outputs)]]
        self._session = Session(model, optimise=False)
        self._constants = _freeze_constants(case)
        self._sums = [s for s in case.error_sites if s.tensor in self._kernels.sums]
        runs = {s.key for s in self.streamed if s.dynamic}  # on grids that no plan has
        self._grids = {key: a for key, a in case.plan.items() if key not in runs}

    def run(self, part: Batch) -> tuple[list[NDArray[Any]], Frozen]:
        """Outputs of the quantized network, and the errors of every site, on one batch."""
        values = {**part.feeds, **self._session.run(part.feeds)}
        constants = self._constants
        ends = self.case.saturations
        frozen = Frozen(
            dict(constants.total), dict(constants.clip), plan=self._grids, saturations=ends
        )
        for site in self.streamed:
            entering = held(values[ideal_name(values, before(site))], ends.get(site.tensor))
            leaving = values[after(site)]
            _check_streamed(frozen, site, entering, leaving, part)
            affine = None if site.dynamic else self.case.plan[site.key]
            _freeze(frozen, site, affine, entering, leaving)
            if affine is not None and self._kernels.layers:
                _freeze_arithmetic(frozen, site, affine, entering)
        self._freeze_sums(frozen, values)
        outputs = [part.real(values[name]) for name in self.outputs]
        for name, output in zip(self.outputs, outputs, strict=True):
            _check_output(name, output, part)
        return outputs, frozen

    def _freeze_sums(self, frozen: Frozen, values: Mapping[str, NDArray[Any]]) -> None:
        """What kernels add to sums that stay float, and how many left their range."""
        for site in self._sums:
            leaving, entering = values[site.tensor], values[ideal_name(values, site.tensor)]
            error = channels_last(torch.from_numpy(leaving - entering))
            frozen.total[site.key] = frozen.accumulate[site.key] = error
        for node, names in self._kernels.counts.items():
            count, most = int(values[names.sums]), int(values[names.most])
            frozen.left[node] = Left(values[names.left], count, most)


def _simulated(case: Case, taps: Sequence[str]) -> Simulated:
    """The quantized network in the arithmetic of the target, with tensors to look at."""
    arithmetic, written = case.target.arithmetic, _written(case)
    if arithmetic is None:
        return Simulated(quantized(written, case.sites, case.plan, taps), 0, {}, ())
    return in_arithmetic(quantized(written, case.sites, case.plan), arithmetic, taps)


def simulated_model(case: Case) -> ir.Model:
    """The Q/DQ model of a case as its target computes it, with the model's own outputs only."""
    model = quantized_model(case)
    if case.target.arithmetic is None:
        return model
    outputs = [name_of(v) for v in model.graph.outputs]
    return with_outputs(in_arithmetic(model, case.target.arithmetic).model, outputs)


def quantized_model(case: Case) -> ir.Model:
    """The Q/DQ model of a case, with the model's own outputs only; see ``qdq_model``."""
    return qdq_model(_written(case), case.sites, case.plan)


def _written(case: Case) -> ir.Model:
    return with_constants(case.model, case.written) if case.written else case.model


def live(plan: Plan) -> Inject:
    """An injection that rounds to the plan's grids by itself, with a straight-through gradient."""

    def inject(site: Site, x: torch.Tensor) -> torch.Tensor:
        affine = plan.get(site.key)
        return x if affine is None else fake_quantize(x, affine)

    return inject


def replayed(frozen: Frozen, share: float = 1.0) -> Inject:
    """An injection that adds ``share`` of the frozen errors."""

    def inject(site: Site, x: torch.Tensor) -> torch.Tensor:
        error = frozen.total.get(site.key)
        return x if error is None else torch.add(frozen.held(site, x), error, alpha=share)

    return inject


def on_grids(frozen: Frozen) -> Inject:
    """The same with all of the errors, and without the last bit that they miss the grid by.

    Where a zero is not quite zero, a root is not a number.
    """
    inject = replayed(frozen)

    def exact(site: Site, x: torch.Tensor) -> torch.Tensor:
        affine = frozen.plan.get(site.key) if site.key in frozen.total else None
        return inject(site, x) if affine is None else fake_quantize(inject(site, x), affine)

    return exact


def settle(frozen: Frozen, site: Site, x: torch.Tensor) -> None:
    """Make errors finite that are not: of what chords make of the input to what left the site.

    Raises:
        SimulationError: S005 where that input is not finite either.
    """
    if site.key not in frozen.limited:
        return
    x = frozen.held(site, x)
    error, leaving = frozen.total[site.key], frozen.limited.pop(site.key)
    odd = ~torch.isfinite(error)
    error = torch.where(odd, leaving - x, error)
    if not torch.isfinite(error).all():
        raise not_finite(f"tensor {site.tensor!r}", "infinity")
    frozen.total[site.key] = error
    frozen.clip[site.key] = torch.where(odd, error, frozen.clip[site.key])


def fake_quantize(x: torch.Tensor, affine: Affine) -> torch.Tensor:
    """``x`` on the grid, as ONNX Q/DQ computes it; gradient 1 inside the range, 0 outside."""
    kind = torch.float32 if affine.grid.bits <= 24 else torch.float64
    scale, zero = (_shaped(v, x.ndim, affine).to(kind) for v in (affine.scale, affine.zero_point))
    # In place after the first step: fresh memory for each would cost several times the arithmetic.
    steps = (x.detach().to(kind) / scale).round_().add_(zero)
    codes = steps.clamp_(affine.grid.qmin, affine.grid.qmax)
    value = codes.sub_(zero).mul_(scale).to(torch.float32)
    if not x.requires_grad:
        return value
    return (limited := torch.clamp(x, *ends(affine, x.ndim))) + (value - limited).detach()


def ends(affine: Affine, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``lo`` and ``hi`` of the grid, shaped to broadcast over a tensor of that rank."""
    return _shaped(affine.lo, rank, affine), _shaped(affine.hi, rank, affine)


def _shaped(values: NDArray[Any], rank: int, affine: Affine) -> torch.Tensor:
    return torch.from_numpy(np.array(along(values, rank, affine.axis)))


def _freeze_constants(case: Case) -> Frozen:
    frozen, large = Frozen({}, {}), large_constants(case.model.graph)
    for site in case.attributed_sites:
        if not site.streams:
            x = held_constant(case.model, site, case.saturations)
            affine = case.plan.get(site.key)
            _freeze(frozen, site, affine, x, case.quantized_constant(site))
            if site.tensor in large:
                for errors in (frozen.total, frozen.clip):
                    if site.key in errors:
                        errors[site.key] = in_file(errors[site.key])
    return frozen


def _freeze(
    frozen: Frozen, site: Site, affine: Affine | None, x: NDArray[Any], quantized_x: NDArray[Any]
) -> None:
    entering, leaving = torch.from_numpy(np.asarray(x)), torch.from_numpy(np.asarray(quantized_x))
    frozen.total[site.key] = channels_last(leaving - entering)
    if affine is None:
        return
    lo, hi = ends(affine, entering.ndim)
    if _reaches_beyond(entering, lo, hi):
        frozen.clip[site.key] = channels_last(torch.clamp(entering, lo, hi) - entering)


def _freeze_arithmetic(frozen: Frozen, site: Site, affine: Affine, entering: NDArray[Any]) -> None:
    """The part of a site's error that is not that of a quantizer behind ideal arithmetic."""
    x = torch.from_numpy(np.asarray(entering))
    error = frozen.total[site.key] - channels_last(fake_quantize(x, affine) - x)
    if error.any():
        frozen.accumulate[site.key] = error


def _reaches_beyond(x: torch.Tensor, lo: torch.Tensor, hi: torch.Tensor) -> bool:
    """Whether a value lies outside; one pass over memory where the grid is the same for all."""
    if x.numel() and lo.numel() == 1:
        least, most = torch.aminmax(x)
        return bool(least < lo) or bool(most > hi)
    return bool((x < lo).any()) or bool((x > hi).any())


def _check_streamed(
    frozen: Frozen, site: Site, entering: NDArray[Any], leaving: NDArray[Any], part: Batch
) -> None:
    """A quantizer limits what is infinite, but makes anything at all of what is not a number."""
    if not entering.size:
        return
    ends = torch.stack(torch.aminmax(torch.from_numpy(entering)))
    if ends.isnan().any():
        raise not_finite(f"tensor {site.tensor!r}", f"NaN {part.span}")
    if ends.isinf().any():
        frozen.limited[site.key] = channels_last(torch.from_numpy(leaving))


def _check_output(name: str, output: NDArray[Any], part: Batch) -> None:
    if output.dtype.kind == "f" and not np.isfinite(output).all():
        raise not_finite(f"output {name!r}", f"NaN or infinity {part.span}")


def unless_infinite(run: Callable[[], T]) -> T | None:
    """What a run of a network gives; None where a value of it is not finite.

    Raises:
        SimulationError: Any but S005.
    """
    try:
        return run()
    except SimulationError as error:
        if error.code != "S005":
            raise
        return None


def not_finite(where: str, found: str) -> SimulationError:
    """S005."""
    return SimulationError("S005", f"{where} of the quantized network", found)
