"""report.html in a real browser: it works, asks nothing of the network, and stays silent.

Screenshots and the printed page are left in build/report for people to look at.
"""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from benchmarks import report_speed
from lostbits.language import Language, catalogue
from lostbits.reporters import Html, Json
from lostbits.reporters.html import tables
from lostbits.reporters.html.commands import parts
from lostbits.reporters.html.formats import percent
from lostbits.reporters.schema import diagnosis_of, plain
from lostbits.results.diagnosis import Diagnosis
from lostbits.verbs.demo import demo

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
KEPT = Path(__file__).resolve().parents[2] / "build" / "report"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 740}
LOOKS = [(WIDE, "light"), (NARROW, "dark")]
PATIENCE = 120_000  # ms, on a machine whose other core computes too
HOSTILE = '<script>window.hacked = "yes"</script>'
IMAGE = '<img src=x onerror=window.hacked="yes">'

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


@pytest.fixture(scope="module")
def large(result: Diagnosis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of a hundred layers, of which three carry a share worth a look."""
    wide = report_speed.large(result)
    weights = [site.tensor for site in wide.sites if site.role == "weight"]
    shares = dict(zip(weights[60:75:5], (0.5, 0.3, -0.2), strict=True))
    attributed = [replace(a, share=shares.get(a.tensor, 0.0)) for a in wide.network.attributions]
    wide = replace(wide, network=replace(wide.network, attributions=attributed))
    path = tmp_path_factory.mktemp("large") / "report.html"
    path.write_text(Html().render(wide), encoding="utf-8")
    return path


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, report: Path) -> Iterator[Open]:
    """Opens the page; it may ask for nothing but itself, and says nothing on the console."""
    contexts: list[BrowserContext] = []
    heard: list[str] = []
    asked: list[str] = []

    def opened(path: Path = report, at: str = "", **settings: Any) -> Page:
        context = browser.new_context(**{"viewport": WIDE, **settings})
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + at)
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert heard == []
    # What a reader saves is made in the page, and a link back to the page is the page.
    asked = [url for url in asked if not url.startswith("blob:file:")]
    assert [url for url in asked if not url.partition("#")[0].endswith(".html")] == []
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


@pytest.mark.parametrize(("viewport", "scheme"), LOOKS, ids=["1440-light", "360-dark"])
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


def test_the_page_leads_with_the_outcome(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    outcome = result.recovered
    assert outcome is not None and outcome.before.accuracy_quantized is not None
    shares = (outcome.before.accuracy_quantized, outcome.after.accuracy_quantized)
    assert page.locator("h1 .value").all_inner_texts() == [percent(share) for share in shares]
    told = page.locator("#summary .lead").all_inner_texts()
    assert " ".join(told) == str(result.verdict)
    assert result.judgement is not None and result.judgement.grade is not None
    assert result.judgement.grade in (
        page.locator(".grades .grade").first.get_attribute("class") or ""
    )
    for part in ("h1", "#restore", ".loss"):
        frame = page.locator(part).bounding_box()
        assert frame is not None and frame["y"] + frame["height"] < WIDE["height"], part
    widths = page.locator(".loss i").evaluate_all("(parts) => parts.map((p) => p.clientWidth)")
    assert widths == sorted(widths, reverse=True)
    headings = page.locator("main > section > h2").all_inner_texts()
    assert headings[0] == page.locator("#recovery h2").inner_text()


def test_a_command_shows_what_it_has_of_its_own_and_copies_all(
    open_page: Open, result: Diagnosis, tmp_path: Path
) -> None:
    usual = "lostbits diagnose digits.onnx --data d.npz --labels l.npy --target snpe --out d1"
    tried = usual.replace("--out d1", "--set w=float --out d1-tried-1")
    first = replace(result.findings[0], command=tried)
    result = replace(result, command=usual, findings=[first, *result.findings[1:]])
    path = tmp_path / "commands.html"
    path.write_text(Html().render(result), encoding="utf-8")
    page, finding = open_page(path), first
    box = page.locator("#findings .command").first
    assert box.locator("pre").text_content() == finding.command
    shown = box.locator("pre").inner_text()
    own = [part.text for part in parts(finding.command, result.command) if part.own]
    assert all(text in shown for text in own) and "--data" not in shown
    box.locator("button.unfold").click()
    assert box.locator("pre").inner_text() == finding.command


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
    assert head.get_attribute("aria-sort") == "ascending"  # the worst first
    assert column(page, "SQNR dB") == sorted(column(page, "SQNR dB"))
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "SQNR dB") == sorted(column(page, "SQNR dB"), reverse=True)


def test_a_search_leaves_what_was_sought(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    box = page.locator("#search")
    box.fill("depthwise weight")
    sought = [s.tensor for s in result.sites if "depthwise" in s.tensor + s.node]
    weights = [name for name in sought if name.endswith("weight")]
    rows = page.locator("#table tbody tr:not([hidden])")
    assert rows.count() == len(weights) > 0
    assert page.locator("#found").inner_text() == f"{len(weights)} of {len(result.sites)} tensors"
    box.fill("act")  # in names, not in the role "activation"
    assert rows.count() == sum("act" in s.tensor + s.node for s in result.sites)
    assert not page.locator("#nothing").is_visible()
    box.fill("no such tensor")
    assert rows.count() == 0 and page.locator("#nothing").is_visible()
    box.fill("")
    page.locator("select[data-by=role]").select_option("bias")
    assert rows.count() == sum(s.role == "bias" for s in result.sites)


def test_columns_are_chosen(open_page: Open) -> None:
    page = open_page()
    heads = page.locator("#table thead th")
    hidden = heads.filter(has_text=re.compile("^MSE"))
    assert not hidden.is_visible()
    page.locator(".columns summary").click()
    page.get_by_role("checkbox", name="MSE", exact=True).check()
    page.get_by_role("checkbox", name="grid", exact=True).uncheck()
    assert hidden.is_visible()
    assert not heads.filter(has_text=re.compile("^grid")).is_visible()
    assert not page.locator("#table tbody tr").first.locator("td").nth(2).is_visible()


def test_tables_are_saved_as_csv(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    page.locator("#search").fill("conv.weight")
    with page.expect_download() as waiting:
        page.locator("button.csv[data-table=table]").click()
    assert waiting.value.suggested_filename == "tensors.csv"
    rows = list(csv.DictReader(Path(waiting.value.path()).read_text("utf-8").splitlines()))
    known = {s.tensor: s for s in result.sites if "conv.weight" in s.tensor}
    assert {row["tensor"] for row in rows} == set(known)
    for row in rows:  # hidden columns too, figures in full
        assert float(row["MSE"]) == known[row["tensor"]].mse
    with page.expect_download() as waiting:
        page.locator("button.csv[data-table=layer-table]").click()
    saved = Path(waiting.value.path()).read_text("utf-8").splitlines()
    assert len(saved) == len(result.layers) + 1


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
    edges = sum(len(set(layer.inputs)) for layer in result.layers)
    assert page.locator("#map path").count() == edges >= len(result.layers)
    fills = stations.evaluate_all(
        "(all) => all.map((b) => Number(b.style.getPropertyValue('--fill')))"
    )
    assert max(fills) == 1.0
    below = page.locator("#map button.below")
    assert below.count() > 0
    colour = "(b) => getComputedStyle(b).getPropertyValue('--hue')"
    assert below.first.evaluate(colour) != stations.first.evaluate(colour)
    frames = [station.bounding_box() for station in stations.all()]
    places = [(f["x"], f["y"], f["width"], f["height"]) for f in frames if f is not None]
    assert not any(_meet(a, b) for n, a in enumerate(places) for b in places[:n])


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(a[i] < b[i] + b[i + 2] and b[i] < a[i] + a[i + 2] for i in (0, 1))


def test_a_large_map_is_folded_and_opens_at_what_costs_most(open_page: Open, large: Path) -> None:
    page = open_page(large)
    assert page.locator("#map button[data-fold]").count() >= 9
    pressed = page.locator("#map [aria-pressed=true]")
    share, number = page.evaluate(_COSTLIEST)
    assert pressed.count() == 1 and share > 0.4
    assert pressed.get_attribute("data-station") == str(number)
    inside = """(button) => {
      const frame = document.getElementById('stations');
      const [a, b] = [button, frame].map((e) => e.getBoundingClientRect());
      return a.top >= b.top && a.bottom <= b.bottom && a.left >= b.left && a.right <= b.right;
    }"""
    assert pressed.evaluate(inside)
    count = page.locator("#map button[data-station]").count()
    page.locator("#fold").click()
    assert page.locator("#map button[data-station]").count() < count
    page.locator("#map button[data-fold]").nth(3).click()
    assert page.locator("#map [aria-pressed=true]").evaluate(inside)
    kept(page, "large-map")


_COSTLIEST = """() => data.map.map((stop, i) => [stop.share, i]).sort((a, b) => b[0] - a[0])[0]"""


def test_the_map_is_searched(open_page: Open, large: Path) -> None:
    page = open_page(large)
    box = page.locator("#seek")

    def title() -> str:
        return page.locator("#map [aria-pressed=true]").get_attribute("title") or ""

    box.fill("Conv_7")
    assert page.locator("#sought").inner_text() == "11 of 101 layers"  # 7, and 70 to 79
    assert title().endswith("/Conv_7")
    box.press("Enter")
    assert title().endswith("/Conv_70")
    page.locator("#seek-next").click()
    assert title().endswith("/Conv_71")
    assert page.locator("#station-name").inner_text().split(" ")[0].endswith("/Conv_71")
    box.fill("nothing like it")
    assert page.locator("#sought").inner_text() == "0 of 101 layers"


def test_only_what_costs_is_left_on_the_map(open_page: Open, large: Path) -> None:
    page = open_page(large)
    page.locator("#detail-of-map").select_option("costly")
    costly = page.evaluate("data.map.filter((stop) => Math.abs(stop.share) >= 0.01).length")
    assert page.locator("#map button[data-station]").count() == costly == 3
    page.locator("#next-culprit").click()
    second = page.locator("#map [aria-pressed=true] b").inner_text()
    assert second == "30.0%"
    page.locator("#detail-of-map").select_option("all")
    assert page.locator("#map button[data-station]").count() == 101
    strip = page.locator("#strip").bounding_box()
    assert strip is not None
    page.mouse.click(strip["x"] + strip["width"] * 50.5 / 101, strip["y"] + 5)
    assert page.locator("#map [aria-pressed=true]").get_attribute("data-station") == "50"


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
    told = page.locator("#summary .lead").all_inner_texts()
    assert "".join(told) == result.verdict.told(Language.CHINESE)
    assert "的代價" in page.title()
    wanted = catalogue(Language.CHINESE)["sites.placeholder"]
    assert page.locator("#search").get_attribute("placeholder") == wanted
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


# The address, and a second result.


def test_the_address_shows_what_was_chosen(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    assert page.url.endswith(".html")
    page.locator("#table tbody tr").nth(4).locator("td").first.click()
    chosen = page.locator("#detail-name").inner_text()
    page.locator("#map button[data-station]").last.click()
    layer = page.locator("#station-name").inner_text()
    page.locator("#search").fill("conv")
    page.get_by_role("columnheader", name="SQNR dB").get_by_role("button").click()
    page.locator(".columns summary").click()
    page.get_by_role("checkbox", name="MSE", exact=True).check()
    page.locator("#theme").select_option("dark")
    page.locator("#language").select_option("zh-Hant")
    page.locator("nav a[href='#sites']").click()
    link = page.url.partition("#")[2]
    assert "at=sites" in link
    other = open_page(at=f"#{link}")
    assert other.locator("#detail-name").inner_text() == chosen
    assert other.locator("#station-name").inner_text() == layer
    assert other.locator("html").get_attribute("lang") == "zh-Hant"
    assert other.locator("html").get_attribute("data-theme") == "dark"
    assert other.locator("#search").input_value() == "conv"
    mean = tables.COLUMNS.index("column.mse")
    assert other.locator("#table thead th").nth(mean).is_visible()
    assert column(other, "SQNR dB") == sorted(column(other, "SQNR dB"))
    assert other.url.partition("#")[2] == link
    frame = other.locator("#sites").bounding_box()
    assert frame is not None and abs(frame["y"]) < 200


@pytest.mark.parametrize("at", ["#t=no:weight&lang=xx&theme=%3Cb%3E&sort=99%2B&columns=2", "#="])
def test_an_address_that_means_nothing_is_passed_over(
    open_page: Open, result: Diagnosis, at: str
) -> None:
    page = open_page(at=at)
    assert page.locator("#detail-name").inner_text() == result.findings[0].tensor
    assert page.locator("html").get_attribute("lang") == "en"


def test_a_second_result_stands_beside_the_first(
    open_page: Open, result: Diagnosis, tmp_path: Path
) -> None:
    page = open_page()
    assert not page.locator("#comparing").is_visible()
    name = result.sites[3].tensor
    tree = json.loads(Json().render(result))
    for entry in tree["network"]["attributions"]:
        if entry["tensor"] == name and entry["role"] == result.sites[3].role:
            entry["share"] += 7.0
    tree["model"]["path"] = IMAGE
    path = tmp_path / "result.json"
    path.write_text(json.dumps(tree), encoding="utf-8")
    page.locator("#second").set_input_files(path)
    page.wait_for_selector("#comparing:not([hidden])")
    first = page.locator("#second-table tbody tr").first
    assert first.locator("th").inner_text() == name
    moved = float(first.locator("td").nth(1).inner_text().rstrip("%"))
    causes = sum(a.key == result.sites[3].key for a in result.network.attributions)
    assert moved == pytest.approx(700 * causes, abs=0.5)
    assert page.locator("#second-table tbody tr").count() == len(result.sites)
    others = page.locator("#second-table tbody tr td:nth-child(3)").all_inner_texts()
    assert set(others[1:]) == {"0.0%"}
    assert not page.locator("#second-warning").is_visible()
    assert IMAGE in page.locator("#second-about").inner_text()
    for row in page.locator("#second-figures tr").all():
        here, there = row.locator("td").all_inner_texts()
        assert here == there and "→" in here
    page.locator("#language").select_option("zh-Hant")
    assert page.evaluate("window.hacked") is None
    page.locator("#second-close").click()
    assert not page.locator("#comparing").is_visible()


def test_what_is_no_result_is_refused(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    for text in ("", "{}", "[1]", '{"format": "lostbits-result/2"}', "<html>"):
        path = tmp_path / f"other-{len(text)}.json"
        path.write_text(text, encoding="utf-8")
        page.locator("#second").set_input_files(path)
        page.wait_for_selector(f"#second-refused:not([hidden]):has-text('{path.name}')")
        assert not page.locator("#comparing").is_visible()


def test_a_result_is_dropped_on_the_page(open_page: Open, result: Diagnosis) -> None:
    page = open_page()
    page.evaluate(
        """(text) => {
          const files = new DataTransfer();
          files.items.add(new File([text], 'result.json', { type: 'application/json' }));
          const options = { dataTransfer: files, bubbles: true, cancelable: true };
          document.body.dispatchEvent(new DragEvent('drop', options));
        }""",
        Json().render(result),
    )
    page.wait_for_selector("#comparing:not([hidden])")


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


@pytest.mark.parametrize(("viewport", "scheme"), LOOKS, ids=["1440-light", "360-dark"])
def test_axe_finds_nothing_serious(open_page: Open, viewport: dict[str, int], scheme: str) -> None:
    page = open_page(viewport=viewport, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = Axe().run(page).response
    assert len(found["passes"]) > 20
    grave = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["html"][:200] for n in v["nodes"]][:5]) for v in grave] == []
