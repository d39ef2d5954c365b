"""What MkDocs is told of this repository: pages that lie beside docs/, and links that are right here and on the site.

In the repository a page links to files as they lie (``../MODEL_CARD.md``, ``docs/crops.md``), so that it can be read
without a site. On the site docs/ is the root, and what lies beside it keeps its path.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("MODEL_CARD.md", "CONTRIBUTING.md", "CHANGELOG.md")
BESIDE = (*PAGES, "LICENSE", "deploy/*", "src/mien/recipes/*.toml")
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|[#/])([^)\s#]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies beside docs/ and is linked from pages."""
    for path in sorted(path for pattern in BESIDE for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with its links as the site has them; code is left alone."""
    here = page.file.src_uri if page.file.src_uri in PAGES else f"docs/{page.file.src_uri}"
    parts = re.split(r"(^```.*?^```|`[^`\n]+`)", markdown, flags=re.M | re.S)
    parts[::2] = (_LINK.sub(lambda link: link_on_site(here, link[1]), text) for text in parts[::2])
    return "".join(parts)


def link_on_site(here: str, link: str) -> str:
    """Return ``link`` of the repository's file ``here`` as a link between pages of the site."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link))
    start = posixpath.dirname(here.removeprefix("docs/"))
    return posixpath.relpath(target.removeprefix("docs/"), start or ".")
