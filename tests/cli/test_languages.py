"""The terminal in Chinese: help and errors; and the names that people use for the language."""

import re
import string
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

import lostbits as lb
from lostbits.cli import app as cli
from lostbits.cli import commands, helped
from lostbits.cli.app import opened
from lostbits.errors import messages
from lostbits.exporters import MEMBERS as EXPORTERS
from lostbits.exporters import exporter
from lostbits.language import Language, phrase
from lostbits.readers import MEMBERS as READERS
from lostbits.verbs.demo import demo_files
from small_nets import mlp, narrowed, samples

FILES = {name: str(path) for name, path in demo_files().items()}
HAN = re.compile("[\u4e00-\u9fff]")
# Lists of names that other packages may add to, and what is a name in any language.
COMPOSED = (
    "Comma-separated: qdq",
    "What is attributed: ",
    "Measure both on",
    "onnxruntime, ",
    "Samples that set the ranges of a",
)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


@pytest.mark.parametrize("name", ["zh", "zh-TW", "zh-Hant", "zh_HK"])
def test_errors_are_told_in_the_language_that_is_asked_for(name: str) -> None:
    found = run("diagnose", FILES["model"], "--data", "nowhere.npz", "--lang", name)
    assert found.exit_code == 2
    assert found.stderr.startswith("D001: nowhere.npz: 必須存在: ")


def test_a_language_does_not_outlive_its_command() -> None:
    run("diagnose", FILES["model"], "--data", "nowhere.npz", "--lang", "zh")
    assert not HAN.search(run("diagnose", FILES["model"], "--data", "nowhere.npz").stderr)


@pytest.mark.parametrize("arguments", [("--help",), ("diagnose", "-h"), ("recover", "--help")])
def test_help_is_told_in_the_language(arguments: tuple[str, ...]) -> None:
    assert HAN.search(run(*arguments, "--lang", "zh").stdout) or arguments == ("--help",)
    assert not HAN.search(run(*arguments).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb for verb in commands.ALL if verb.name != "compare"])
def test_every_option_has_a_panel_and_chinese_help(verb: object) -> None:
    assert isinstance(verb, commands.Verb)
    for option in (each for each in opened(verb).params if not each.hidden):
        text = (option.help or "").replace("\\[", "[")
        assert option.param_type_name == "argument" or option.rich_help_panel in helped.PANELS
        if text and not text.startswith(COMPOSED):
            assert HAN.search(phrase(text, Language.CHINESE)), text


def test_a_wrong_path_is_refused_before_anything_large_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from lostbits.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end:\n"
        "    large = {'torch', 'onnx', 'onnxruntime', 'numpy', 'scipy', 'pydantic'}\n"
        "    large &= set(sys.modules)\n"
        "    print(end.code, large)"
    )
    missing = (str(tmp_path / "no.onnx"), "x"), (FILES["model"], str(tmp_path / "no.npz"))
    for model, data in missing:
        line = [sys.executable, "-c", code, "diagnose", model, "--data", data]
        ran = subprocess.run(line, capture_output=True, text=True, check=True)
        assert ran.stdout == "2 set()\n", ran.stderr


# What is printed besides the first screen.

PROSE = re.compile(r"(?<![\w.-])[a-z]{2,}(?: [a-z]{2,}){2,}")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A float network, its samples, a Q/DQ file of it, and an older one whose ranges are cut."""
    folder = tmp_path_factory.mktemp("files")
    data = samples(1, 16, 6)
    onnx.save(mlp(1), folder / "net.onnx")
    np.save(folder / "data.npy", data)
    case = lb.load(folder / "net.onnx", data, "onnxruntime")
    cut = narrowed(case, case.sites[0].key, 0.3)
    for name, each in (("new", case), ("old", cut)):
        content = exporter("qdq-onnxruntime").write(each)["model_qdq.onnx"]
        (folder / f"{name}.onnx").write_bytes(content)
    return {each.name: str(each) for each in folder.iterdir()} | {"out": str(folder / "out")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "inspect old.onnx --model net.onnx",
        "verify old.onnx --backend onnxruntime --data data.npy --against net.onnx",
        "verify net.onnx --backend onnxruntime --data data.npy --target onnxruntime",
        "export net.onnx --data data.npy --target snpe --to json,baked --out out",
        "compare old.onnx new.onnx --data data.npy --model net.onnx",
        "compare old.onnx new.onnx --gate codes<=1",
    ],
)
def test_both_languages_print_the_same_figures(line: str, files: dict[str, str]) -> None:
    words = [files.get(word, word) for word in line.split()]
    english, chinese = run(*words), run(*words, "--lang", "zh-Hant")
    assert english.exit_code == chinese.exit_code < 2, chinese.output
    assert not HAN.search(english.stdout)
    assert HAN.search(chinese.stdout) and not PROSE.findall(chinese.stdout)
    assert sorted(NUMBER.findall(english.stdout)) == sorted(NUMBER.findall(chinese.stdout))
    assert all(cell_len(row) <= 80 for row in chinese.stdout.splitlines() if "compare" in line)


def test_all_remarks_and_errors_of_these_commands_are_translated() -> None:
    """Those of exports, readers, runtimes, dumps and the command line."""
    forms = [
        (f"{entry.code}.{name}", text)
        for letter in "EIBVU"
        for entry in messages.kind(letter).entries.values()
        for name, form in entry.forms.items()
        for text in (form.rule, form.todo)
        if text and text != "{advice}" and not form.words
    ]
    assert [each for each in forms if not _same_gaps(each[1])] == []
    titles = {reader.title for reader in READERS.all()}
    reasons = {why for each in EXPORTERS.all() for why in each.otherwise.values()}
    assert [text for text in titles | reasons if not _same_gaps(text)] == []


def _same_gaps(text: str) -> bool:
    told = phrase(text, Language.CHINESE)
    gaps = [{n for _, n, _, _ in string.Formatter().parse(each) if n} for each in (text, told)]
    return gaps[0] == gaps[1] and (bool(HAN.search(told)) or text.startswith("pip "))


def test_without_arguments_there_is_help() -> None:
    line = [sys.executable, "-c", "from lostbits.cli.app import main; main()"]
    ran = subprocess.run(line, capture_output=True, text=True, check=True)
    assert "diagnose" in ran.stdout and not ran.stderr
