"""The plan itself, complete: what every other format can be made from."""

import json
from collections.abc import Mapping, Sequence
from typing import final

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, Files, Kind, Takes, site_rows
from lostbits.graph.site import Site
from lostbits.grid import Grid
from lostbits.reader import Parameters
from lostbits.readers.plan import FORMAT, Plan

_EVERY = frozenset(
    Grid.of(bits, signed=signed).name for bits in range(2, 33) for signed in (True, False)
)


@final
class Json(Exporter):
    """Every site with its grid, scale, zero point, axis and ends; numbers are exact."""

    name = "json"
    title = "lostbits plan (JSON), complete"
    files = ("plan.json",)
    takes: Mapping[Kind, Takes] = {
        kind: Takes(_EVERY, per_channel="any") for kind in ("activation", "weight", "bias")
    }
    otherwise: Mapping[Kind, str] = {}

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """One file."""
        plan = {
            "format": FORMAT,
            "target": case.target.name,
            "sites": site_rows(case, sites),
            "float": {t: str(why) for t, why in self.left_out(case).items()},
        }
        return {self.files[0]: (json.dumps(plan, indent=1) + "\n").encode()}

    def read(self, files: Files) -> Parameters:
        """See readers.plan."""
        return Plan().read(files[self.files[0]])

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """None: the file is not for a platform."""
        return []
