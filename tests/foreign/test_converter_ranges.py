"""Encodings as their converter takes them: what it passes over, and what it plans itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from exported_nets import net
from lostbits.case import Case
from lostbits.data import Source
from lostbits.exporters import exporter
from lostbits.foreign.adopt_plan import adopt
from lostbits.foreign.converter_ranges import note_of_gaps
from lostbits.foreign.file import Foreign, read_foreign
from runs import planned
from text_models import random

DATA = random(40, 4, 6, 6)


def doubled(folder: Path, target: str) -> tuple[Source, Case, Foreign]:
    """A case, and encodings of twice its scales."""
    path, out = folder / "float.onnx", folder / "x.encodings"
    ir.save(net(), path)
    source, case = planned(path, DATA, target)
    plan = {key: replace(a, scale=2 * a.scale) for key, a in case.plan.items()}
    member = exporter("encodings-1.0.0")
    out.write_bytes(member.write(replace(case, plan=plan))[member.files[0]])
    return source, case, read_foreign(out)


def named_otherwise(file: Foreign, left: set[str], listed: tuple[str, ...] = ()) -> Foreign:
    entries = tuple(e for e in file.parameters.entries if e.tensor not in left)
    parameters = replace(file.parameters, entries=entries, constants=listed)
    return replace(file, parameters=parameters)


@pytest.mark.parametrize("target", ["qnn-htp", "snpe"])
@pytest.mark.parametrize("misplaced", [False, True])
def test_what_the_file_does_not_name_or_misplaces_has_the_targets_range(
    target: str, misplaced: bool, tmp_path: Path
) -> None:
    source, case, file = doubled(tmp_path, target)
    tensors = [e.tensor for e in file.parameters.entries]
    named = [s for s in case.sites if s.streams and s.group == s.tensor and s.tensor in tensors]
    site = named[-1]
    changed = named_otherwise(file, set(), (site.tensor,))
    changed = changed if misplaced else named_otherwise(file, {site.tensor})
    found = adopt(case, changed, source)
    assert site.key in found.match.filled
    assert site.key not in found.match.missing
    assert np.array_equal(found.case.plan[site.key].scale, case.plan[site.key].scale)
    (note,) = note_of_gaps(found.match, found.case)
    assert repr(site.tensor) in str(note.figures["names"])


def test_other_formats_and_what_a_file_calls_float_stay_in_float(tmp_path: Path) -> None:
    source, case, file = doubled(tmp_path, "qnn-htp")
    name = file.parameters.entries[0].tensor
    key = next(s.key for s in case.sites if s.tensor == name)
    less = named_otherwise(file, {name})
    cache = replace(less, parameters=replace(less.parameters, format="ranges"))
    floats = replace(less, parameters=replace(less.parameters, floats=(name,)))
    for each in (cache, floats):
        found = adopt(case, each, source)
        assert key in found.match.missing
        assert key not in found.case.plan
