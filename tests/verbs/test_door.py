"""The library's door: a program from end to end, what a model may be given as, wrong types."""

import html
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import onnx
import onnx_ir as ir
import pandas
import pytest
import torch
from typer.testing import CliRunner

import lostbits as lb
from lostbits import data, language
from lostbits.cli.app import app
from lostbits.errors import LostbitsError, OutputError
from lostbits.language import Language
from lostbits.results import diagnosis
from lostbits.verbs import origin
from lostbits.verbs.case_files import PLAN
from lostbits.verbs.demo import demo_files
from runs import assert_valid, figures
from small_nets import mlp, samples

pytestmark = pytest.mark.slow

DATA = samples(1, 32, 6)
SNPE = "snpe"
Make = Callable[[Path], Any]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(mlp(1), path)
    return path


@pytest.fixture(scope="module")
def case(net: Path) -> lb.Case:
    return lb.load(net, DATA, SNPE)


@pytest.fixture(scope="module")
def found(case: lb.Case) -> lb.Diagnosis:
    return lb.diagnose(case)


def nameless(found: lb.Diagnosis) -> lb.Diagnosis:
    """The figures, without what names the file."""
    model = replace(found.model, path="net", sha256=64 * "0")
    findings = [replace(finding, command="") for finding in found.findings]
    return replace(figures(found), model=model, findings=findings)


# The program.


def test_every_verb_works_on_one_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of the README, with files of these names."""
    monkeypatch.chdir(tmp_path)
    demo = demo_files()
    for name, path in (("net.onnx", "model"), ("photos.npz", "data"), ("labels.npy", "labels")):
        Path(name).write_bytes(demo[path].read_bytes())
    held = np.load(demo["data"])["image"]
    np.save("others.npy", held[-16:])

    case = lb.load("net.onnx", data="photos.npz", target=SNPE, samples=48)
    found = lb.diagnose(case, labels="labels.npy")
    better = lb.recover(case, goal="sqnr_db>=12", budget="60s", labels="labels.npy")
    written = lb.export(better.case, ["qdq", "encodings-1.0.0"], "out")
    proof = lb.verify(better.case, backend="onnxruntime-plain", data="others.npy")
    theirs = lb.inspect("out/qdq-onnxruntime/model_qdq.onnx", model="net.onnx")
    change = lb.compare(case, better.case)
    pages = lb.write(found, "out", ["html"])

    assert better.goal_met and better.after.sqnr_db is not None
    assert better.after.sqnr_db >= 12 > (better.before.sqnr_db or 0)
    assert any(attempt.kept for attempt in better.ledger)
    assert {each.format for each in written} == {"qdq-onnxruntime", "encodings-1.0.0"}
    assert all(file.path.is_file() for each in written for file in each.files)
    assert proof.passed and proof.samples == 16 and proof.max_abs == 0
    assert theirs.match is not None and theirs.match.plan
    assert change.same + len(change.changed) > 0 and change.codes > 0
    assert pages == [Path("out/report.html")] and pages[0].is_file()
    for result in (found, better.report):
        assert_valid(result)


def test_a_recovery_s_folder_is_a_case_again(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(mlp(2), path)
    case = lb.load(path, DATA, SNPE)
    better = lb.recover(case, methods=("equalization", "bias_correction"), out=tmp_path / "out")
    again = lb.load(tmp_path / "out", DATA)
    assert again.plan == better.case.plan
    assert again.written.keys() == better.case.written.keys()
    assert all(np.array_equal(again.written[n], w) for n, w in better.case.written.items())
    baseline = lb.diagnose(again).baseline
    assert baseline.sqnr_db == pytest.approx(lb.diagnose(better.case).baseline.sqnr_db, abs=1e-9)
    assert lb.compare(better, tmp_path / "out").codes == 0


# What a model may be given as.


WAYS: dict[str, Make] = {
    "text": str,
    "ModelProto": onnx.load,
    "ir.Model": ir.load,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_model_in_memory_is_the_file(net: Path, found: lb.Diagnosis, way: str) -> None:
    other = lb.diagnose(lb.load(WAYS[way](net), DATA, SNPE))
    assert nameless(other) == nameless(found)
    assert_valid(other)


def test_a_model_in_memory_stays_as_it_is(net: Path) -> None:
    proto, model = onnx.load(net), ir.load(net)
    nodes = list(proto.graph.node)[::-1]  # which loading sorts
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    before = proto.SerializeToString(deterministic=True)
    for each in (proto, model):
        lb.recover(lb.load(each, DATA, SNPE), methods=["equalization"])
    assert proto.SerializeToString(deterministic=True) == before
    assert ir.to_proto(model).SerializeToString() == ir.to_proto(ir.load(net)).SerializeToString()


def test_its_own_file_as_a_plan_gives_the_same_figures(
    net: Path, case: lb.Case, found: lb.Diagnosis, tmp_path: Path
) -> None:
    lb.export(case, "qdq", tmp_path)
    file = tmp_path / "qdq-onnxruntime" / "model_qdq.onnx"
    other = lb.load(net, DATA, SNPE, plan=file)
    assert other.plan == case.plan and not other.written
    theirs = lb.diagnose(other)
    assert theirs.plan is not None and theirs.plan.sqnr_db_vs_file is None
    assert (theirs.sites, theirs.layers) == (found.sites, found.layers)
    assert (theirs.network, theirs.baseline) == (found.network, found.baseline)


class Block(torch.nn.Module):
    """A convolution with its activation, and a way around it."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = torch.relu(self.mix(x))
        return mixed + x


def module() -> torch.nn.Module:
    torch.manual_seed(0)
    head = (torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(48, 5))
    return torch.nn.Sequential(Block(), Block(), *head)


IMAGES = samples(3, 24, 3, 4, 4)


@pytest.fixture(scope="module")
def by_torch(tmp_path_factory: pytest.TempPathFactory) -> lb.Diagnosis:
    """The diagnosis of what torch's own exporter writes."""
    path = tmp_path_factory.mktemp("torch") / "net.onnx"
    axes = ({0: torch.export.Dim.DYNAMIC},)
    options: dict[str, Any] = {"dynamo": True, "opset_version": 20, "dynamic_shapes": axes}
    shown = torch.from_numpy(IMAGES[:2])
    exported = torch.onnx.export(module().eval(), (shown,), verbose=False, **options)
    assert exported is not None
    onnx.save(exported.model_proto, path)
    return lb.diagnose(lb.load(path, IMAGES, SNPE))


@pytest.mark.filterwarnings("ignore")
def test_a_torch_module_is_what_its_export_is(by_torch: lb.Diagnosis) -> None:
    network = module().train()
    found = lb.diagnose(lb.load(network, IMAGES, SNPE))
    assert nameless(found) == nameless(by_torch)
    assert network.training, "it is left as it was"
    assert {"0.mix.weight", "1.mix.weight", "4.weight"} <= {s.tensor for s in found.sites}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("given", ["tensor", "dict", "inputs"])
def test_sample_inputs_of_a_module_come_from_data_or_by_name(
    by_torch: lb.Diagnosis, given: str
) -> None:
    data: dict[str, Any] = {"tensor": torch.from_numpy(IMAGES), "dict": {"input": IMAGES}}
    shown = (torch.from_numpy(IMAGES[:2]),) if given == "inputs" else None
    told = data.get(given, list(np.split(IMAGES, 3)))
    case = lb.load(module(), told, SNPE, example_inputs=shown)
    assert lb.diagnose(case).baseline == by_torch.baseline


@pytest.mark.filterwarnings("ignore")
def test_an_exported_program_is_its_module(by_torch: lb.Diagnosis) -> None:
    axes = ({0: torch.export.Dim.DYNAMIC},)
    shown = (torch.from_numpy(IMAGES[:2]),)
    program = torch.export.export(module().eval(), shown, dynamic_shapes=axes)
    found = lb.diagnose(lb.load(program, IMAGES, SNPE))
    assert found.baseline.sqnr_db == pytest.approx(by_torch.baseline.sqnr_db, abs=1e-6)
    assert len(found.sites) == len(by_torch.sites)


# What torch cannot export.


@torch.library.custom_op("lostbits_tests::strange", mutates_args=())
def strange(x: torch.Tensor) -> torch.Tensor:
    """An op that no exporter knows."""
    return x.clone()


@strange.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


class Strange(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = strange(x) + 1
        return found


class Breaking(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("no such branch")


def refused(model: Any, data: Any = IMAGES) -> LostbitsError:
    with pytest.raises(LostbitsError) as info:
        lb.load(model, data, SNPE)
    return info.value


@pytest.mark.filterwarnings("ignore")
def test_an_op_that_torch_cannot_export_is_named() -> None:
    error = refused(Strange())
    assert error.code == "M016"
    assert "lostbits_tests.strange" in str(error) and "Strange" in str(error)


@pytest.mark.filterwarnings("ignore")
def test_a_module_that_fails_is_quoted() -> None:
    error = refused(Breaking())
    assert error.code == "M016" and "no such branch" in str(error)


def test_a_module_without_sample_inputs_is_refused() -> None:
    assert refused(module(), iter([IMAGES[:4]])).code == "M015"


@pytest.mark.filterwarnings("ignore")
def test_a_missing_exporter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)

    def lacking(*_: Any, **__: Any) -> None:
        import onnxscript  # noqa: F401

    monkeypatch.setattr(torch.onnx, "export", lacking)
    error = refused(module())
    assert error.code == "M017"
    assert "onnxscript" in str(error) and "lostbits[torch]" in str(error)


# Once each.

_COUNTED = """
import os, sys
from collections import Counter
opened = Counter()
def count(event, told):
    if event == "open":
        opened[os.path.basename(str(told[0]))] += 1
sys.addaudithook(count)
from lostbits.cli import app as cli
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
print(opened["net.onnx"], opened["model_qdq.onnx"], opened["labels.npy"])
"""


def test_model_plan_and_labels_are_read_once(net: Path, case: lb.Case, tmp_path: Path) -> None:
    """In ``diagnose --plan`` without ``--target``, which must fit one to the plan.

    The first bytes of the model are looked at twice more, by the same check: on the command line
    before any runtime is imported, and in ``load``, which callers from Python come to directly.
    """
    lb.export(case, "qdq", tmp_path)
    np.save(tmp_path / "data.npy", DATA)
    np.save(tmp_path / "labels.npy", np.zeros(len(DATA), int))
    named = {"--data": "data.npy", "--plan": "qdq-onnxruntime/model_qdq.onnx"}
    named |= {"--labels": "labels.npy", "--format": "json"}
    words = [word for pair in named.items() for word in pair]
    command = [sys.executable, "-c", _COUNTED, "diagnose", str(net), *words, "--quiet"]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 300}
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, cwd=tmp_path, check=False, env=paths, **options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3", "1", "1"]


def test_each_source_of_data_is_opened_once(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its samples are read anew in every pass, a few megabytes at a time."""
    opened: list[object] = []
    known = data.open_source

    def counting(given: object, *rest: Any, **more: Any) -> Any:
        opened.append(given)
        return known(given, *rest, **more)

    monkeypatch.setattr(origin, "open_source", counting)
    case = lb.load(net, DATA[:16], SNPE, calibration=DATA[16:])
    lb.diagnose(case)
    lb.verify(lb.recover(case, methods=["bias_correction"]).case, "onnxruntime-plain")
    assert len(opened) == 2


# Words steer nothing.


def reworded(code: str, text: str) -> str:
    """The code and the gaps of a text."""
    gaps = sorted(set(re.findall(r"\{(\w+)\}", text)))
    return " ".join([code, *(f"{{{gap}}}" for gap in gaps)])


def numbers(value: Any) -> Any:
    """Everything but texts."""
    if isinstance(value, language.Message):
        return value.code
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: numbers(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {key: numbers(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [numbers(each) for each in value]
    return value


def test_other_words_leave_every_figure_as_it_is(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs() -> tuple[lb.Diagnosis, lb.Recovery]:
        case = lb.load(net, DATA, SNPE)
        methods = ("equalization", "absorption", "splitting", "ranges", "second_order")
        return lb.diagnose(case), lb.recover(case, methods=methods)

    plain = runs()
    words = {c: reworded(c, t) for c, t in language.catalogue(Language.ENGLISH).items()}
    monkeypatch.setattr(language, "catalogue", lambda _: words)
    others = runs()
    assert str(others[0].verdict).startswith(f"{others[0].verdict.code} ")
    assert figures(others[0]) == figures(plain[0])
    assert others[1].ledger
    assert numbers(figures(others[1].report)) == numbers(figures(plain[1].report))
    assert others[1].case.plan == plain[1].case.plan


# Samples, labels, and what differs.


def test_labels_are_those_of_the_whole_data(net: Path) -> None:
    """Of the first samples, and of the last half of few, which judges: the same as by hand."""
    labels = np.arange(len(DATA)) % 4
    first = lb.diagnose(lb.load(net, DATA, SNPE, samples=12), labels=labels)
    assert first.baseline == lb.diagnose(lb.load(net, DATA[:12], SNPE), labels=labels[:12]).baseline
    split = lb.load(net, DATA, SNPE, hold_out=True)
    by_hand = lb.load(net, DATA[16:], SNPE, calibration=DATA[:16])
    methods = ["bias_correction"]
    one, other = (
        lb.recover(each, methods=methods, labels=given)
        for each, given in ((split, labels), (by_hand, labels[16:]))
    )
    assert (one.before, one.after) == (other.before, other.after)
    late = lb.recover(lb.load(net, DATA, SNPE), methods=methods, labels=labels)
    assert (late.before, late.after) == (one.before, one.after)


def test_fewer_samples_are_verified_where_that_is_asked(case: lb.Case) -> None:
    assert lb.verify(case, "onnxruntime-plain", samples=5).samples == 5
    assert lb.verify(case, "onnxruntime-plain").samples == len(DATA)


def test_what_differs_is_told_in_codes(case: lb.Case, found: lb.Diagnosis, tmp_path: Path) -> None:
    assert lb.compare(case, found).codes == 0 == lb.compare(found, case).codes
    lb.export(case, "json", tmp_path)
    assert lb.compare(tmp_path / "json" / "plan.json", case).same == len(case.plan)
    key = "x:activation"
    wide = replace(case.plan[key], scale=2 * case.plan[key].scale)
    change = lb.compare(case, replace(case, plan={**case.plan, key: wide}))
    (moved,) = change.changed
    grid, zero = wide.grid, int(wide.zero_point)
    assert moved.tensor == "x" and change.same == len(case.plan) - 1
    assert moved.codes == pytest.approx(max(zero - grid.qmin, grid.qmax - zero), rel=1e-6)
    less = lb.compare(case, replace(case, plan={k: a for k, a in case.plan.items() if k != key}))
    assert (less.only_old, less.codes) == (["x"], float("inf"))


# Wrong types.

WRONG: dict[str, tuple[Callable[[lb.Case, lb.Diagnosis], Any], str, str]] = {
    "load: model": (lambda c, f: lb.load(3, DATA), "T018", "torch module"),
    "load: data": (lambda c, f: lb.load(mlp(1), 3), "D003", "array"),
    "load: target": (lambda c, f: lb.load(mlp(1), DATA, any_(3)), "T018", "Target"),
    "load: plan": (lambda c, f: lb.load(mlp(1), DATA, plan=any_(3)), "T018", "Path"),
    "load: samples": (lambda c, f: lb.load(mlp(1), DATA, samples=any_("8")), "T018", "int"),
    "load: few samples": (lambda c, f: lb.load(mlp(1), DATA, samples=-1), "T017", "between"),
    "load: examples": (
        lambda c, f: lb.load(mlp(1), DATA, example_inputs=[DATA]),
        "T018",
        "torch module",
    ),
    "load: overrides": (lambda c, f: lb.load(mlp(1), DATA, overrides=any_([3])), "T018", "str"),
    "diagnose: case": (lambda c, f: lb.diagnose(any_("net.onnx")), "T018", "Case"),
    "diagnose: no case": (lambda c, f: lb.diagnose(replace(c, origin=None)), "T018", "load"),
    "diagnose: metric": (lambda c, f: lb.diagnose(c, metric=any_(3)), "T018", "str"),
    "recover: case": (lambda c, f: lb.recover(any_(f)), "T018", "Case"),
    "recover: goal": (lambda c, f: lb.recover(c, goal=any_(20)), "T018", "Goal"),
    "recover: inputs": (lambda c, f: lb.recover(c, inputs="flota"), "T010", "float"),
    "export: case": (lambda c, f: lb.export(any_(f), "qdq", "out"), "T018", "Case"),
    "export: formats": (lambda c, f: lb.export(c, any_(3), "out"), "T018", "str"),
    "verify: case": (lambda c, f: lb.verify(any_(3)), "T018", "Case"),
    "verify: backend": (lambda c, f: lb.verify(c, backend=any_(3)), "T018", "Backend"),
    "verify: against": (lambda c, f: lb.verify(c, against=any_(3)), "T018", "Model"),
    "inspect: path": (lambda c, f: lb.inspect(any_(c)), "T018", "Path"),
    "inspect: model": (lambda c, f: lb.inspect("x.onnx", model=any_(3)), "T018", "ModelProto"),
    "compare": (lambda c, f: lb.compare(c, any_(3)), "T018", "Diagnosis"),
    "write: result": (lambda c, f: lb.write(any_(c), "out"), "T018", "Recovery"),
    "write: folder": (lambda c, f: lb.write(f, any_(3)), "T018", "Path"),
    "read": (lambda c, f: lb.read(any_(3)), "T018", "Path"),
}


def any_(value: object) -> Any:
    """A value that no type checker looks at."""
    return value


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_type_is_told_what_is_taken(
    name: str,
    case: lb.Case,
    found: lb.Diagnosis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    call, code, takes = WRONG[name]
    with pytest.raises(LostbitsError) as info:
        call(case, found)
    assert info.value.code == code
    assert takes in str(info.value)
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_numbers(net: Path) -> None:
    case = lb.load(net, DATA, SNPE, samples=np.int64(8), batch=np.int32(4))  # type: ignore[arg-type]
    assert case.samples == 8


def test_a_case_without_data_measures_nothing(case: lb.Case, tmp_path: Path) -> None:
    better = lb.recover(case, methods=["bias_correction"], out=tmp_path)
    assert lb.export(lb.load(tmp_path), "json", tmp_path / "out")
    with pytest.raises(LostbitsError, match="D036"):
        lb.diagnose(lb.load(tmp_path))
    with pytest.raises(LostbitsError, match="T019"):
        lb.load(tmp_path, DATA, plan=tmp_path / PLAN)
    for without_effect in ({"calibration": DATA}, {"hold_out": True}, {"overrides": ["x=8bit"]}):
        with pytest.raises(LostbitsError, match=f"T019: argument {next(iter(without_effect))}"):
            lb.load(tmp_path, DATA, **without_effect)
    assert better.case.plan


def test_a_folder_of_another_form_is_refused_with_both_versions(
    case: lb.Case, tmp_path: Path
) -> None:
    lb.recover(case, methods=["bias_correction"], out=tmp_path)
    plan = json.loads((tmp_path / PLAN).read_text())
    plan["case"] = {"format": 7, "lostbits": "9.8.7"}
    (tmp_path / PLAN).write_text(json.dumps(plan))
    with pytest.raises(OutputError) as info:
        lb.load(tmp_path)
    assert info.value.code == "O010"
    for part in ("9.8.7", "format 7", f"lostbits {lb.__version__}"):
        assert part in str(info.value)


# How results look.


def test_sites_make_a_table(found: lb.Diagnosis) -> None:
    table = pandas.DataFrame(found.sites)
    assert len(table) == len(found.sites)
    assert list(table["tensor"]) == [site.tensor for site in found.sites]
    assert list(table["mse"]) == [site.mse for site in found.sites]


def test_representations_fit_a_line(case: lb.Case, found: lb.Diagnosis) -> None:
    better = lb.recover(case, methods=["bias_correction"])
    proof, change = lb.verify(case, "onnxruntime-plain"), lb.compare(case, better)
    for result in (case, found, better, proof, change):
        shown = repr(result)
        assert len(shown) <= 200 and "\n" not in shown, shown
        assert shown.startswith("<")


def test_a_notebook_shows_the_first_screen_and_no_markup_of_names(found: lb.Diagnosis) -> None:
    first, ill = found.findings[0], replace(found, judgement=None)
    page = ill._repr_html_()
    assert str(found.verdict) in page and html.escape(first.command) in page
    assert found.healthy and html.escape(first.command) not in found._repr_html_()
    hostile = replace(first, text=language.verbatim("<script>"), command="<b>")
    page = replace(ill, findings=[hostile])._repr_html_()
    assert "<script>" not in page and "<b></code>" not in page


# What the types say of themselves.

# Names that say by themselves what they hold; all others have a line of their own.
OBVIOUS = {
    *("axis", "backend", "bits", "coherence", "cause", "clip", "code", "command", "coverage"),
    *("created", "data", "format", "grid", "group", "hi", "lo", "layers", "metadata", "metric"),
    *("model", "mse", "mse_clip", "mse_dead_zone", "mse_round", "name", "node", "nodes", "notes"),
    *("op", "outputs", "inputs", "path", "precision", "role", "round", "samples", "scale"),
    *("seconds", "sha256", "sqnr_db", "target", "tensor", "text", "title", "version"),
    *("zero_point", "lostbits_version", "source", "histogram", "trade_off", "stability"),
    *("lost_bits", "effective_bits", "network", "findings", "kept", "note", "before", "after"),
    *("error", "value", "bits_left", "reason", "share", "interrupted", "weights", "activations"),
}


def types_of(kind: Any, seen: set[Any]) -> set[Any]:
    """All dataclasses that a result is made of."""
    if is_dataclass(kind) and kind not in seen:
        seen.add(kind)
        for inner in get_type_hints(kind).values():
            types_of(inner, seen)
    for part in get_args(kind):
        types_of(part, seen)
    return seen


@pytest.mark.parametrize("kind", sorted(types_of(diagnosis.Diagnosis, set()), key=str))
def test_every_field_says_what_it_is(kind: Any) -> None:
    schema = json.loads(files("lostbits").joinpath("result.schema.json").read_text("utf-8"))
    fields_of = schema["$defs"][kind.__name__]["properties"]
    whole = schema["$defs"][kind.__name__]["description"]
    assert whole
    bare = {
        name
        for name, field in fields_of.items()
        if "description" not in field and "$ref" not in field and name not in whole
    }
    assert bare <= OBVIOUS, sorted(bare - OBVIOUS)


def test_the_command_that_is_printed_gives_the_same(tmp_path: Path) -> None:
    """With all that load was told and a command line can say."""
    model, data = (str(demo_files()[name]) for name in ("model", "data"))
    wish = "block2.depthwise.conv.weight=per_channel"
    case = lb.load(model, data, "snpe", samples=16, overrides=[wish])
    found = lb.diagnose(case)
    words = shlex.split(found.command)
    assert words[:2] == ["lostbits", "diagnose"]
    assert CliRunner().invoke(app, [*words[1:], "--out", str(tmp_path), "-q"]).exit_code == 0
    again = lb.read(tmp_path)
    assert (again.baseline, again.sites, again.network) == (
        found.baseline,
        found.sites,
        found.network,
    )
