"""report.html in a real browser: it works, asks nothing of the network, and stays silent.

Screenshots and the printed page are left in build/report for people to look at.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from lostbits.language import Language
from lostbits.reporters import Html
from lostbits.reporters.html.formats import percent
from lostbits.reporters.schema import diagnosis_of, plain
from lostbits.results.diagnosis import Diagnosis
from lostbits.verbs.demo import demo

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
KEPT = Path(__file__).resolve().parents[2] / "build" / "report"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 740}
HOSTILE = '<script>window.hacked = "yes"</script>'

NEEDED = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH: install Debian's package chromium"
)
pytestmark = [pytest.mark.slow, NEEDED]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """The demo: diagnosed and recovered, so that every part of the page has something to show."""
    return demo("snpe", tmp_path_factory.mktemp("demo"), "lostbits diagnose digits.onnx").report


@pytest.fixture(scope="module")
def report(result: Diagnosis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(Html().render(result), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as player:
        found = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, report: Path) -> Iterator[Open]:
    """Opens the page; it may ask for nothing but itself, and says nothing on the console."""
    contexts: list[BrowserContext] = []
    heard: list[str] = []
    asked: list[str] = []

    def opened(path: Path = report, **settings: Any) -> Page:
        context = browser.new_context(**{"viewport": WIDE, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []
    assert [url for url in asked if not url.endswith(".html")] == []
    assert len(asked) == len(contexts)


def kept(page: Page, name: str, whole: bool = True) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=KEPT / f"{name}.png", full_page=whole)


def column(page: Page, heading: str) -> list[float]:
    """The figures of a column of the table of tensors, from top to bottom."""
    found: list[float] = page.evaluate(
        """(heading) => {
          const heads = [...document.querySelectorAll('#table thead th')];
          const index = heads.findIndex((head) => head.textContent.trim() === heading);
          const rows = [...document.querySelectorAll('#table tbody tr')];
          const cells = rows.map((row) => row.cells[index]);
          return cells.map((cell) => cell.dataset.v).filter((v) => v !== '').map(Number);
        }""",
        heading,
    )
    return found


# Opening.


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1440", "360"])
def test_the_page_opens_with_every_chart(
    open_page: Open, viewport: dict[str, int], scheme: str
) -> None:
    page = open_page(viewport=viewport, color_scheme=scheme)
    charts = page.locator(".chart:not(.empty)")
    assert charts.count() >= 10
    assert charts.count() == page.locator(".chart svg").count()
    for chart in charts.all():
        assert chart.locator("svg path, svg rect").count() > 3
    kept(page, f"{viewport['width']}-{scheme}")


def test_the_first_screen_is_the_letter(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    parts = [page.locator("#summary h1"), page.locator("#summary .lead").first]
    words = " ".join(part.inner_text() for part in parts)
    assert words == str(result.verdict)
    bar = page.locator(".loss").bounding_box()
    assert bar is not None and bar["y"] + bar["height"] < WIDE["height"]
    widths = page.locator(".loss i").evaluate_all("(parts) => parts.map((p) => p.clientWidth)")
    assert widths == sorted(widths, reverse=True)
    for finding in result.findings[:3]:
        assert finding.command in page.locator("#findings").inner_text()


# Sorting, searching, looking closer.


def test_a_tensor_is_shown_before_and_after_the_recovery(
    open_page: Open, result: Diagnosis
) -> None:
    page = open_page()
    worst = page.locator("#table tbody tr").first
    name = worst.locator("th").inner_text().strip()
    worst.locator("button.pick").click()
    assert result.recovered is not None
    change = next(c for c in result.recovered.sites if c.tensor == name)
    before, after = change.before, change.after
    assert before is not None and after is not None
    rows = page.locator("#detail-compared tr")
    assert rows.count() == 4
    cells = rows.first.locator("td").all_inner_texts()
    assert cells == [percent(before.share), percent(after.share)]
    assert after.share < 0.1 * before.share


def test_a_heading_sorts_and_sorts_back(open_page: Open) -> None:
    page = open_page()
    head = page.get_by_role("columnheader", name="SQNR dB")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "SQNR dB") == sorted(column(page, "SQNR dB"), reverse=True)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, "SQNR dB") == sorted(column(page, "SQNR dB"))


def test_a_search_leaves_what_was_sought(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    page.get_by_role("searchbox").fill("depthwise weight")
    sought = [s.tensor for s in result.sites if "depthwise" in s.tensor + s.node]
    weights = [name for name in sought if name.endswith("weight")]
    rows = page.locator("#table tbody tr:not([hidden])")
    assert rows.count() == len(weights) > 0
    assert page.locator("#found").inner_text() == f"{len(weights)} of {len(result.sites)} tensors"
    page.get_by_role("searchbox").fill("no such tensor")
    assert rows.count() == 0


def test_a_layer_of_the_map_leads_to_its_tensors(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    layer = result.layers[-1]
    station = page.locator("#map button[data-station]").last
    station.focus()
    page.keyboard.press("Enter")
    assert station.get_attribute("aria-pressed") == "true"
    assert layer.node in page.locator("#station-name").inner_text()
    mine = {s.tensor for s in result.sites if s.node == layer.node}
    assert mine <= set(page.locator("#station-sites button").all_inner_texts())
    page.locator("#station-sites button").first.click()
    assert page.locator("#detail-name").inner_text() in mine
    assert page.evaluate("document.activeElement.id") == "detail"


def test_the_map_has_every_layer_and_its_lines(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    stations = page.locator("#map button[data-station]")
    assert stations.count() == len(result.layers) + len(result.model.inputs)
    edges = sum(len(layer.inputs) for layer in result.layers)
    assert page.locator("#map path").count() == edges >= len(result.layers)
    fills = stations.evaluate_all(
        "(all) => all.map((b) => Number(b.style.getPropertyValue('--fill')))"
    )
    assert max(fills) == 1.0


def test_the_page_opens_at_the_first_finding(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    culprit = result.findings[0]
    assert page.locator("#detail-name").inner_text() == culprit.tensor
    assert culprit.node in page.locator("#map [aria-pressed=true]").inner_text()


def test_a_row_a_finding_and_the_arrows_show_a_tensor(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    name = page.locator("#detail-name")
    page.locator("#table tbody tr").nth(4).locator("td").first.click()
    assert name.inner_text() == page.locator("#table tbody th").nth(4).inner_text()
    page.locator("a.more").first.click()
    assert name.inner_text() == result.findings[0].tensor
    page.locator("#table tbody th button").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert name.inner_text() == page.locator("#table tbody th").nth(1).inner_text()


def test_the_keyboard_comes_first_to_the_skip_link(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#sites")


def test_the_ledger_stands_as_chart_and_as_list(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    assert page.locator("#ledger svg").count() == 1
    attempts = page.locator("ol.attempts > li")
    assert attempts.count() == len(result.ledger)
    for shown, row in zip(attempts.all(), result.ledger, strict=True):
        assert f"{row.gain_db:+.1f} dB".replace("-0.0", "+0.0") in shown.inner_text()
        assert ("dropped", "kept")[row.kept] in shown.inner_text()


# Language and theme.

_FOREIGN = """() => {
  const skip = 'pre, code, cite, script, style, noscript, option, [lang=en], bdi, #detail-name';
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const place = walker.currentNode.parentElement;
    if (!place.closest(skip)) found.push(walker.currentNode.textContent.trim());
  }
  return found.filter(Boolean);
}"""


def test_the_switch_changes_the_language_of_everything(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    before = page.locator("main").inner_text()
    page.get_by_label("Language").select_option("zh-Hant")
    assert page.locator("html").get_attribute("lang") == "zh-Hant"
    parts = [page.locator("#summary h1"), page.locator("#summary .lead").first]
    assert "".join(p.inner_text() for p in parts) == result.verdict.told(Language.CHINESE)
    assert "的代價" in page.title()
    assert (
        page.get_by_role("searchbox").get_attribute("placeholder") == "名稱、角色或網絡層的一部份"
    )
    assert "採用" in page.locator("ol.attempts").inner_text()
    own = {result.data.source, *result.model.metadata.values()}
    texts = [t for t in page.evaluate(_FOREIGN) if not any(name in t for name in own)]
    english = [t for t in texts if re.search(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", t)]
    assert english == []
    charts = "".join(page.locator(".chart svg").all_text_contents())
    assert "取整" in charts and "繼承" in charts
    assert not re.search("round|clip|inherited|predicted|granularity", charts)
    kept(page, "1440-zh-Hant")
    page.get_by_label("語言").select_option("en")
    assert page.locator("main").inner_text() == before


def test_the_theme_can_be_chosen_against_the_system(open_page: Open) -> None:
    page = open_page(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#attribution svg text')).fill"
    light = page.evaluate(background), page.evaluate(ink)
    page.get_by_label("Appearance").select_option("dark")
    dark = page.evaluate(background), page.evaluate(ink)
    assert light[0] != dark[0] and light[1] != dark[1]
    page.get_by_label("Appearance").select_option("auto")
    assert (page.evaluate(background), page.evaluate(ink)) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) == dark[0]


# Narrow, printed, hostile.


@pytest.mark.parametrize("language", ["en", "zh-Hant"])
def test_nothing_sticks_out_at_360_pixels(open_page: Open, language: str) -> None:
    page = open_page(viewport=NARROW)
    page.locator("#language").select_option(language)
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
    for attempt in page.locator("ol.attempts > li").all():
        box = attempt.bounding_box()
        assert box is not None and box["height"] < NARROW["height"] / 2
    kept(page, f"360-{language}", whole=False)


_WATCH_PAPER = """() => matchMedia('print').addEventListener('change', (event) => {
  const chart = document.getElementById('ledger');
  if (event.matches) window.onPaper = [chart.querySelector('svg').clientWidth, chart.clientWidth];
})"""


def test_the_page_prints(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    page.evaluate(_WATCH_PAPER)
    KEPT.mkdir(parents=True, exist_ok=True)
    printed = page.pdf(path=KEPT / "report.pdf", prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    assert 4 < len(re.findall(rb"/Type\s*/Page\b", printed)) < 40
    chart, place = page.evaluate("window.onPaper")
    assert chart == pytest.approx(place, abs=1)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for part in ("nav", ".controls", ".copy"):
        assert not page.locator(part).first.is_visible()


def test_a_hostile_name_is_only_text(open_page: Open, result: Diagnosis, tmp_path: Path) -> None:
    name = result.findings[0].tensor
    page_text = Html().render(diagnosis_of(_renamed(plain(result), name, HOSTILE)))
    path = tmp_path / "hostile.html"
    path.write_text(page_text, encoding="utf-8")
    page = open_page(path)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#detail-name").inner_text() == HOSTILE
    assert HOSTILE in page.locator("#findings").inner_text()
    page.locator("#language").select_option("zh-Hant")
    assert page.evaluate("window.hacked") is None
    assert HOSTILE in page.locator("#findings").inner_text()


def _renamed(value: Any, old: str, new: str) -> Any:
    match value:
        case str():
            return value.replace(old, new)
        case dict():
            return {_renamed(k, old, new): _renamed(v, old, new) for k, v in value.items()}
        case list() | tuple():
            return [_renamed(v, old, new) for v in value]
        case _:
            return value


# Accessibility.


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["1440", "360"])
def test_axe_finds_nothing_serious(open_page: Open, viewport: dict[str, int], scheme: str) -> None:
    page = open_page(viewport=viewport, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = Axe().run(page).response
    assert len(found["passes"]) > 20
    grave = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"]][:5]) for v in grave] == []
