"""Whether what a file has kept of a diagnosis can be sums of this very case.

A checksum tells damage from what was written, but not who has written it. What does not fit the
case would fail later, far from the file, or be added up to figures that mean nothing.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from lostbits.case import Case, constant_of
from lostbits.diagnoses.layers import TERMS, LayerSums
from lostbits.diagnoses.network import FINEST, Attributed
from lostbits.diagnoses.sites import SiteSums
from lostbits.diagnoses.worker import Measured
from lostbits.graph.queries import channels, node_name, values_by_name
from lostbits.runtime.metrics import Comparison

_KINDS = {"total", "clip", "accumulate"}


def check(measured: Measured, case: Case, samples: int) -> None:
    """Whether these can be sums of a case.

    Args:
        measured: What the file holds.
        case: What is diagnosed.
        samples: How many there are.

    Raises:
        ValueError: When keys, shapes or counts are those of something else.
    """
    _require(0 <= measured.samples <= samples, f"{measured.samples} of {samples} samples")
    _check_sites(measured.sites, case)
    _check_layers(measured.layers, case)
    _check_comparison(measured.comparison, case)
    names = {node_name(n) for n in case.model.graph}
    _require(measured.left.keys() <= names, "sums of other layers")
    if measured.attributed is not None:
        _check_attributed(measured.attributed, case, samples)
    if measured.walked is not None:
        _shaped([measured.walked.sums], (2 * len(case.attributed_sites),))


def _require(holds: bool, found: str) -> None:
    if not holds:
        raise ValueError(found)


def _shaped(arrays: Iterable[NDArray[np.generic] | None], shape: tuple[int, ...]) -> None:
    for array in arrays:
        if array is not None:
            _require(array.shape == shape, f"shape {array.shape}, not {shape}")


def _check_sites(sums: SiteSums, case: Case) -> None:
    _require(sums.keys() == {s.key for s in case.sites if s.streams}, "sums of other sites")
    _shaped((one.halves for one in sums.values()), (2, 2))


def _check_layers(sums: LayerSums, case: Case) -> None:
    names, known = {node_name(n) for n in case.model.graph}, values_by_name(case.model.graph)
    for name, one in sums.items():
        _require(name in names and one.tensor in known, f"sums of a layer {name!r}")
        _shaped([one.with_error, one.own_energy], (len(TERMS),))
        wanted = channels(known[one.tensor], 1)
        if wanted is not None:
            _shaped([one.shift], (wanted,))


def _check_comparison(found: Comparison, case: Case) -> None:
    _require((found.error is None) == (found.power is None), "an error without its power")
    _shaped([found.error, found.power], (len(case.output_energy),))
    _shaped([found.parts], (sum(len(each.parts) for each in case.compared), 6))
    _shaped([found.right], (2,))


def _check_attributed(found: Attributed, case: Case, samples: int) -> None:
    sizes = _sizes(case)
    for (key, kind), vector in found.sums.items():
        _require(key in sizes and kind in _KINDS, f"a sum of {key!r}, {kind!r}")
        size = sizes[key]
        _shaped([vector], (vector.size if size is None else size,))
    for first, gap in found.gaps.items():
        _require(0 <= first < samples, f"a batch from sample {first} on")
        _require(1 <= gap.rule <= FINEST, f"rule {gap.rule}")


def _sizes(case: Case) -> dict[str, int | None]:
    """How many channels each site has; None where that is not known beforehand."""
    known, sizes = values_by_name(case.model.graph), {}
    for site in case.error_sites:
        if site.streams:
            sizes[site.key] = channels(known[site.tensor], site.axis)
        else:
            shape = constant_of(case.model, site).shape
            sizes[site.key] = 1 if site.axis is None else shape[site.axis]
    return sizes
