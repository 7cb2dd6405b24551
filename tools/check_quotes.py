"""Run the commands of the documentation and find what its pages quote in what they print.

Usage: python tools/check_quotes.py [PAGE ...]; without arguments, all pages that quote output.

A quote is a block marked ``text``. Its lines must have been printed by the shell blocks of the same
page, in any order and wrapped anywhere; ``...`` stands for anything. It takes minutes, and figures
may differ in the last digit on other processors, so it is no part of ``make test``. Commands of
SDKs are not run. What was printed is left in build/quotes, to quote from.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"^ *```(sh|toml|text)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_OURS = ("lostbits ", "python ", "sed ", "D=")
_DEMO = "lostbits demo --out build/demo"  # as in the Makefile
_NAME = re.compile(r'^name = "(.+)"$', re.MULTILINE)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Kind and content of the blocks of a page, without the indentation of lists."""
    for kind, content in _BLOCK.findall(page.read_text(encoding="utf-8")):
        yield kind, re.sub(r"^ +(?=lostbits|python|sed)", "", content, flags=re.MULTILINE)


def printed(script: str, folder: Path) -> str:
    """What the commands of a shell block print, one space between words."""
    joined = re.sub(r" \\\n\s*", " ", script).replace("make demo", _DEMO)
    ours = [line for line in joined.splitlines() if line.startswith(_OURS)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-c", "\n".join(["D=src/lostbits/demo", *ours])],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode not in (0, 1):  # 1: a goal that was not met; else a runtime that is missing
        print(run.stderr, file=sys.stderr)
    return run.stdout


def squeezed(text: str) -> str:
    """One space between words, however lines were wrapped."""
    return " ".join(text.split())


def check(page: Path) -> list[str]:
    """Quotes of a page that nothing has printed."""
    missing, output = [], ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("src", "docs"):
            (folder / part).symlink_to(ROOT / part)
        for kind, content in blocks(page):
            if kind == "sh":
                output += " " + printed(content, folder)
            elif kind == "toml" and (found := _NAME.search(content)):
                (folder / f"{found[1]}.toml").write_text(content, encoding="utf-8")
            elif kind == "text":
                pieces = re.split(r"\(\.\.\.\)|\.\.\.", content)
                missing += [p for p in map(squeezed, pieces) if p not in squeezed(output)]
    _keep(page, output)
    return missing


def _keep(page: Path, output: str) -> None:
    folder = ROOT / "build" / "quotes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{page.stem}.txt").write_text(output, encoding="utf-8")


def main(names: list[str]) -> None:
    """Check pages, print what is missing, and exit with status 1 if anything is."""
    pages = [Path(n) for n in names] or sorted((ROOT / "docs").rglob("*.md"))
    failed = 0
    for page in pages:
        if any(kind == "text" for kind, _ in blocks(page)):
            missing = check(page)
            failed += len(missing)
            print(f"{page}: {'as printed' if not missing else f'{len(missing)} not printed'}")
            for piece in missing:
                print(f"    {piece}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
