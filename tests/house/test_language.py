"""The catalogues: complete in every language, all of it used, and nothing said outside of them."""

import copy
import pickle
import re
import string
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

from lostbits.errors import messages
from lostbits.estimators import ALL as ESTIMATORS
from lostbits.language import Language, catalogue, listed, say, verbatim
from lostbits.recoveries import ALL as RECOVERIES
from lostbits.results.diagnosis import Reason
from lostbits.targets import ALL as TARGETS

PACKAGE = Path(str(files("lostbits")))
PAGE = PACKAGE / "reporters" / "html"
ENGLISH = catalogue(Language.ENGLISH)
OTHERS = [language for language in Language if language is not Language.ENGLISH]
# Names that are the same in every language.
PROPER = {
    *("column.sqnr", "fact.sqnr", "chart.channel", "chart.channel_number", "summary.kl"),
    *("range_method.entropy", "range_method.aciq_laplace", "range_method.aciq_gauss"),
    *("range_method.snpe_enhanced", "recovery_name.adaround", "platform.snpe"),
    *("platform.tensorrt", "verdict.noise", "recovered.sqnr", "screen.sqnr", "screen.moved_sqnr"),
    *("file_kind.dlc", "file_kind.gif", "file_kind.tiff", "file_kind.rknn", "file_kind.openvino"),
    *("figure.sqnr", "comparison.sqnr", "comparison.kl", "dumped.db", "verified.db"),
}
# Words of one usage, that of Hong Kong, in which the project's own vocabulary is; and others for
# the same that are not mixed with them. A folder is 資料夾 everywhere.
GLOSSARY = {
    "網路": "網絡",
    "資料(?!夾)": "數據",
    "權重": "權值",
    "激活": "啟用",
    "活化": "啟用",
    "卷積": "摺積",
    "捲積": "摺積",
    "占比": "佔比",
    "部份": "部分",
    "修正偏": "校正偏",
    "推理庫": "執行環境",
    "生命徵象": "關鍵指標",
    "治療|病|處方|痊癒": "對策",
}


def gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def phrases() -> dict[str, str]:
    """Help and errors in Chinese, by their English."""
    file = PACKAGE / "languages" / "phrases" / f"{Language.CHINESE}.toml"
    found: dict[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))["phrases"]
    return found


def source() -> str:
    """Python, templates and scripts of the package, and what the table of messages asks for."""
    paths = [p for kind in ("py", "html", "js") for p in sorted(PACKAGE.rglob(f"*.{kind}"))]
    texts = [p.read_text(encoding="utf-8") for p in paths if ".min." not in p.name]
    forms = (form for e in messages.all_entries().values() for form in e.forms.values())
    words = [f"{f.words}_{part}" for f in forms if f.words for part in ("rule", "found", "todo")]
    return "\n".join([*texts, *words])


def own_scripts() -> list[Path]:
    return [p for p in sorted(PAGE.glob("*.js")) if ".min." not in p.name]


# The catalogues.


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_codes_and_gaps(language: Language) -> None:
    words = catalogue(language)
    assert sorted(words) == sorted(ENGLISH)
    assert [c for c in ENGLISH if gaps(words[c]) != gaps(ENGLISH[c])] == []


def test_chinese_is_chinese() -> None:
    chinese = re.compile("[\u4e00-\u9fff]")
    words = catalogue(Language.CHINESE)
    plain = {
        code
        for code, text in words.items()
        if not chinese.search(text) and re.search("[A-Za-z]", re.sub(r"\{\w+\}", "", text))
    }
    assert plain <= PROPER, plain - PROPER
    assert all(text.strip() for text in words.values())


@pytest.mark.parametrize("other", GLOSSARY)
def test_chinese_keeps_to_one_word_for_one_thing(other: str) -> None:
    texts = [*catalogue(Language.CHINESE).values(), *phrases().values()]
    texts.append((PACKAGE.parents[1] / "README.zh-Hant.md").read_text(encoding="utf-8"))
    assert [text for text in texts if re.search(other, text)] == [], GLOSSARY[other]


def test_chinese_has_no_half_width_marks_between_its_words() -> None:
    mixed = re.compile(r"[\u4e00-\u9fff][,:;()](?!//)|[,:;(][\u4e00-\u9fff]")
    texts = {**catalogue(Language.CHINESE), **phrases()}
    assert {code: text for code, text in texts.items() if mixed.search(text)} == {}


def test_there_is_a_file_for_every_language_and_the_other_way_round() -> None:
    names = {p.stem for p in (PACKAGE / "languages").glob("*.toml")}
    assert names == set(Language)


def used(code: str, text: str) -> bool:
    """Whether a code stands in the source, in full or as the start of a composed one."""
    code = code.replace("_hint.", ".")  # a hint goes with what it explains
    if code in text:
        return True
    section, _, name = code.partition(".")
    starts = re.findall(rf"""["'`]{section}\.(\w*)(?:\{{|\$\{{|["'] ?~|["'] \+)""", text)
    named = re.findall(rf"""named\(["']{section}["']""", text)
    return bool(named) or any(name.startswith(start) for start in starts)


@pytest.mark.slow
def test_every_entry_is_used() -> None:
    text = source()
    assert [code for code in ENGLISH if not used(code, text)] == []


def test_every_code_in_the_source_is_known() -> None:
    code = r"""["']([a-z_]+\.[a-z_]+)["'](?! ?~)"""
    codes = re.findall(rf"""\b(?:say|word|_word|plain|head|t)\(\s*{code}""", source())
    codes += re.findall(rf"""attr\(["'][\w-]+["'], {code}""", source())
    assert len(codes) > 200
    assert [code for code in codes if code not in ENGLISH] == []


def test_every_member_has_its_name_and_every_reason_its_words_and_colour() -> None:
    codes = [f"recovery_name.{member.name}" for member in RECOVERIES]
    codes += [f"range_method.{member.name}" for member in ESTIMATORS]
    codes += [f"{part}.{why}" for part in ("reason", "reason_hint") for why in get_args(Reason)]
    codes += [
        f"{part}.{t.name.replace('-', '_')}" for part in ("platform", "takes") for t in TARGETS
    ]
    assert [code for code in codes if code not in ENGLISH] == []
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    assert [
        why for why in get_args(Reason) if f".{why} {{ --hue: var(--{why}); }}" not in style
    ] == []


# Nothing is said outside of them.

ALLOWED = {"lostbits", "SHA-256", "SQNR", "dB", "F"}  # names and units


@pytest.mark.parametrize("path", sorted(PAGE.glob("*.html")), ids=lambda p: p.name)
def test_no_template_says_anything_itself(path: Path) -> None:
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", "", path.read_text("utf-8"), flags=re.S)
    for name in ("title", "aria-label", "placeholder", "label", "alt"):
        assert not re.search(rf'\s{name}="[^"]*[A-Za-z]', text), name
    words = re.sub(r"<[^>]*>", " ", text).split()
    assert [w for w in words if re.search("[A-Za-z]", w) and w.strip("(:),") not in ALLOWED] == []


@pytest.mark.parametrize("path", own_scripts(), ids=lambda p: p.name)
def test_no_script_says_anything_itself(path: Path) -> None:
    """A text for people has a blank between two words, or is shown by textContent or a name."""
    code = re.sub(r"/\*.*?\*/|^\s*//.*?$", "", path.read_text("utf-8"), flags=re.S | re.M)
    code = re.sub(r"cssText = \"[^\"]*\"|querySelector(All)?\([^)]*\)|\"use strict\"", "", code)
    code = re.sub(r"""step\(event, "[^"]*"\)""", "", code)
    found = re.findall(r'"([^"\n]*)"', code) + re.findall(r"`([^`]*)`", code)
    texts = [re.sub(r"\$\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "", text) for text in found]
    assert [t for t in texts if re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", t)] == []
    assert not re.findall(r"""(?:textContent =|[^t]name:) ["'][A-Za-z]{3,}""", code)


# Sentences.


def test_a_message_is_its_code_and_its_figures() -> None:
    message = say("ledger.bias_correction", count="3")
    assert str(message) == f"{message}" == "corrected 3 biases"
    assert copy.deepcopy(message) == pickle.loads(pickle.dumps(message)) == message
    assert message != say("ledger.bias_correction", count="4")
    assert message != say("ledger.analytic_bias", count="3")
    assert message != "corrected 3 biases"
    assert len({message, copy.deepcopy(message)}) == 1


def test_sentences_inside_sentences_are_translated() -> None:
    sentence = listed([say("role.weight"), say("role.bias"), say("role.output")])
    assert str(sentence) == sentence.told(Language.ENGLISH) == "weight, bias, output"
    assert sentence.told(Language.CHINESE) == "權值，偏置，輸出"


def test_a_name_is_never_a_template() -> None:
    name = "{share} {0} {{x}}"
    sentence = say("skipped.weight_shared", tensor=name)
    assert name in str(sentence)
    assert name in sentence.told(Language.CHINESE)


def test_what_others_say_is_the_same_in_every_language() -> None:
    words = verbatim("a plug-in's {own} words")
    assert {words.told(language) for language in Language} == {"a plug-in's {own} words"}
    assert verbatim(say("role.bias")) == say("role.bias")
