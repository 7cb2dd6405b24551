"""What every site's own error makes of the outputs: an order of sites that needs no trial runs.

An attribution shares out the error that is there. Where the network has fallen, or where errors
cancel, its largest shares need not be the sites whose repair restores most. The energy of what a
site's own error makes of the outputs, to first order near the float network, is not moved by what
the other sites do. It takes no run for each site: see ``lostbits.runtime.random_signs``.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from lostbits.case import Case
from lostbits.data import Batch, Source
from lostbits.diagnoses.cancelling import corrected
from lostbits.graph.instrument import with_outputs
from lostbits.graph.queries import name_of
from lostbits.runtime.calibration import Arrays
from lostbits.runtime.compare_networks import observe
from lostbits.runtime.executor import Executor
from lostbits.runtime.measured import measured
from lostbits.runtime.metrics import Value
from lostbits.runtime.path_gradients import slopes
from lostbits.runtime.random_signs import roots_of_weights, signed
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Frozen, Simulation

RANKED = 16  # samples that an order is made of
# An estimate of so many draws is off by a factor of about sqrt(2 / draws). A batch adds up its
# samples within one draw, so that smaller ones tell more at the same price: 16 samples in batches
# of 4 draw 16 times, 1.3 dB.
_PROBES, _BATCH = 4, 4


def most_felt(case: Case, source: Source, batch: int = _BATCH) -> list[str]:
    """Keys of the sites, those first whose own errors do most to the outputs.

    A weight and the correction in its bias come one after the other. See ``own_effects``.
    """
    effects, pairs = own_effects(case, source, batch), corrected(case)
    leaders = {key: pairs.get(key, key) for key in effects}
    return sorted(effects, key=lambda key: (-effects[key], leaders[key], key in pairs, key))


def own_effects(case: Case, source: Source, batch: int = _BATCH) -> dict[str, float]:
    """Energy of what each site's own error makes of the outputs, against that of the outputs.

    A weight and the correction in its bias have one effect, of both together: they are made to
    cancel. Where no gradient passes, it is the energy of the error against that of its tensor.
    Sites behind a choice among candidates, where nothing is compared, have none.

    Args:
        case: Its ``output_energy`` is what the outputs are measured against.
        source: Samples.
        batch: So many run at a time, at most.
    """
    sites, case = case.attributed_sites, measured(case)
    executor = Executor(case.model, case.attributed_sites)
    random = torch.Generator().manual_seed(0)
    energies: dict[str, float] = defaultdict(float)
    ratios: dict[str, float] = defaultdict(float)
    for part in source.batches(min(batch, _BATCH)):
        frozen, own = own_errors(case, part)
        _add(ratios, own)
        plain = _floats(observe(executor, part))
        if not executor.opaque:
            _add(energies, _felt(case, executor, part, frozen, plain, random))
    chosen, pairs = (ratios, {}) if executor.opaque else (energies, corrected(case))
    return {site.key: chosen[pairs.get(site.key, site.key)] for site in sites}


def _add(sums: dict[str, float], parts: Mapping[str, float]) -> None:
    for key, part in parts.items():
        sums[key] += part


def _felt(
    case: Case,
    executor: Executor,
    part: Batch,
    frozen: Frozen,
    plain: Sequence[torch.Tensor],
    random: torch.Generator,
) -> dict[str, float]:
    """Energies of one batch."""
    value = Value("nsr", case.output_energy, case.samples, case.compared)
    roots, pairs = roots_of_weights(value, plain, part), corrected(case)

    def of_outputs(outputs: list[torch.Tensor]) -> torch.Tensor:
        return signed(_floats([part.real(output) for output in outputs]), roots, random)

    found: dict[str, float] = defaultdict(float)
    for _ in range(_PROBES):
        done: dict[str, float] = defaultdict(float)
        for (key, kind), slope in slopes(executor, part.feeds, frozen, 0.0, of_outputs).items():
            if kind == "total":
                done[pairs.get(key, key)] += float(slope.sum())
        _add(found, {key: u**2 / _PROBES for key, u in done.items()})
    return found


def _floats(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [output for output in outputs if output.is_floating_point()]


def own_errors(case: Case, part: Batch) -> tuple[Frozen, dict[str, float]]:
    """The error that every site makes of its float value, and its power over that of the value."""
    _, frozen = Simulation(case).run(part)
    floats, total = _values(case, part), dict(frozen.total)
    ratios: dict[str, float] = {}
    for site in case.attributed_sites:
        error = total[site.key].numpy()
        value = case.quantized_constant(site) - error if not site.streams else floats[site.tensor]
        if site.streams:
            error = case.plan[site.key].fake_quantize(value) - value
            total[site.key] = torch.from_numpy(np.ascontiguousarray(error, np.float32))
        power = float((value.astype(np.float64) ** 2).sum())
        ratios[site.key] = float((error.astype(np.float64) ** 2).sum()) / power if power else 0.0
    return replace(frozen, total=total, clip={}, limited={}), ratios


def _values(case: Case, part: Batch) -> Arrays:
    inputs = {name_of(v) for v in case.model.graph.inputs}
    names = [t for t in _streamed(case) if t not in inputs]
    if not names:
        return dict(part.feeds)
    return {**part.feeds, **Session(with_outputs(case.model, names)).run(part.feeds)}


def _streamed(case: Case) -> Iterator[str]:
    yield from dict.fromkeys(s.tensor for s in case.sites if s.streams)
