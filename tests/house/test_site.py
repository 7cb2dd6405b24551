"""The documentation builds without a warning: links, references and the notebook hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def build(docs: Path, out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = ["-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", *options]
    return subprocess.run(
        [sys.executable, *command, "-d", str(out / "doctrees"), str(docs), str(out / "html")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_the_site_builds_in_strict_mode(tmp_path: Path) -> None:
    run = build(ROOT / "docs", tmp_path)
    assert run.returncode == 0, run.stderr
    built = {str(p.relative_to(tmp_path / "html")) for p in tmp_path.rglob("*.html")}
    pages = {str(p.relative_to(ROOT / "docs").with_suffix(".html")) for p in _sources()}
    assert pages <= built
    notebook = (tmp_path / "html" / "demo.html").read_text(encoding="utf-8")
    assert "block2.depthwise.conv.weight" in notebook, "the outputs of the notebook are missing"


def _sources() -> list[Path]:
    return [p for kind in ("*.md", "*.ipynb") for p in (ROOT / "docs").rglob(kind)]


@pytest.mark.parametrize(
    "fault", ["[gone](no-such-page.md)", "[gone](#no-such-heading)", "```{toctree}\ngone\n```"]
)
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, fault: str) -> None:
    """The strictness is that of docs/conf.py, on a page of its own."""
    docs = tmp_path / "docs"
    (docs / "_static").mkdir(parents=True)
    (docs / "conf.py").write_bytes((ROOT / "docs" / "conf.py").read_bytes())
    (docs / "index.md").write_text(f"# Title\n\n{fault}\n", encoding="utf-8")
    run = build(docs, tmp_path)
    assert run.returncode != 0, "nobody noticed"
    assert "gone" in run.stderr or "no-such" in run.stderr
