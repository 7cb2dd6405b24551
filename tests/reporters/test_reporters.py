"""Reporters: the schema of result.json, the page, the first screen; all from one real diagnosis."""

import base64
import copy
import doctest
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from benchmarks import report_speed
from lostbits import language
from lostbits.cli import terminal
from lostbits.errors import OutputError
from lostbits.language import Language, say, verbatim
from lostbits.quoting import visible
from lostbits.reporter import strict_json
from lostbits.reporters import ALL, Html, Json, Terminal, first_screen, lines, overlay
from lostbits.reporters.console import screen as console_screen
from lostbits.reporters.first_screen import loss, prescription
from lostbits.reporters.headline import reason
from lostbits.reporters.html import commands, embedding, formats, plots, summary, tables
from lostbits.reporters.html.network_map import Map
from lostbits.reporters.html.wording import Wording
from lostbits.reporters.schema import result_schema
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.recovery import Attempt, Outcome
from lostbits.results.verification import ExecutedNodes, Verification
from lostbits.runtime.metrics import Baseline
from lostbits.system.text_lines import aligned
from lostbits.verbs import result_files as results
from lostbits.verbs.demo import demo_files
from made_results import Tree, changed, edited, tree
from runs import SCHEMA, diagnosed

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    demo = demo_files()
    return diagnosed(demo["model"], demo["data"], "snpe", labels=demo["labels"], samples=32)


@pytest.fixture(scope="module")
def page(result: Diagnosis) -> str:
    return Html().render(result)


def errors(content: Tree) -> list[str]:
    return [e.message for e in jsonschema.Draft202012Validator(SCHEMA).iter_errors(content)]


class Seen(HTMLParser):
    """Tags with attributes, and the text of every script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append(data)


def embedded(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


# The schema.


@pytest.mark.slow
def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.slow
def test_a_real_result_is_valid(result: Diagnosis) -> None:
    assert errors(tree(result)) == []


def test_the_schema_that_is_shipped_is_that_of_the_dataclasses() -> None:
    assert result_schema() == SCHEMA, "run python tools/write_schema.py"


def test_every_object_of_fixed_shape_is_closed() -> None:
    for name, shape in SCHEMA["$defs"].items():
        if shape.get("type") == "object":
            assert shape["additionalProperties"] is False, name


@pytest.mark.slow
@pytest.mark.parametrize(
    "field",
    ["format", "verdict", "model", "data", "target", "coverage", "sites", "network", "findings"],
)
def test_a_missing_field_is_refused(result: Diagnosis, field: str) -> None:
    assert errors(edited(result, lambda r: r.pop(field)))


BROKEN: dict[str, Callable[[Tree], Any]] = {
    "cause": lambda r: r["network"]["attributions"][0].update(cause="noise"),
    "role": lambda r: r["sites"][0].update(role="tensor"),
    "reason": lambda r: r["findings"][0].update(reason="bad luck"),
    "code": lambda r: r["findings"][0].update(code="X1"),
    "format": lambda r: r.update(format="lostbits-result/3"),
    "metric": lambda r: r["network"].update(metric="mse"),
    "more in a site": lambda r: r["sites"][0].update(colour="red"),
    "more at the top": lambda r: r.update(extra=1),
    "a lost step": lambda r: next(s for s in r["sites"] if s["lost_bits"])["lost_bits"].pop(
        "shape"
    ),
    "a negative error": lambda r: r["sites"][0].update(mse=-1.0),
    "text for a number": lambda r: r["layers"][0].update(error="0.1"),
    "short hash": lambda r: r["model"].update(sha256="abc"),
    "more than all": lambda r: r["baseline"].update(agreement=1.5),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_result_is_refused(result: Diagnosis, name: str) -> None:
    assert errors(edited(result, BROKEN[name]))


def broken(result: Diagnosis) -> Diagnosis:
    """With numbers that are not finite, one of them in a list."""
    first, *others = result.sites
    sites = [replace(first, scale=[math.inf, *first.scale]), *others]
    return replace(result, network=replace(result.network, total=math.nan), sites=sites)


def test_json_has_null_for_what_is_not_finite_and_says_so(result: Diagnosis) -> None:
    shown = json.loads(Json().render(broken(result)))
    assert shown["network"]["total"] is None and shown["sites"][0]["scale"][0] is None
    *others, note = shown["notes"]
    assert note["code"] == "note.not_finite"
    assert note["figures"] == {"count": "2", "places": "sites[0].scale[0], network.total"}
    assert others == tree(result)["notes"]


@pytest.mark.slow
def test_what_is_not_finite_can_be_written_read_and_shown(
    result: Diagnosis, tmp_path: Path
) -> None:
    results.write(broken(result), tmp_path, ["json", "html"])
    again = results.read(tmp_path)
    assert math.isnan(again.network.total)
    assert "nan" in Html().render(again)
    first, *others = result.network.attributions
    shares = [replace(first, share=math.nan), *others]
    hostile = replace(result, network=replace(result.network, attributions=shares))
    assert "nan" in Terminal().render(hostile)


# Reading.


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every part of a value stands; of lists the first two entries."""
    parts: Any = value.items() if isinstance(value, dict) else enumerate(value[:2])
    inside = [(key, part) for key, part in parts]
    deeper = [p for key, part in inside if part for p in _deeper(part, (*place, key))]
    return [*((*place, key) for key, _ in inside), *deeper]


def _deeper(part: Any, place: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return places(part, place) if isinstance(part, dict | list) else []


OTHERS = [None, True, 7, -1.5, "x", [], {}, [None], {"x": 1}, 10**400, "\ud800", math.nan]


@pytest.mark.slow
@given(st.data())
def test_whatever_a_result_holds_the_page_or_the_code_comes(
    result: Diagnosis, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    """And what our reader of the schema lets pass, the whole standard lets pass, but for bounds."""
    folder = tmp_path_factory.mktemp("result")
    plain = tree(small(result))
    *place, last = data.draw(st.sampled_from(places(plain)))
    inside = plain
    for key in place:
        inside = inside[key]
    if data.draw(st.booleans()):
        del inside[last]
    else:
        inside[last] = data.draw(st.sampled_from(OTHERS))
    (folder / "result.json").write_text(json.dumps(plain))
    try:
        results.shown_again(folder)
    except OutputError as error:
        assert error.code == "O002" and "\n" not in str(error)
        assert not (folder / "report.html").exists()
    else:
        wrong = [e.validator for e in jsonschema.Draft202012Validator(SCHEMA).iter_errors(plain)]
        # Fields that are not known, or that have a default, come from versions between.
        assert not {*wrong} & {"enum", "const"}


def small(result: Diagnosis) -> Diagnosis:
    """With two tensors, so that pages are made quickly."""
    sites, network = result.sites[:2], result.network
    kept = {s.key for s in sites}
    network = replace(network, attributions=[a for a in network.attributions if a.key in kept])
    findings = [f for f in result.findings if f"{f.tensor}:{f.role}" in kept]
    parts: dict[str, Any] = {"layers": result.layers[:2], "network": network}
    return replace(result, sites=sites, findings=findings, **parts)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "JSONDecodeError"),
        ("[]", "no object"),
        ("[" * 100_000, "RecursionError"),
        ('{"format": "lostbits-result/1", "seconds": ' + "9" * 5000 + "}", "ValueError"),
        ('{"format": "lostbits-result/3"}', "lostbits-result/3"),
        ('{"format": "lostbits-result/2"}', "lostbits_version"),
        ('{"format": "lostbits-result/1"}', "lostbits_version"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, content: str, found: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(OutputError, match=f"O002: .*{found}"):
        results.read(tmp_path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path / "result.json")
    with pytest.raises(OutputError, match="O002"):
        results.read(tmp_path)


def test_a_file_larger_than_the_memory_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "result.json").open("wb") as file:
        file.truncate(1 << 42)  # a hole, which takes no disk
    with pytest.raises(
        OutputError, match=r"O002: .*4,398,046,511,104 bytes, .* at most 268,435,456"
    ):
        results.read(tmp_path)


def test_a_field_of_another_type_is_named(result: Diagnosis, tmp_path: Path) -> None:
    other = edited(result, lambda r: r["sites"][1].update(scale="x"))
    (tmp_path / "result.json").write_text(json.dumps(other))
    with pytest.raises(OutputError, match=r"O002: .*array.*sites\[1\]\.scale"):
        results.read(tmp_path)


@pytest.mark.slow
def test_names_of_files_that_are_no_unicode_are_written(result: Diagnosis, tmp_path: Path) -> None:
    other = replace(result, data=replace(result.data, source="a\udcff.npy"))
    results.write(other, tmp_path, ["json", "html"])
    assert results.read(tmp_path).data.source == "a\udcff.npy"


# Names on the screen.

NAMES = ["[/]", "[bold]w1[/bold]", ":smile:", "a\x1b[31mb", "\x1b]0;title\x07", "a\nb", "\u202eab"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are_on_the_screen(result: Diagnosis, name: str) -> None:
    text = Terminal().render(renamed(result, name))
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert visible(name) in text.replace("\n", " ")


@pytest.mark.parametrize("name", NAMES)
def test_names_are_shown_as_they_are_by_inspect(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.say(name)
    for line in aligned([(name, "x"), ("b", "y")]):
        terminal.say(line)
    terminal.announcer()(name)
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == visible(name) and len(shown.out.splitlines()) == 3
    assert shown.err == visible(name) + "\n"


# Every reporter.


@pytest.mark.slow
@pytest.mark.parametrize("reporter", ALL, ids=lambda r: r.name)
def test_the_same_result_gives_the_same_text_and_stays(reporter: Any, result: Diagnosis) -> None:
    before = copy.deepcopy(result)
    assert reporter.render(result) == reporter.render(copy.deepcopy(result))
    assert result == before


def test_names_and_files_of_reporters_differ() -> None:
    assert len({r.name for r in ALL}) == len({r.file for r in ALL}) == len(ALL)


def test_the_first_screen_leads_with_grade_figures_cause_and_fix(result: Diagnosis) -> None:
    text = Terminal().render(result)
    first = text.split("\n\n")[0].splitlines()
    assert len(first) <= 8
    assert f"{result.baseline.accuracy_quantized:.1%}" in first[1]
    assert f"{result.baseline.sqnr_db:.1f} dB" in first[1]
    assert any(line.endswith(result.next_commands[0]) for line in first)
    assert result.findings[0].code == "F011"  # the demo as it is shipped has fallen
    assert result.findings[1].tensor in text
    assert f"{result.coverage.sites_matched}" in text.splitlines()[-2]


def printed(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.search(r"\blostbits [a-z]+ ", line)]


@pytest.mark.parametrize("language", Language)
def test_no_line_but_a_command_is_wider_than_eighty_columns(
    result: Diagnosis, language: Language
) -> None:
    text = Terminal(language).render(result)
    wide = [line for line in text.splitlines() if cell_len(line) > 80]
    assert set(wide) <= set(printed(text))
    assert text.count("\n") <= 60


def test_a_long_name_loses_its_middle_and_a_made_up_one_gives_way_to_its_layer() -> None:
    name = "backbone.stages.3.blocks.11.attention.qkv.weight"
    assert lines.short(name, 20) == "backbone.st….weight"
    for most in range(6, 60):
        assert cell_len(lines.short(name, most)) <= most
        assert cell_len(lines.short("層" * 30, most)) <= most
    assert lines.shown_name("onnx::MatMul_12", "/fc/MatMul") == "/fc/MatMul"


@given(st.lists(st.floats(-3, 3, allow_nan=False), min_size=1, max_size=9))
def test_bars_keep_to_their_width_and_side(shares: list[float]) -> None:
    drawn = lines.bars(shares, 30)
    axis = max((len(bar) for bar, s in zip(drawn, shares, strict=True) if s < 0), default=0)
    for bar, share in zip(drawn, shares, strict=True):
        assert len(bar) <= 31
        assert share >= 0 or len(bar) <= axis
        assert share <= 0 or not bar or bar.count(" ") >= axis - 1


@pytest.mark.slow
def test_commands_are_short_where_the_result_lies_in_a_folder(result: Diagnosis) -> None:
    options: Any = {"markup": False, "emoji": False, "highlight": False, "width": 80}
    console = Console(file=io.StringIO(), **options)
    console.print(console_screen(result, folder=Path("d1")), crop=False)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert all("--again d1" in line for line in printed(text))
    assert all(len(line) < 110 for line in printed(text)[:1])


# The page.


@pytest.mark.slow
def test_the_page_shows_verdict_findings_and_every_tensor(page: str, result: Diagnosis) -> None:
    rows = [a for tag, a in Seen(page).tags if tag == "tr" and "data-site" in a]
    assert len(rows) == len(result.sites)
    text = re.sub(r"<[^>]*>", "", page)
    for finding in result.findings:
        assert f"{100 * finding.share:.1f}%" in text
    for site in result.sites:
        assert site.tensor in text


@pytest.mark.slow
@given(st.recursive(st.text() | st.integers() | st.none(), lambda x: st.dictionaries(st.text(), x)))
def test_json_says_the_same_and_shows_every_character(content: Any) -> None:
    shown = strict_json(content)
    assert json.loads(shown) == content
    assert all(line.isprintable() for line in shown.split("\n"))


def test_the_page_loads_nothing(page: str) -> None:
    for tag, attributes in Seen(page).tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert "@import" not in page
    assert not re.search(r"url\(\s*[\"']?(https?:)?//", page)
    assert "default-src 'none'" in page


def test_the_policy_lets_the_script_run_and_no_other(page: str) -> None:
    policy = next(a["content"] for tag, a in Seen(page).tags if a.get("http-equiv"))
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in str(policy)
    assert not any(name.startswith("on") for _, a in Seen(page).tags for name in a)


def renamed(result: Diagnosis, name: str) -> Diagnosis:
    """A result in which the tensor of the first finding, and all free text, is ``name``."""

    said = {"text": name, "code": "words.verbatim", "figures": {"text": name}}

    def change(r: Tree) -> None:
        old = r["findings"][0]["tensor"]
        text = json.dumps(r).replace(json.dumps(old), json.dumps(name))
        r.update(
            json.loads(text.replace(json.dumps(f"{old}:")[1:-1], json.dumps(f"{name}:")[1:-1]))
        )
        r.update(verdict=said, command=name, notes=[said])
        r["model"].update(path=name, inputs=[name], metadata={name: name})
        r["data"].update(source=name)
        r["target"].update(name=name, title=said)
        r["layers"][0].update(node=name)
        entries = [{"tensor": name, "reason": said}]
        r["coverage"].update(unmatched=entries, left_in_float=entries)

    return changed(result, change)


NAMES = [HOSTILE, "<!--<script>", "{{ 7 * 7 }}", "a\u2028b", '\' onclick="x"']


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_text(page: str, result: Diagnosis, name: str) -> None:
    other = Html().render(renamed(result, name))
    if "<" in name:
        assert name not in other
    tags = [tag for tag, _ in Seen(other).tags]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert not any(a.startswith("on") for _, attributes in Seen(other).tags for a in attributes)
    assert name in {site["name"] for site in embedded(other)["sites"]}


def test_the_page_is_small(page: str, result: Diagnosis) -> None:
    assert len(page.encode()) < 0.9e6 + 15e3 * len(result.sites)


def test_the_waterfall_goes_from_the_grid_to_what_is_left(result: Diagnosis) -> None:
    for site in result.sites:
        bars = plots.waterfall(site)
        if bars is not None:
            lost = sum(length for _, _, length in bars[1:-1])
            assert bars[0][2] - lost == pytest.approx(bars[-1][2], abs=1e-9)
            assert bars[-2][1] == pytest.approx(site.effective_bits, abs=1e-9)


def test_bars_of_the_page_add_up_to_what_was_attributed(page: str, result: Diagnosis) -> None:
    data = embedded(page)
    total = sum(a.share for a in result.network.attributions)
    for chart in ("attribution", "roles"):
        bars = data[chart]  # of figures of four digits
        assert sum(b["round"] + b["clip"] for b in bars) == pytest.approx(
            total, abs=5e-5 * len(bars)
        )


def test_many_tensors_end_in_one_bar(result: Diagnosis) -> None:
    rows = tables.rows(replace(result, sites=result.sites * 3))
    wording = Wording(Language.ENGLISH)
    large = [row._replace(round=0.01, clip=0.0) for row in rows]
    bars = plots.figures(result, large, wording, Map([], []))["attribution"]
    assert len(bars) == 26
    assert bars[-1]["others"] == len(rows) - 25
    small = [row._replace(round=0.9 if row.number < 2 else 0.001, clip=0.0) for row in rows]
    bars = plots.figures(result, small, wording, Map([], []))["attribution"]
    assert [bar.get("others") for bar in bars] == [None, None, None, len(rows) - 3]


OPTIONAL = (
    "lost_bits",
    "stability",
    "trade_off",
    "histogram",
    "channel_range",
    "sqnr_db",
    "utilisation",
)


def bare(r: Tree) -> None:
    """As little as a result may hold."""
    for site in r["sites"]:
        site.update(dict.fromkeys(OPTIONAL), node="", sqnr_db=None)
    r["network"].update(attributions=[], channels={}, total=0.0)
    counts = {"answers": 0, "labelled": 0, "labels_off": 0, "one_answer": False}
    r["baseline"].update(
        dict.fromkeys(r["baseline"], None), outputs_sqnr_db={}, outputs=[], **counts
    )
    r.update(findings=[], layers=[], notes=[])


@pytest.mark.slow
def test_a_bare_result_makes_a_page(result: Diagnosis) -> None:
    other = changed(result, bare)
    assert errors(tree(other)) == []
    assert "Nothing carries a share" in Html().render(other)


def check(figures: Baseline) -> Verification:
    """An entry of ``verify``."""
    return Verification(
        backend="onnxruntime",
        version="1.0",
        precision="float32",
        sha256=64 * "0",
        samples=8,
        sqnr_db_vs_simulation=21.5,
        max_abs=0.5,
        agreement_vs_simulation=1.0,
        vs_float=figures,
        simulation_vs_float=figures,
        executed=ExecutedNodes(9, []),
        tensors_compared=4,
        tensors_hidden=0,
        first_deviation=None,
        first_own_deviation=None,
        defects=[],
        kernels=None,
        tolerance_db=30.0,
        passed=False,
        text=verbatim("onnxruntime 1.0: 21.5 dB from the simulation"),
    )


def attempted(figures: Baseline) -> Attempt:
    """An attempt that won nothing."""
    skipped = {"conv1": say("skipped.no_bias")}
    said = (verbatim("no gain here"), skipped, -0.5)
    return Attempt("bias_correction", "network", 1.0, figures, figures, False, 1.0, *said)


@pytest.mark.slow
def test_attempts_and_checks_are_shown(result: Diagnosis) -> None:
    figures = result.baseline
    floors: dict[str, float | None] = {"weights_in_float": 30.0}
    said: tuple[Any, ...] = (say("recovered.time"), None, floors, [], verbatim("nothing."))
    parts: dict[str, Any] = {"verify": [check(figures)], "ledger": [attempted(figures)]}
    other = replace(result, recovered=Outcome(figures, figures, *said), **parts)
    assert errors(tree(other)) == []
    text = Html().render(other)
    for part in (
        "bias correction",
        "no gain here",
        "onnxruntime 1.0: 21.5 dB from the simulation",
        str(say("skipped.no_bias")),
        "nothing.",
    ):
        assert part in text
    assert "no gain here" in " ".join(Terminal().render(other).split())


@pytest.mark.slow
def test_several_outputs_are_listed(result: Diagnosis) -> None:
    figures = replace(result.baseline, outputs_sqnr_db={"left": 20.0, "right": None})
    page = Html().render(replace(result, baseline=figures))
    assert re.search("<dt>left</dt><dd>20.0 dB</dd>.*<dt>right</dt><dd>∞ dB</dd>", page)


@pytest.mark.slow
def test_the_page_is_written_as_report_html(result: Diagnosis, tmp_path: Path) -> None:
    written = results.write(result, tmp_path, ("json", "html"))
    assert [p.name for p in written] == ["result.json", "report.html"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (formats.several([1.0, 2.0, 3.0, 4.0]), "1, 2, 3, … (×4)"),
        (formats.percent(None), "–"),
        (formats.decibel(-0.01), "0.0"),
        (formats.bits(0.01), "·"),
        (formats.memory(2**30), "1,024 MiB"),
        (formats.fill(-1.0), 0.0),
        (formats.breakable("a<b/c"), "a&lt;b/<wbr>c"),
    ],
)
def test_numbers_as_a_reader_wants_them(text: object, shown: object) -> None:
    assert text == shown


# The first screen.


def test_the_loss_by_reason_is_all_that_was_attributed(result: Diagnosis) -> None:
    parts = loss(result)
    attributed = sum(a.share for a in result.network.attributions)
    assert sum(p.share for p in parts) == pytest.approx(attributed)
    assert sum(p.width for p in parts) == pytest.approx(1, abs=1e-3)
    explained = [f for f in result.findings if f.code != "F011"]
    assert parts[0].reason == "granularity" == explained[0].reason
    assert [p.share for p in parts] == sorted((p.share for p in parts), reverse=True)


COMMANDS = [
    (
        "lostbits diagnose m.onnx --data d.npy --target snpe --out o --metric kl -q --quiet",
        "lostbits recover m.onnx --data d.npy --target snpe --out recovered",
    ),
    (
        "lostbits diagnose 'my net.onnx' --data=judge.npz --calibration c.npz --labels l.npy",
        "lostbits recover 'my net.onnx' --data judge.npz --calibration c.npz --labels l.npy "
        "--out recovered",
    ),
    ("lostbits diagnose m.onnx --target snpe", None),  # samples that have no path
    (
        "lostbits diagnose --data d.npy -- -m.onnx",
        "lostbits recover ./-m.onnx --data d.npy --out recovered",
    ),
    (
        "lostbits diagnose $'a\\012b.onnx' --data d.npy",
        "lostbits recover $'a\\012b.onnx' --data d.npy --out recovered",
    ),
    ("lostbits recover m.onnx --data d.npy", None),
    ("python my_script.py 'unclosed", None),
]


@pytest.mark.parametrize(("command", "next_one"), COMMANDS)
def test_a_diagnosis_is_followed_by_a_recovery(command: str, next_one: str | None) -> None:
    assert prescription(command) == next_one


@pytest.mark.slow
def test_what_is_prescribed_is_shown_until_it_is_done(result: Diagnosis) -> None:
    (command,) = result.next_commands
    assert command in re.sub(r"<[^>]*>", "", Html().render(result))
    for line in (command, *(finding.command for finding in result.findings[:3])):
        assert f" {line}\n" in Terminal().render(result)


# Languages and size.


def test_every_sentence_of_a_result_can_be_said_in_every_language(result: Diagnosis) -> None:
    said = [result.verdict, result.network.note, *result.notes]
    said += [part for finding in result.findings for part in (finding.text, finding.remedy)]
    said += [entry.reason for entry in result.coverage.left_in_float]
    assert "words.verbatim" not in {message.code for message in said}
    for message in said:
        assert re.search("[\u4e00-\u9fff]", message.told(Language.CHINESE))


@pytest.mark.slow
def test_a_page_opens_with_the_language_that_was_asked_for(result: Diagnosis) -> None:
    page = Html().speaking(Language.CHINESE).render(result)
    assert '<html lang="zh-Hant">' in page
    head = page.partition("<main>")[2].partition("</ul>")[0]
    assert "準確率" in head
    assert "accuracy" not in head.lower()


@pytest.mark.slow
def test_what_somebody_else_says_stays_as_it_is(result: Diagnosis) -> None:
    other = replace(result, notes=[*result.notes, verbatim("a plug-in's own <words>")])
    assert "a plug-in&#39;s own &lt;words&gt;" in Html(Language.CHINESE).render(other)


@pytest.mark.slow
def test_a_large_network_makes_a_page_below_five_megabytes(result: Diagnosis) -> None:
    large = report_speed.large(result)
    assert (len(large.sites), len(large.layers)) == (300, 100)
    assert errors(tree(large)) == []
    assert len(Html().render(large).encode()) < 5e6


@pytest.mark.parametrize(
    "module", [commands, embedding, first_screen, formats, language, overlay, summary, tables]
)
def test_examples_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).attempted > 0
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("finding", "brief"),
    [("samples_inputs", "screen.mismatch"), ("samples_tensors", "screen.mismatch_behind")],
)
def test_only_inputs_of_another_kind_blame_the_preprocessing(finding: str, brief: str) -> None:
    figures = {"tensor": "sum", "data": "0..51", "calibration": "0..5", "ratio": "9.8"}
    assert reason(say(f"finding.{finding}", **figures)).code == brief
