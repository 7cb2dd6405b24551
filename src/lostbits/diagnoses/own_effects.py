"""What every site's own error makes of the outputs: an order of sites that needs no trial runs.

An attribution shares out the error that is there. Where the network has fallen, or where errors
cancel, its largest shares need not be the sites whose repair restores most. The energy of what a
site's own error makes of the outputs, to first order near the float network, is not moved by what
the other sites do. It takes no run for each site: see ``lostbits.runtime.random_signs``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

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
from lostbits.runtime.path_gradients import slopes_of_each
from lostbits.runtime.random_signs import roots_of_weights, signed
from lostbits.runtime.session import Session
from lostbits.runtime.simulation import Frozen, Simulation

RANKED = 16  # samples that an order is made of
# An estimate of so many draws is off by a factor of about sqrt(2 / draws). A batch adds up its
# samples within one draw, so that smaller ones need fewer draws each: 16 samples draw 16 times in
# batches of any size, 1.3 dB. Few samples draw 4 times a batch at most.
_PROBES, _BATCH, _DRAWS = 4, 4, 16


def most_felt(case: Case, source: Source, batch: int = _BATCH) -> list[list[str]]:
    """Two orders of the sites: by what their own errors do to the outputs, and to their tensors.

    A weight and the correction in its bias come one after the other. See ``own_effects``.
    """
    pairs = corrected(case)
    return [ordered(scores, pairs) for scores in _effects(case, source, batch)]


def ordered(scores: Mapping[str, float], pairs: Mapping[str, str]) -> list[str]:
    """Keys of the sites, the largest score first; those of a pair one after the other.

    Args:
        scores: By site key.
        pairs: Keys of biases that hold corrections to those of the weights.
    """
    leaders = {key: pairs.get(key, key) for key in scores}
    return sorted(scores, key=lambda key: (-scores[key], leaders[key], key in pairs, key))


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
    return _effects(case, source, batch)[0]


def _effects(case: Case, source: Source, batch: int) -> tuple[dict[str, float], dict[str, float]]:
    """Energies of what errors make of the outputs, and of the errors against their tensors'."""
    sites, case, size = case.attributed_sites, measured(case), min(batch, _BATCH)
    draws = ceil(_DRAWS * size / len(source))
    errors, felt = OwnErrors(case), _Felt(case, min(draws, _PROBES))
    ratios: dict[str, float] = defaultdict(float)
    for part in source.batches(size):
        frozen, own = errors.of(part)
        _add(ratios, own)
        felt.update(part, frozen)
    chosen, pairs = (ratios, {}) if felt.executor.opaque else (felt.energies, felt.pairs)
    together = {site.key: felt.pairs.get(site.key, site.key) for site in sites}
    return (
        {site.key: chosen[pairs.get(site.key, site.key)] for site in sites},
        {key: ratios[leader] for key, leader in together.items()},
    )


def _add(sums: dict[str, float], parts: Mapping[str, float]) -> None:
    for key, part in parts.items():
        sums[key] += part


@final
class _Felt:
    """Energies of what errors make of the outputs, batch by batch; of pairs under the weight."""

    def __init__(self, case: Case, probes: int) -> None:
        self.executor, self.probes = Executor(case.model, case.attributed_sites), probes
        self.value = Value("nsr", case.output_energy, case.samples, case.compared)
        self.pairs, self.random = corrected(case), torch.Generator().manual_seed(0)
        self.energies: dict[str, float] = defaultdict(float)

    def update(self, part: Batch, frozen: Frozen) -> None:
        """Add a batch; nothing where no gradient passes."""
        plain = floats(observe(self.executor, part))
        if self.executor.opaque:
            return
        roots = roots_of_weights(self.value, plain, part)

        def of_outputs(outputs: list[torch.Tensor]) -> torch.Tensor:
            real = floats([part.real(output) for output in outputs])
            return signed(real, roots, self.random)

        probes = [of_outputs] * self.probes
        for found in slopes_of_each(self.executor, part.feeds, frozen, 0.0, probes):
            done: dict[str, float] = defaultdict(float)
            for (key, kind), slope in found.items():
                if kind == "total":
                    done[self.pairs.get(key, key)] += float(slope.sum())
            _add(self.energies, {key: u**2 / self.probes for key, u in done.items()})


def floats(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Those outputs that are numbers with a fraction: only they have an error."""
    return [output for output in outputs if output.is_floating_point()]


@final
class OwnErrors:
    """The error that every site makes of its float value, batch by batch."""

    def __init__(self, case: Case) -> None:
        self.case, self.simulation = case, Simulation(case)
        inputs = {name_of(v) for v in case.model.graph.inputs}
        streamed = dict.fromkeys(s.tensor for s in case.sites if s.streams)
        names = [tensor for tensor in streamed if tensor not in inputs]
        self.session = Session(with_outputs(case.model, names)) if names else None

    def of(self, part: Batch) -> tuple[Frozen, dict[str, float]]:
        """The errors, and the power of each over that of the value, by site key."""
        _, frozen = self.simulation.run(part)
        floats, total = self._values(part), dict(frozen.total)
        ratios: dict[str, float] = {}
        for site in self.case.attributed_sites:
            error = total[site.key].numpy()
            if site.streams:
                value = floats[site.tensor]
                error = self.case.plan[site.key].fake_quantize(value) - value
                total[site.key] = torch.from_numpy(np.ascontiguousarray(error, np.float32))
            else:
                value = self.case.quantized_constant(site) - error
            power = _power(value)
            ratios[site.key] = _power(error) / power if power else 0.0
        return replace(frozen, total=total, clip={}, limited={}), ratios

    def _values(self, part: Batch) -> Arrays:
        found = {} if self.session is None else self.session.run(part.feeds)
        return {**part.feeds, **found}


def _power(values: NDArray[Any]) -> float:
    return float((values.astype(np.float64) ** 2).sum())
