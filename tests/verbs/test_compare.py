"""Compare: a planted change is found where it was planted, closes, and gates hold."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import jsonschema
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import lostbits as lb
from lostbits.cli.app import app
from lostbits.errors import LostbitsError
from lostbits.graph.same_network import same_network
from lostbits.reporters.compared import json_text, lines, page
from lostbits.reporters.junit import junit
from lostbits.reporters.schema import comparison_schema
from lostbits.results.comparison import OutputChange
from lostbits.results.gate import Gate
from lostbits.runtime.goal import Goal
from lostbits.verbs.baseline_file import read_baseline, write_baseline
from random_nets import random_net, samples_for
from small_nets import cnn, mlp, narrowed, samples

IMAGES = samples(1, 24, 3, 16, 16)
ROWS = samples(1, 64, 6)


def planted(case: lb.Case, seed: int = 0) -> tuple[lb.Case, list[str]]:
    """Three ranges changed, far enough to be seen: two cut, one idle."""
    keys = [site.key for site in case.sites if site.role != "bias"]
    chosen = np.random.default_rng(seed).choice(len(keys), min(3, len(keys)), replace=False)
    names = [keys[i] for i in chosen]
    for key, factor in zip(names, (0.4, 3.0, 0.5), strict=False):
        case = narrowed(case, key, factor)
    return case, names


def share_of(change: OutputChange, keys: list[str]) -> float:
    return sum(t.share for t in change.tensors if f"{t.tensor}:{t.role}" in keys)


def whole(change: OutputChange) -> float:
    return sum(t.value for t in change.tensors) / (change.after - change.before)


@pytest.fixture(scope="module")
def case() -> lb.Case:
    return lb.load(mlp(1), ROWS, "snpe")


@pytest.fixture(scope="module")
def worse(case: lb.Case) -> lb.Case:
    return planted(case)[0]


# Whose the change is.


@pytest.mark.parametrize("target", ["snpe", "onnxruntime"])
@pytest.mark.parametrize("net", ["cnn 1", "cnn 2", "mlp 1", "mlp 2"])
def test_planted_tensors_carry_the_change(net: str, target: str) -> None:
    kind, seed = net.split()
    model = cnn(int(seed)) if kind == "cnn" else mlp(int(seed))
    data = IMAGES if kind == "cnn" else ROWS
    old = lb.load(model, data, target)
    new, keys = planted(old)
    change = lb.compare(old, new, data=data).output
    assert change is not None and change.way == "path"
    assert abs(change.residual) <= 0.02 and whole(change) == pytest.approx(1 + change.residual)
    assert share_of(change, keys) >= 0.9


@pytest.mark.parametrize("seed", [0, 3, 4, 7])
def test_the_change_closes_on_random_networks(seed: int) -> None:
    model = random_net(seed)
    data = samples_for(model, 16, seed)
    old = lb.load(model, data, "snpe")
    new, keys = planted(old, seed)
    found = lb.compare(old, new, data=data)
    assert found.output is not None and found.old is not None and found.new is not None
    assert abs(found.output.residual) <= 0.02
    assert found.output.before == pytest.approx(found.old.total)
    assert found.output.after == pytest.approx(found.new.total)
    back = lb.compare(new, old, data=data).output
    assert back is not None and abs(back.residual) <= 0.02
    assert share_of(found.output, keys) >= 0.9 <= share_of(back, keys)


def test_equal_sides_have_no_change(case: lb.Case) -> None:
    found = lb.compare(case, case, data=ROWS, gates=["sqnr_db>=0", "sqnr_db<=0", "codes<=0"])
    assert found.output is not None and found.output.before == found.output.after
    assert found.passed and [check.value for check in found.checks] == [0, 0, 0]


def test_a_tensor_in_float_on_one_side(case: lb.Case) -> None:
    key = next(s.key for s in case.sites if s.role == "weight")
    freed = replace(case, plan={k: a for k, a in case.plan.items() if k != key})
    change = lb.compare(case, freed, data=ROWS).output
    assert change is not None and abs(change.residual) <= 0.02
    (weight,) = [t for t in change.tensors if f"{t.tensor}:{t.role}" == key]
    assert weight.after is None and weight.what.code == "change.float" and weight.value < 0


def test_sides_of_other_float_networks_close_by_difference(tmp_path: Path) -> None:
    old = lb.load(cnn(1), IMAGES, "snpe")
    new = lb.recover(old, methods=["equalization"], out=tmp_path).case
    if same_network(old.model, new.model):
        pytest.skip("nothing was kept")
    change = lb.compare(old, tmp_path, data=IMAGES).output
    assert change is not None and change.way == "difference"
    assert whole(change) == pytest.approx(1 + change.residual)


def test_files_results_and_folders_are_sides(tmp_path: Path) -> None:
    onnx.save(mlp(1), str(tmp_path / "net.onnx"))
    old = lb.load(tmp_path / "net.onnx", ROWS, "onnxruntime")
    new, keys = planted(old)
    lb.export(old, ["qdq", "json"], tmp_path / "old")
    lb.export(new, ["qdq", "json"], tmp_path / "new")
    lb.write(lb.diagnose(new), tmp_path / "found")
    qdq = Path("qdq-onnxruntime", "model_qdq.onnx")
    olds = (tmp_path / "old" / qdq, tmp_path / "old" / "json" / "plan.json")
    news = (tmp_path / "new" / qdq, tmp_path / "found")
    told: dict[str, Any] = {"data": ROWS, "model": tmp_path / "net.onnx", "target": "onnxruntime"}
    expected = lb.compare(old, new, data=ROWS).output
    assert expected is not None
    for before in olds:
        for after in news:
            change = lb.compare(before, after, **told).output
            assert change is not None
            assert change.after - change.before == pytest.approx(
                expected.after - expected.before, rel=0.01
            )
            assert share_of(change, keys) == pytest.approx(share_of(expected, keys), rel=0.05)
    with pytest.raises(LostbitsError, match="T032"):
        lb.compare(olds[0], olds[1], data=ROWS)


# What cannot be said.


def test_without_data_only_parameters_are_told(case: lb.Case, worse: lb.Case) -> None:
    found = lb.compare(case, worse)
    assert found.output is None and len(found.changed) == 3
    assert [note.code for note in found.unsaid] == ["compared.no_data"]


def test_results_of_other_samples_are_not_compared(case: lb.Case) -> None:
    one = lb.diagnose(case)
    other = lb.diagnose(lb.load(mlp(1), samples(2, 64, 6), "snpe"))
    found = lb.compare(one, other)
    assert found.output is None and found.unsaid[-1].code == "compared.other_data"
    with pytest.raises(LostbitsError, match="T033"):
        lb.compare(one, other, gates="sqnr_db>=-0.5")
    assert lb.compare(one, other, gates="new.sqnr_db>=1").passed


# Gates and baselines.


def test_gates_bound_changes_figures_and_codes(case: lb.Case, worse: lb.Case) -> None:
    gates = ["sqnr_db>=-0.5", "new.sqnr_db>=1", "0.5", "kl<=100"]
    found = lb.compare(case, worse, data=ROWS, gates=gates)
    assert [check.met for check in found.checks] == [False, True, False, True] and not found.passed
    assert found.old is not None and found.new is not None
    moved = (found.new.figures.sqnr_db or 0) - (found.old.figures.sqnr_db or 0)
    assert found.checks[0].value == pytest.approx(moved)
    assert found.checks[1].value == found.new.figures.sqnr_db


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("sqnr>=1", "T030", "sqnr_db"),
        ("agrement>=0.9", "T030", "agreement"),
        ("sqnr_db", "T030", "sqnr_db"),
        ("sqnr_db>=1e999", "T030", "finite"),
        ("sqnr_db>=-0.5", "T031", "--data"),
        ("new.accuracy>=0.5", "T031", "--data"),
    ],
)
def test_gates_that_cannot_be_held(case: lb.Case, text: str, code: str, told: str) -> None:
    with pytest.raises(LostbitsError) as error:
        lb.compare(case, case, gates=text)
    assert error.value.code == code and told in str(error.value)


def test_a_gate_on_a_figure_that_the_network_lacks(case: lb.Case) -> None:
    with pytest.raises(LostbitsError, match="T031"):
        lb.compare(case, case, data=ROWS, gates="accuracy>=0")


def test_a_bare_number_bounds_codes() -> None:
    assert Gate.parse("0") == Gate(Goal("codes", "<=", 0.0))
    assert str(Gate.parse("new.kl<=1")) == "new.kl<=1"


def test_a_baseline_stands_for_the_old_side(case: lb.Case, worse: lb.Case, tmp_path: Path) -> None:
    live = lb.compare(case, worse, data=ROWS)
    assert live.old is not None and live.output is not None
    file = write_baseline(live.old, tmp_path / "base.json")
    assert read_baseline(file) == live.old
    content = file.read_bytes()
    assert write_baseline(live.old, file).read_bytes() == content
    found = lb.compare(file, worse, data=ROWS, gates="sqnr_db>=-0.5")
    assert not found.passed and found.output is not None and found.output.way == "difference"
    assert found.output.before == live.output.before and found.output.after == live.output.after
    with pytest.raises(LostbitsError, match="T031"):
        lb.compare(file, worse, data=ROWS, gates="codes<=1")
    with pytest.raises(LostbitsError, match="T033"):
        lb.compare(file, worse, data=samples(3, 64, 6), gates="sqnr_db>=-0.5")
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(LostbitsError, match="O011"):
        lb.compare(file, worse)


def test_goals_of_a_diagnosis(case: lb.Case, tmp_path: Path) -> None:
    found = lb.diagnose(case, goal=["sqnr_db>=1", "agreement>=1.5"])
    assert [check.met for check in found.checks] == [True, False]
    assert found.checks[0].value == found.baseline.sqnr_db
    lb.write(found, tmp_path)
    assert lb.read(tmp_path).checks == found.checks
    with pytest.raises(LostbitsError, match="T012"):
        lb.diagnose(case, goal="sqnr>=1")


# What is shown.


def test_lines_fit_a_terminal_and_json_is_whole(case: lb.Case, worse: lb.Case) -> None:
    found = lb.compare(case, worse, data=ROWS, gates="sqnr_db>=-0.5")
    assert found.output is not None
    assert max(len(line) for line, _ in lines(found)) <= 80
    content = json.loads(json_text(found))
    assert content["format"] == "lostbits-comparison/1"
    total = sum(t["value"] for t in content["output"]["tensors"])
    assert total == pytest.approx(sum(t.value for t in found.output.tensors))
    shown = page(found)
    assert found.output.tensors[0].tensor in shown and "<script" not in shown


SCHEMA = json.loads(files("lostbits").joinpath("comparison.schema.json").read_text("utf-8"))


def test_a_comparison_is_valid_by_its_schema(case: lb.Case, worse: lb.Case) -> None:
    assert comparison_schema() == SCHEMA, "run python tools/write_schema.py"
    other = lb.load(mlp(1), ROWS, "onnxruntime")  # scales per channel: infinitely many codes off
    for new, data in ((worse, ROWS), (worse, None), (case, ROWS), (other, None)):
        found = lb.compare(case, new, data=data, gates=["codes<=1"])
        jsonschema.validate(json.loads(json_text(found)), SCHEMA)


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c.pop("checks"),
        lambda c: c.update(format="lostbits-result/2"),
        lambda c: c["output"].update(way="guess"),
        lambda c: c["changed"][0].update(codes="far"),
        lambda c: c["new"]["figures"].update(colour=1),
    ],
)
def test_what_is_no_comparison_is_refused(edit: Any, case: lb.Case, worse: lb.Case) -> None:
    content = json.loads(json_text(lb.compare(case, worse, data=ROWS)))
    edit(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


def test_junit_counts_what_was_missed(case: lb.Case, worse: lb.Case) -> None:
    found = lb.compare(case, worse, data=ROWS, gates=["sqnr_db>=-0.5", "new.kl<=100"])
    root = Xml.fromstring(junit(found.checks, "lostbits compare"))
    (table,) = root
    assert (table.get("tests"), table.get("failures")) == ("2", "1")
    assert [len(each.findall("failure")) for each in table] == [1, 0]


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(mlp(1), "net.onnx")
    np.save("data.npy", ROWS)

    def run(*words: str) -> Any:
        return CliRunner().invoke(app, list(words))

    common = ("net.onnx", "--data", "data.npy", "--quiet", "--format", "json")
    first = ("--target", "snpe", "--out", "one", "--baseline-out", "base.json")
    assert run("diagnose", *common, *first, "--goal", "sqnr_db>=1").exit_code == 0
    second = ("--target", "onnxruntime", "--out", "two", "--junit", "goals.xml")
    assert run("diagnose", *common, *second, "--goal", "sqnr_db>=90").exit_code == 1
    assert "failure" in Path("goals.xml").read_text()
    gate = ("--data", "data.npy", "--gate", "sqnr_db>=90")
    files = ("--junit", "gates.xml", "--json", "c.json", "--html", "c.html")
    done = run("compare", "base.json", "two", *gate, *files)
    assert done.exit_code == 1, done.output
    assert all(Path(name).is_file() for name in ("gates.xml", "c.json", "c.html"))
    assert max(map(len, done.stdout.splitlines())) <= 80
    met = run("compare", "one", "two", "--gate", "sqnr_db>=-90", "--baseline-out", "new.json")
    assert met.exit_code == 0 and Path("new.json").is_file(), met.output
