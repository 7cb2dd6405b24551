"""One side of a comparison: figures of its outputs, and of every tensor that has an error."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import cast

from lostbits.diagnoses.cancelling import by_cause, together
from lostbits.diagnoses.driver import Run
from lostbits.graph.queries import name_of
from lostbits.graph.site import Role
from lostbits.results.comparison import SideFigures, TensorError
from lostbits.results.diagnosis import Diagnosis, NetworkReport
from lostbits.results.sites import SiteReport, Standing


def side_of_run(run: Run, name: str) -> SideFigures:
    """What a run has measured."""
    network = together(run.network(), run.case)
    outputs = [name_of(v) for v in run.case.model.graph.outputs]
    names = [output for output in outputs if output in run.case.output_energy]
    return SideFigures(
        lostbits_version=version("lostbits"),
        name=name,
        samples=run.done,
        data_sha256=run.source.fingerprint(),
        metric=network.metric,
        total=network.total,
        figures=run.sums.comparison.baseline(names),
        tensors=_tensors(network, run.standings(network.total)),
    )


def side_of_diagnosis(found: Diagnosis) -> SideFigures:
    """What a result tells; nothing is measured."""
    network = found.network
    shares = {key: value / (network.total or 1.0) for key, value in network.values.items()}
    standings = {s.key: _standing(s, shares.get(s.key, 0.0)) for s in found.sites}
    return SideFigures(
        lostbits_version=found.lostbits_version,
        name=found.model.path,
        samples=found.data.samples,
        data_sha256=found.data.sha256,
        metric=network.metric,
        total=network.total,
        figures=found.baseline,
        tensors=_tensors(network, standings),
    )


def _tensors(network: NetworkReport, standings: Mapping[str, Standing]) -> list[TensorError]:
    table = by_cause(network.attributions)
    keys = dict.fromkeys([*standings, *table])
    parts = {key: key.rpartition(":") for key in keys}
    return [
        TensorError(tensor, cast("Role", role), standings.get(key), table.get(key, {}))
        for key, (tensor, _, role) in parts.items()
    ]


def _standing(site: SiteReport, share: float) -> Standing:
    return Standing(site.grid, site.lo, site.hi, site.sqnr_db, share)
