"""The pages of the repository as tests see them: fenced blocks, shell commands in them, code within a line."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for place in (".", "docs", "docs/systems", "docs/api", "docs/lab", "examples")
    for path in (ROOT / place).glob("*.md")
)
SHELL = ("sh", "bash", "console")


@dataclass(frozen=True)
class Block:
    """One fenced block: the page and line it stands in, its language, its text."""

    place: str
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    """Return the blocks in these languages of all pages."""
    return [one for path in PAGES for one in _blocks(path) if one.language in languages]


def _blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT).as_posix()
    found = re.finditer(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)
    return [Block(f"{name}:{text[: one.start()].count(chr(10)) + 1}", one[1], one[2]) for one in found]


def commands(block: Block) -> list[list[str]]:
    """Return the words of each command of a shell block; of a console block of the lines that begin with ``$``."""
    text = block.text.replace("\\\n", " ")
    lines = text.splitlines()
    if block.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    return [command for line in lines for command in _split(line)]


def _split(line: str) -> list[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("&|;"):
            found.append([])
        else:
            found[-1].append(word)
    return [_bare(words) for words in found if _bare(words)]


def _bare(words: list[str]) -> list[str]:
    """Return a command without the variables that are set for it and without what it is redirected to."""
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    return words[: words.index(">")] if ">" in words else words


def spans() -> list[tuple[str, str]]:
    """Return page and text of every code span within a line that calls ``mien``; blocks are left out."""
    found = []
    for path in PAGES:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        for span in re.findall(r"`(mien [^`]+)`", text):
            found.append((path.relative_to(ROOT).as_posix(), " ".join(span.split())))
    return found
