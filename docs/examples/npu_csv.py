"""An exporter: one line of CSV for each tensor, for a platform with uint8 per tensor."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import final

from lostbits.case import Case
from lostbits.errors import ExportError
from lostbits.exporter import Exporter, Files, Kind, Takes
from lostbits.graph.site import Site
from lostbits.grid import Grid
from lostbits.reader import Parameters, Reading

_UINT8 = frozenset({"uint8"})
_FILE = "parameters.csv"


@final
class NpuCsv(Exporter):
    """Name, scale and zero point; what the platform cannot take is refused before writing."""

    name = "npu-csv"
    title = "CSV of our NPU"
    files = (_FILE,)
    takes: Mapping[Kind, Takes] = {"activation": Takes(_UINT8), "weight": Takes(_UINT8)}
    otherwise: Mapping[Kind, str] = {"bias": "the NPU rounds the bias to s_x * s_w itself"}

    def render(self, case: Case, sites: Sequence[Site]) -> Files:
        """One file; ``repr`` of a float gives all of its digits."""
        text = io.StringIO(newline="")
        rows = csv.writer(text, lineterminator="\n")
        for site in sites:
            affine = case.plan[site.key]
            rows.writerow((site.tensor, repr(float(affine.scale)), int(affine.zero_point)))
        return {_FILE: text.getvalue().encode()}

    def read(self, files: Files) -> Parameters:
        """The same parameters back, which is how the tests know that nothing was lost."""
        reading = Reading(self.name)
        for tensor, scale, zero in csv.reader(io.StringIO(files[_FILE].decode())):
            reading.add(tensor, Grid.of(8, signed=False), float(scale), int(zero))
        return reading.parameters()

    def concerns(self, case: Case, sites: Sequence[Site]) -> list[ExportError]:
        """None beyond the table: names, widths and symmetry are checked from ``takes``."""
        return []
