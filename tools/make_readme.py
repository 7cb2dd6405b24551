"""Fill the demo's screen into README.md and README.zh-Hant.md, both from one result.

Usage: make demo && python tools/make_readme.py
"""

from pathlib import Path

from lostbits.language import Language
from lostbits.reporters import Terminal
from lostbits.verbs.result_files import read

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- demo:begin -->\n", "<!-- demo:end -->"
PAGES = {
    Language.ENGLISH: (
        "README.md",
        "This is what `make demo` prints of a small depthwise-separable network for handwritten\n"
        "digits, on SNPE:",
    ),
    Language.CHINESE: ("README.zh-Hant.md", "`make demo` 印出的內容（手寫數字的小型網絡，SNPE）："),
}


def filled(page: str, block: str) -> str:
    """The page with another block between the marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{block}{END}{after}"


def main() -> None:
    """Write both pages."""
    result = read(ROOT / "build" / "demo")
    for language, (name, intro) in PAGES.items():
        path = ROOT / name
        screen = Terminal(language).render(result).rstrip()
        block = f"{intro}\n\n```text\n{screen}\n```\n"
        path.write_text(filled(path.read_text(encoding="utf-8"), block), encoding="utf-8")
        print(f"wrote {name}")


if __name__ == "__main__":
    main()
