"""The worked examples of docs/extend do what their pages say, and keep the laws of their kind."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator

import compare_ranges
import lostbits as lb
import shrink_rule
import six_sigma
import test_estimators
import test_exporters
import top_pair
from dead_channels import DeadChannels
from exported_nets import case_of
from lostbits.errors import ExportError
from lostbits.estimators import ALL as ESTIMATORS
from lostbits.foreign.match_names import match
from lostbits.grid import affine_from_range
from lostbits.runtime.rules import Operator
from lostbits.targets import SNPE
from lostbits.targets import target as find_target
from lostbits.verbs.demo import demo_files
from lostbits.verbs.export import chosen_exporters
from npu_csv import NpuCsv
from other_packages import install
from runs import diagnosed, planned, recovered, stored

pytestmark = pytest.mark.slow

DOCS = Path(__file__).resolve().parents[2] / "docs"
NPU = DOCS / "examples" / "npu.toml"
DEMO = demo_files()
CLIPPED = "block3.depthwise.act.Clip"  # a tensor with values beyond six standard deviations


def test_the_target_is_read_and_simulated() -> None:
    result = diagnosed(DEMO["model"], DEMO["data"], NPU, samples=32)
    assert result.target.name == "npu"
    grids = {(s.role, s.grid) for s in result.sites}
    assert {("weight", "uint8"), ("activation", "uint16")} <= grids


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_range_method_keeps_the_laws_of_all(symmetric: bool) -> None:
    member = six_sigma.SixSigma()
    for x in (np.zeros(500), np.full(500, 3.0), np.full(500, -3.0)):
        test_estimators.test_constants_are_kept(member, symmetric, x)
    for kind in test_estimators.KINDS:
        test_estimators.test_ranges_scale_and_mirror_with_the_data(member, symmetric, kind)
        test_estimators.test_ranges_stay_inside_the_extremes(member, symmetric, kind)


def test_the_range_method_prints_what_its_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    six_sigma.main()
    page = (DOCS / "extend" / "range_method.md").read_text(encoding="utf-8")
    assert f"```text\n{capsys.readouterr().out}```" in page


def test_an_installed_range_method_plans(site: Path) -> None:
    install(site, "ours", {"estimators": {"six_sigma": "six_sigma:SixSigma"}})
    wish = lb.Override(CLIPPED, method="six_sigma")
    _, case = planned(DEMO["model"], DEMO["data"], samples=32, overrides=(wish,))
    seen, affine = case.seen[f"{CLIPPED}:activation"].whole, case.plan[f"{CLIPPED}:activation"]
    lo, hi = six_sigma.SixSigma()(seen, affine.grid, symmetric=False)
    assert affine == affine_from_range(lo, hi, affine.grid, symmetric=False)
    assert hi < seen.hi[0], "the method has clipped nothing, so any other would do"


def test_the_metric_prints_what_its_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    top_pair.main()
    page = (DOCS / "extend" / "metric.md").read_text(encoding="utf-8")
    assert f"```text\n{capsys.readouterr().out}```" in page


def test_an_installed_metric_decides(site: Path) -> None:
    install(site, "ours", {"metrics": {"top_pair": "top_pair:TopPair"}})
    found = diagnosed(DEMO["model"], DEMO["data"], "snpe", samples=16, metric="top_pair")
    assert found.baseline.metric is not None and found.baseline.metric.name == "top_pair"
    assert found.baseline.metric.reference == 1


@pytest.mark.parametrize("page", sorted((DOCS / "extend").glob("*.md")), ids=lambda p: p.stem)
def test_short_programs_of_the_pages_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stored(case_of(target=SNPE), tmp_path / "recovered")
    text = page.read_text(encoding="utf-8")
    for program in re.findall(r"(?<!-->)\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(program, page.name, "exec"), {})


def test_methods_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    compare_ranges.main([])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [e.name for e in ESTIMATORS]
    assert all(line.endswith(" dB") for line in lines)


@pytest.mark.parametrize("method", ["dead_channels", DeadChannels()])
def test_an_installed_recovery_is_tried_and_wins(site: Path, method: Any) -> None:
    install(site, "ours", {"recoveries": {"dead_channels": "dead_channels:DeadChannels"}})
    samples: dict[str, Any] = {"calibration": DEMO["calibration"], "samples": 32}
    better = recovered(DEMO["model"], DEMO["data"], "snpe", methods=(method,), **samples)
    (attempt,) = better.ledger
    assert attempt.method == "dead_channels" and attempt.kept
    assert attempt.gain_db > 15
    assert attempt.predicted_gain_db > 15


def test_a_recovery_without_work_proposes_nothing() -> None:
    assert DeadChannels().consider(case_of()).change().empty


def test_the_exporter_keeps_the_laws_of_all() -> None:
    each, case = NpuCsv(), case_of(target=SNPE)
    files = each.write(case)
    assert tuple(files) == each.files
    found = match(each.read(files), case.model, case.placed)
    assert found.plan == test_exporters.written_plan(case, each)
    assert not each.lint(case)


def test_an_installed_exporter_writes(site: Path) -> None:
    install(site, "ours", {"exporters": {"npu-csv": "npu_csv:NpuCsv"}})
    (each,) = chosen_exporters(["qdq"], replace(SNPE, qdq="npu-csv"))
    assert isinstance(each, NpuCsv) and tuple(each.write(case_of(target=SNPE))) == each.files


def test_the_op_rule_is_what_the_runtime_computes() -> None:
    """Values at the limit included; and gradients pass."""
    x = torch.tensor([-2.0, -0.75, -0.5, 0.0, 0.25, 0.75, 3.0], requires_grad=True)
    node = helper.make_node("Shrink", ["x"], ["y"], lambd=0.75, bias=0.25)
    (expected,) = ReferenceEvaluator(node).run(None, {"x": x.detach().numpy()})
    operator = Operator("Shrink", {"lambd": 0.75, "bias": 0.25}, 17)
    (found,) = shrink_rule.RULES["Shrink"](operator, [x])
    np.testing.assert_array_equal(found.detach().numpy(), expected)
    (slopes,) = torch.autograd.grad(found.sum(), x)
    assert slopes.tolist() == [1, 0, 0, 0, 0, 0, 1]


def test_pages_count_the_files_that_a_newcomer_opens() -> None:
    rows = re.findall(
        r"\[[^]]*\]\((\w+)\.md\) \| (\d) \|", (DOCS / "extend" / "index.md").read_text()
    )
    assert dict(rows).keys() == {p.stem for p in (DOCS / "extend").glob("*.md")} - {"index"}
    for page, count in rows:
        listed = (DOCS / "extend" / f"{page}.md").read_text().split("## Files\n")[1]
        files = re.findall(r"^\d\. (.*)$", listed.split("\n## ")[0], re.MULTILINE)
        assert len(files) == int(count) <= 5
        paths = [path for line in files for path in re.findall(r"`((?:src|tests)/[^`]+)`", line)]
        assert all((DOCS.parent / path).is_file() for path in paths)


def test_the_exporter_refuses_what_its_platform_lacks() -> None:
    with pytest.raises(ExportError, match=r"E001: .*npu-csv.*uint8.*int8"):
        NpuCsv().write(case_of(target=find_target("tensorrt")))
