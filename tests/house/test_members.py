"""Members by name, as objects, and out of other packages, which are made here as files."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lostbits as lb
from lostbits import estimators, exporters
from lostbits import targets as built_in
from lostbits.cli import app as cli
from lostbits.errors import LostbitsError, MemberError, TargetError
from lostbits.estimator import Estimator
from lostbits.grid import affine_from_range
from lostbits.members import Members
from lostbits.targets import SNPE
from lostbits.verbs.demo import demo_files
from lostbits.verbs.export import chosen_exporters
from other_packages import FAMILIES, install

pytestmark = pytest.mark.slow

DEMO = demo_files()


WHOLE = """
from dataclasses import dataclass, replace
from typing import ClassVar
from lostbits.exporters import exporter
from lostbits.exporters.plan import Json
from lostbits.recoveries import BiasCorrection
from lostbits.estimators import Percentile
from lostbits.targets import SNPE
from lostbits.verbs.demo import demo_files
from lostbits.verbs.export import chosen_exporters

TARGET = replace(SNPE, name="theirs", qdq="their-plan")

class Half(Percentile):
    name: ClassVar[str] = "their_range"

class Bias(BiasCorrection):
    name: ClassVar[str] = "their_bias"

class Plan(Json):
    name = "their-plan"
"""


def test_members_of_another_package_are_used_by_name(site: Path, tmp_path: Path) -> None:
    points = {
        "targets": {"theirs": "their_package:TARGET"},
        "estimators": {"their_range": "their_package:Half"},
        "recoveries": {"their_bias": "their_package:Bias"},
        "exporters": {"their-plan": "their_package:Plan"},
    }
    install(site, "theirs", points, their_package=WHOLE)
    out = tmp_path / "out"
    words = [sys.executable, "-c", "from lostbits.cli.app import main; main()"]
    data = ("--data", str(DEMO["calibration"]), "--samples", "16", "--target", "theirs")
    tensor = "block3.depthwise.act.Clip"
    rest = ("--methods", "their_bias", "--set", f"{tensor}=their_range", "--export", "qdq")
    run = subprocess.run(
        [*words, "recover", str(DEMO["model"]), *data, *rest, "--out", str(out), "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(site),
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads((out / "result.json").read_text())
    assert result["target"]["name"] == "theirs"
    assert [entry["method"] for entry in result["ledger"]] == ["their_bias"]
    assert (out / "export" / "their-plan" / "plan.json").is_file()


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}


def test_members_of_another_package_are_found_from_python(site: Path) -> None:
    points = {"targets": {"theirs": "their_python:TARGET"}}
    install(site, "theirs", points, their_python=WHOLE)
    assert lb.find_target("theirs").qdq == "their-plan"
    assert built_in.MEMBERS.names == (*(t.name for t in built_in.ALL), "theirs")
    with pytest.raises(TargetError, match=r"T001: .*did you mean 'theirs'"):
        lb.find_target("their")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("raise RuntimeError('half installed')", "P001"),
        ("", "P001"),
        ("BROKEN = 3", "P002"),
        ("from lostbits.targets import SNPE as BROKEN", "P002"),
    ],
)
def test_what_cannot_be_used_is_named_and_breaks_nothing_else(
    site: Path, caplog: pytest.LogCaptureFixture, text: str, code: str
) -> None:
    module = f"broken_{abs(hash(text))}"
    install(site, "half-done", {"targets": {"broken": f"{module}:BROKEN"}}, **{module: text})
    assert lb.find_target("snpe") is SNPE
    with pytest.raises(MemberError, match=rf"{code}: .*half-done"):
        lb.find_target("broken")
    with caplog.at_level(logging.WARNING, "lostbits"):
        assert built_in.MEMBERS.all() == built_in.MEMBERS.all() == built_in.ALL
    assert [r.getMessage()[:4] for r in caplog.records] == [code]
    assert built_in.MEMBERS.broken["broken"].code == code
    shown = CliRunner().invoke(cli.app, ["targets"])
    assert shown.exit_code == 0 and f"broken: {code}" in shown.stdout


def test_a_name_belongs_to_one_member(site: Path) -> None:
    """Nothing that is installed takes the place of what is built in."""
    same = {"targets": {"snpe": "same:SNPE", "twin": "same:TWIN"}}
    text = "from dataclasses import replace\nfrom lostbits.targets import SNPE\n"
    install(site, "same", same, same=f"{text}TWIN = replace(SNPE, name='twin')\n")
    install(site, "other", {"targets": {"twin": "same:TWIN"}})
    assert lb.find_target("snpe") is SNPE
    with pytest.raises(MemberError, match=r"P003: .*brought by other and by same"):
        lb.find_target("twin")
    assert {name: e.code for name, e in built_in.MEMBERS.broken.items()} == {
        "snpe": "P003",
        "twin": "P003",
    }
    assert built_in.MEMBERS.all() == built_in.ALL


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.group)
def test_every_family_finds_names_and_objects(family: Members[Any]) -> None:
    for member in family.builtin:
        assert family.find(member.name) is member and family.find(member) is member
    with pytest.raises(LostbitsError):
        family.find("nothing of that name")
    with pytest.raises(MemberError, match="P004"):
        family.find(3)


def test_objects_stand_wherever_names_do() -> None:
    method = lb.Percentile(cut_ppm=20_000)
    wish = lb.Override("block3.depthwise.act.Clip", method=method)
    rules = replace(SNPE.activations, method=method)
    ours = replace(SNPE, name="ours", activations=rules)
    for target, wishes in ((SNPE, (wish,)), (ours, ())):
        case = lb.load(DEMO["model"], DEMO["data"], target, samples=16, overrides=wishes)
        key = "block3.depthwise.act.Clip:activation"
        seen, affine = case.seen[key].whole, case.plan[key]
        lo, hi = method(seen, affine.grid, symmetric=False)
        assert affine == affine_from_range(lo, hi, affine.grid, symmetric=False)
        assert hi < seen.hi[0]
    assert lb.diagnose(case).target.activations.method == "percentile"
    each = exporters.exporter("plan" if "plan" in exporters.MEMBERS.names else "json")
    assert chosen_exporters([each, "qdq"], SNPE)[0] is each


@pytest.mark.parametrize("member", estimators.ALL, ids=lambda m: m.name)
def test_a_target_may_have_any_method_per_channel(member: Estimator) -> None:
    """Rows with too few values take their extremes; the others are as if they stood alone."""
    rules = replace(SNPE.weights, per_channel=True, method=member.name)
    target = replace(SNPE, name="ours", weights=rules)
    case = lb.load(DEMO["model"], DEMO["data"], target, samples=8)
    met = 0
    for site in (s for s in case.sites if s.role == "weight" and s.per_channel):
        rows, affine = case.seen[site.key].channels, case.plan[site.key]
        for number, row in enumerate(rows.by_row()):
            few = row.size < member.minimum_values
            method = estimators.estimator("min_max") if few else member
            lo, hi = method(row, affine.grid, symmetric=False)
            alone = affine_from_range(lo, hi, affine.grid, symmetric=False)
            if lo < hi:
                assert np.array_equal(alone.zero_point, affine.zero_point[number])
                met += alone.scale == affine.scale[number]
    assert met > 50


def test_a_package_in_the_working_folder_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may lie there by accident, and to list a member imports it."""
    text = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nTARGET = 1\n"
    install(tmp_path, "near", {"targets": {"near": "near_by:TARGET"}}, near_by=text)
    monkeypatch.chdir(tmp_path)
    for folder in ("", str(tmp_path)):
        program = f"import sys; sys.path.insert(0, {folder!r}); import lostbits.targets as t\n"
        program += "t.MEMBERS.all(); print(t.MEMBERS.names)"
        done = subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        )
        assert "near" not in done.stdout and not (tmp_path / "ran").exists()
