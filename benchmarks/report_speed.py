"""How large the page of a large network is, and how soon its first chart stands.

    python -m benchmarks.report_speed [--runs 5] [--save]

The result is the demo network's, blown up to as many sites and layers as a large network has, with
as many channels a site as a page shows at most. A headless Chromium opens the page. The script of
the page stands at its end and draws before DOMContentLoaded, so that measured is the time from the
start of the navigation: until all charts stand, and until DOMContentLoaded.
"""

import shutil
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import lostbits
from benchmarks.results import parser, recorded
from benchmarks.table import Column
from lostbits.reporters import Html
from lostbits.results.diagnosis import Diagnosis
from lostbits.results.sites import SiteReport
from lostbits.verbs.demo import demo_files

SITES, LAYERS, CHANNELS = 300, 100, 256
COLUMNS = (
    Column("until"),
    Column("page", "MB", ".2f"),
    Column("median", "ms", ".0f"),
    Column("longest", "ms", ".0f"),
)
_SEEN = """() => {
  window.seen = {};
  addEventListener('DOMContentLoaded', () => { seen.loaded = performance.now(); });
  new MutationObserver(() => {
    const drawn = document.querySelector('[data-ready] .chart svg');
    if (drawn && !seen.drawn) seen.drawn = performance.now();
  }).observe(document, { childList: true, subtree: true, attributes: true });
}"""


def small_result() -> Diagnosis:
    """A diagnosis of the demo network."""
    files = demo_files()
    case = lostbits.load(files["model"], files["data"], "snpe", samples=32)
    return lostbits.diagnose(case, labels=files["labels"])


def large(result: Diagnosis, sites: int = SITES, layers: int = LAYERS) -> Diagnosis:
    """The same result with more sites and layers, each with its own long name."""
    names = [f"backbone/stages.{i // 10}/blocks.{i % 10}/tensor_{i}" for i in range(sites)]
    nodes = [f"backbone/stages.{i // 10}/blocks.{i % 10}/Conv_{i}" for i in range(layers)]
    kinds = [s for s in result.sites if s.role in ("weight", "activation")]
    shares, part = result.network.attributions, 1 / sites
    found = [_site(kinds[i % len(kinds)], name, nodes, i) for i, name in enumerate(names)]
    attributed = [
        replace(shares[i % len(shares)], tensor=s.tensor, role=s.role, share=part, value=part)
        for i, s in enumerate(found)
    ]
    first = result.layers[0]
    chain = [
        replace(first, node=node, tensor=names[i], inputs=[names[i - 1]] if i else ["image"])
        for i, node in enumerate(nodes)
    ]
    network = replace(result.network, attributions=attributed, channels=_channels(found))
    return replace(result, sites=found, layers=chain, network=network, findings=[])


def _site(kind: SiteReport, name: str, nodes: list[str], number: int) -> SiteReport:
    """A site with as many channels as a page shows."""
    ranges = [[c, kind.lo * (1 - c / 300), kind.hi * (1 - c / 300)] for c in range(CHANNELS)]
    node = nodes[number % len(nodes)]
    return replace(kind, tensor=name, node=node, group=name, channel_range=ranges)


def _channels(sites: list[SiteReport]) -> dict[str, list[float]]:
    """Shares by channel; results hold them for the largest sites only."""
    values = [1 / (3 + c) for c in range(CHANNELS)]
    return {s.key: values for s in sites[:20]}


def opened(page: Path, chromium: str) -> tuple[float, float]:
    """Milliseconds until all charts are drawn, and until DOMContentLoaded."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only for the measurement

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.add_init_script(f"({_SEEN})()")
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready]")
        seen = tab.evaluate("seen")
        browser.close()
    return seen["drawn"], seen["loaded"]


def main() -> None:
    """Measure size and times."""
    words = parser(__doc__)
    words.add_argument("--runs", type=int, default=5)
    arguments = words.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("needs chromium on the PATH")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(Html().render(large(small_result())), encoding="utf-8")
        times = [opened(page, chromium) for _ in range(arguments.runs)]
        size = page.stat().st_size / 1e6
    moments = zip(("all charts", "DOMContentLoaded"), zip(*times, strict=True), strict=True)
    n = f"{LAYERS} layers, {SITES} sites, {CHANNELS} channels each; {arguments.runs} runs"
    with recorded("report_speed", COLUMNS, n=n, save=arguments.save) as rows:
        for name, each in moments:
            rows.add(name, size, statistics.median(each), max(each))


if __name__ == "__main__":
    main()
