"""The terminal in Chinese: help and errors; and the names that people use for the language."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lostbits.cli import app as cli
from lostbits.cli import commands, helped
from lostbits.cli.app import opened
from lostbits.language import Language, phrase
from lostbits.verbs.demo import demo_files

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
        "    large = {'torch', 'onnx', 'onnxruntime', 'numpy', 'scipy', 'pydantic'} & set(sys.modules)\n"
        "    print(end.code, large)"
    )
    missing = (str(tmp_path / "no.onnx"), "x"), (FILES["model"], str(tmp_path / "no.npz"))
    for model, data in missing:
        line = [sys.executable, "-c", code, "diagnose", model, "--data", data]
        ran = subprocess.run(line, capture_output=True, text=True, check=True)
        assert ran.stdout == "2 set()\n", ran.stderr
