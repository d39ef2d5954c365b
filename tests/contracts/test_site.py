"""The site builds without a warning, and its pages need no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pages
import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")

FETCHED = re.compile(r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=\"([^\"]+)\"|<link\b([^>]*)>", re.I)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=pages.ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def fetched(page: str) -> list[str]:
    """Return the addresses that a browser fetches for a page by itself."""
    found = []
    for source, link in FETCHED.findall(page):
        target = re.search(r'\bhref="([^"]+)"', link)
        wanted = re.search(r'\brel="?(stylesheet|preload|icon|preconnect|modulepreload|dns-prefetch)', link)
        found += [source] if source else [target[1]] if target and wanted else []
    return found


def test_pages_need_no_other_host(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        assert fetched(text), path  # each page has the theme's own stylesheet
        assert [each for each in fetched(text) if re.match(r"(https?:)?//", each)] == [], path
        assert 'class="mermaid"' not in text, path  # the theme would fetch what draws it
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//|@import", path.read_text("utf-8")), path


def test_what_pages_fetch_is_there(site: Path) -> None:
    for path in site.rglob("*.html"):
        for each in fetched(path.read_text("utf-8")):
            assert path.name == "404.html" or (path.parent / each.split("?")[0]).exists(), (path, each)


def test_docstrings_come_out_as_lists(site: Path) -> None:
    page = (site / "api" / "results.html").read_text("utf-8")
    quality = page[page.index('id="mien.results.Quality"') :]
    assert quality.index("Attributes:") < quality.index('title="mien.results.Quality.size"')
