"""Fill README.md and README.zh-Hant.md: the demo's screen, and figures of the benchmarks.

Usage: make demo && python tools/make_readme.py
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from lostbits.language import Language
from lostbits.reporters import Terminal
from lostbits.verbs.result_files import read

ROOT = Path(__file__).resolve().parents[1]
PAGES = {Language.ENGLISH: "README.md", Language.CHINESE: "README.zh-Hant.md"}
_INTRO = {
    Language.ENGLISH: "This is what `make demo` prints of a small depthwise-separable network for "
    "handwritten\ndigits, on SNPE:",
    Language.CHINESE: "`make demo` 印出的內容（手寫數字的小型網絡，SNPE）：",
}
_PER_TENSOR = "snpe: per-tensor U8U8"
_PER_CHANNEL = "tensorrt: per-channel S8S8, symmetric"


class Peer(NamedTuple):
    """A row of the table of tools.

    Attributes:
        name: As Markdown.
        measured: Its name in benchmarks/results/peers.json; empty: it was not measured.
        told: By language what it says of the place and of the cause, and what it repairs.
    """

    name: str
    measured: str
    told: dict[Language, tuple[str, str, str]]


def _told(english: Any, chinese: Any) -> Any:
    return {Language.ENGLISH: english, Language.CHINESE: chinese}


PEERS = (
    Peer(
        "[ONNX Runtime](https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html)"
        " (`qdq_loss_debug`)",
        "ONNX Runtime, min-max",
        _told(("SQNR per tensor", "no", "no"), ("每張量的 SQNR", "無", "無")),
    ),
    Peer(
        "[NNCF](https://github.com/openvinotoolkit/nncf)",
        "NNCF, full bias correction",
        _told(("no", "no", "bias, ranges"), ("無", "無", "偏置、範圍")),
    ),
    Peer(
        "[AIMET](https://github.com/quic/aimet) (`QuantAnalyzer`, CLE)",
        "AIMET, CLE",
        _told(
            ("one layer at a time", "no", "equalization, AdaRound"),
            ("一次一層", "無", "均衡、AdaRound"),
        ),
    ),
    Peer(
        "[MCT XQuant](https://sony.github.io/model_optimization/api/api_docs/classes/XQuantConfig.html)",
        "",
        _told(
            ("similarity per tensor (PyTorch, Keras)", "thresholds on float statistics", "no"),
            ("每張量的相似度（PyTorch、Keras）", "浮點統計的門檻", "無"),
        ),
    ),
    Peer(
        "[Polygraphy](https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/polygraphy/index.html)",
        "",
        _told(
            ("difference of two runtimes per tensor", "no", "no"),
            ("兩個執行環境的每張量差異", "無", "無"),
        ),
    ),
    Peer(
        "lostbits",
        "lostbits recover, budget 60 s",
        _told(
            ("shares that add up", "named cause", "recoveries, each judged"),
            ("佔比合計為實測誤差", "具名原因", "各種恢復，逐一評判"),
        ),
    ),
)
_HEADS = _told(
    "| tool | per-tensor uint8 | per-channel int8 | says where | says why | repairs |",
    "| 工具 | per-tensor uint8 | per-channel int8 | 指出位置 | 指出原因 | 修復 |",
)
_EVIDENCE = {
    Language.ENGLISH: """\
* {found} of {planted} planted faults are the first finding, with the right place and cause.
* Restore curve: with the first 1, 3, 5 and 10 attributed tensors in float, {attributed}
  of the output error are left on photographs that the diagnosis has not seen; with those of the
  worst SQNR, {local}.
* The simulation equals the integer kernels bit by bit, tensor by tensor, on EfficientNet-Lite0:
  {equal}.
""",
    Language.CHINESE: """\
* {planted} 個植入的故障中，有 {found} 個由第一項發現指出正確的位置與原因。
* 恢復曲線：將歸因最前的 1、3、5、10 個張量設為浮點，在診斷沒有看過的照片上剩下輸出誤差的
  {attributed}；改為 SQNR 最差的張量，則剩下 {local}。
* 在 EfficientNet-Lite0 上，模擬與整數運算的每個張量逐位元相等：{equal}。
""",
}
_BETWEEN = {Language.ENGLISH: ", ", Language.CHINESE: "、"}
_RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


def rows(name: str) -> list[list[Any]]:
    """Cells of a table of benchmarks/results."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return [row["cells"] for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]


def peers(language: Language) -> str:
    """The table of tools, with figures where they were measured."""
    figures = {(setting, tool): cells for setting, tool, *cells in rows("peers")}
    lines = [_HEADS[language], "|---|---|---|---|---|---|"]
    for peer in PEERS:
        cells = [figures.get((s, peer.measured)) for s in (_PER_TENSOR, _PER_CHANNEL)]
        shown = ["-" if c is None else f"{c[0]:.1f} dB, {c[1]:.0%}" for c in cells]
        lines.append(f"| {' | '.join((peer.name, *shown, *peer.told[language]))} |")
    return "\n".join(lines) + "\n"


def evidence(language: Language) -> str:
    """What was measured of findings, rankings and the simulation."""
    faults, left = rows("faults"), {order: shares for order, *shares in rows("deletion")}
    runtimes = {r[0]: r[6] for r in rows("runtimes") if r[5] == "equal"}
    between = _BETWEEN[language]
    equal = between.join(f"{title} {runtimes[name]}" for name, title in _RUNTIMES.items())
    return _EVIDENCE[language].format(
        found=sum(hits for _, hits, *_ in faults),
        planted=sum(count or 0 for _, _, *answers in faults for count in answers),
        attributed=between.join(map("{:.0%}".format, left["attribution"])),
        local=between.join(map("{:.0%}".format, left["local SQNR"])),
        equal=equal if language is Language.ENGLISH else equal.replace(" of ", "/"),
    )


def demo(language: Language) -> str:
    """The screen of ``make demo``."""
    screen = Terminal(language).render(read(ROOT / "build" / "demo")).rstrip()
    return f"{_INTRO[language]}\n\n```text\n{screen}\n```\n"


def filled(page: str, name: str, block: str) -> str:
    """The page with another block between the marks of a name."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, mark, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    if not mark:
        raise ValueError(f"no place for {name}")
    return f"{before}{begin}{block}{end}{after}"


def main() -> None:
    """Write both pages."""
    for language, name in PAGES.items():
        path = ROOT / name
        page = path.read_text(encoding="utf-8")
        for part in (demo, peers, evidence):
            page = filled(page, part.__name__, part(language))
        path.write_text(page, encoding="utf-8")
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
