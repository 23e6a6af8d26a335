"""The site names every guide once, and builds without a fetch where its builder is installed."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


def _pages(nav) -> list[str]:
    return [
        page
        for entry in nav
        for value in entry.values()
        for page in ([value] if isinstance(value, str) else _pages(value))
    ]


def test_every_guide_has_a_place():
    pages = _pages(PROJECT["nav"])
    assert len(pages) == len(set(pages))
    assert all((ROOT / "docs" / page).is_file() for page in pages)
    files = {str(f.relative_to(ROOT / "docs")) for f in (ROOT / "docs").rglob("*.md")}
    assert {f for f in files if not f.startswith("design/")} == set(pages)


@pytest.mark.skipif(
    find_spec("zensical") is None, reason="zensical is not installed (scripts/site installs it)"
)
def test_pages_fetch_nothing(tmp_path):
    for name in ("docs", "zensical.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 12
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]+src=.?https?:", text), page
        assert not re.findall(r"<link[^>]+href=.?https?:[^>]*stylesheet", text), page
