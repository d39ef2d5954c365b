"""Every command and every program on the pages works.

Run, with the package as it is and ``examples/astronaut.jpg`` in a folder of its own: each ``mien`` command and each
block of Python that names this photo and nothing that only other commands make (a run folder, a server).

All others need corpora, hours, cameras, servers or clouds, and are read, not run: ``mien`` commands by the verb's own
parser, recipes by name, Python by the compiler, with every name of ours looked up, scripts and extras by whether they
are there. Blocks of C, JSON and plain text are not looked at here.
"""

from __future__ import annotations

import ast
import re
import shutil
import tomllib
from pathlib import Path

import pages
import pytest

import mien
from mien.cli import VERBS, load_verb, main

PHOTO = "examples/astronaut.jpg"
MADE = ("runs/", "curl", "film.mp4", "MIEN_", "mien explain")
"""What only other commands, servers or data make; maps take seconds, and ``tests/cli`` has them run already."""

OTHERS = {
    "bash", "cd", "curl", "docker", "duckdb", "export", "gcloud", "git", "gunicorn", "kubectl", "lint-imports",
    "mkdocs", "mypy", "nginx", "nox", "pip", "pip-audit", "printf", "python", "ray", "ruff", "sed", "tensorboard",
    "torchrun", "uv",
}  # fmt: skip
"""Programs other than ``mien`` that pages call."""

SESSIONS = set(
    re.findall(r'@nox\.session(?:\(name="(\w+)"\))?\ndef (\w+)', (pages.ROOT / "noxfile.py").read_text("utf-8"))
)
"""Given name, if any, and function of each session."""

EXTRAS = tomllib.loads((pages.ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]


def ours(words: list[str]) -> list[str] | None:
    """Return the arguments of a call of ``mien``, or None for another program."""
    if words[:3] == ["python", "-m", "mien"]:
        return words[3:]
    return words[1:] if words[0] == "mien" else None


CALLS = [
    pytest.param(words, id=f"{block.place} {' '.join(words)[:60]}")
    for block in pages.blocks(*pages.SHELL)
    for words in pages.commands(block)
]
PROGRAMS = [pytest.param(block.text, id=block.place) for block in pages.blocks("python")]


def test_the_pages_are_found() -> None:
    """A reader of pages that finds nothing would let everything pass."""
    assert len(CALLS) > 150
    assert len(PROGRAMS) > 20
    assert len(pages.spans()) > 40


@pytest.mark.parametrize("words", CALLS)
def test_a_command_can_be_given(words: list[str]) -> None:
    arguments = ours(words)
    if arguments is None:
        another_program(words)
    else:
        parsed(arguments)


def parsed(arguments: list[str]) -> None:
    """Let the verb's parser take the arguments; look up the recipe."""
    verb = " ".join(arguments[:2]) if " ".join(arguments[:2]) in VERBS else arguments[0]
    if verb.startswith("-"):
        assert verb in ("--help", "--version")
        return
    if verb == "help":
        assert " ".join(arguments[1:]) in VERBS
        return
    options = load_verb(verb)[0].parse_intermixed_args(arguments[len(verb.split()) :])
    recipe = getattr(options, "recipe", None)
    if recipe is not None and not str(recipe).endswith(".toml"):
        assert (pages.ROOT / "src" / "mien" / "recipes" / f"{recipe}.toml").is_file(), recipe


def another_program(words: list[str]) -> None:
    """Look up scripts, files of the repository and extras."""
    assert words[0] in OTHERS, words
    for word in words[1:]:
        if re.match(r"(deploy|scripts|benchmarks|examples)/", word):
            assert (pages.ROOT / word).exists(), word
        extras = re.search(r"\[([\w,]+)\]$", word)
        if extras and "install" in words:
            assert set(extras[1].split(",")) <= set(EXTRAS), word
    if words[:2] == ["nox", "-s"]:
        own = words[2 : words.index("--")] if "--" in words else words[2:]
        assert set(own) <= {given or function for given, function in SESSIONS}
    if words[0] == "python" and words[1].endswith(".py"):
        source = (pages.ROOT / words[1]).read_text("utf-8")
        own = words[: words.index("--")] if "--" in words else words
        assert [word for word in own if word.startswith("--") and f'"{word}"' not in source] == []


@pytest.mark.parametrize(("page", "span"), pages.spans())
def test_a_command_within_a_line_names_what_there_is(page: str, span: str) -> None:
    words = span.split()[1:]
    if words[0] in ("--help", "--version", "VERB", "…"):
        return
    verb = next((name for name in (" ".join(words[:2]), words[0]) if name in VERBS), None)
    known = [name for name in VERBS if name.split()[0] == words[0]]
    assert verb or known, f"{page}: {span}"
    if verb:
        given = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", span)
        options = set(load_verb(verb)[0]._option_string_actions)
        assert set(given) <= options, f"{page}: {span}"


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_program_names_what_there_is(text: str) -> None:
    tree = ast.parse(text)
    modules = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert node.attr in names_of(modules[node.value.id]), f"{modules[node.value.id]} has no {node.attr}"


def imported(tree: ast.AST) -> dict[str, str]:
    """Return the modules of ours that a program knows, by the name it has for them; look up all else it imports."""
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update({one.asname or one.name: one.name for one in node.names if one.name.split(".")[0] == "mien"})
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mien":
            for one in node.names:
                whole = f"{node.module}.{one.name}"
                if source_of(whole):
                    modules[one.asname or one.name] = whole
                else:
                    assert one.name in names_of(str(node.module)), whole
    return modules


def source_of(module: str) -> Path | None:
    """Return the file of a module of ours; nothing is imported, which would take PyTorch and seconds."""
    place = pages.ROOT / "src" / Path(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def names_of(module: str) -> set[str]:
    """Return the names at a module's top level."""
    if module == "mien":
        return set(mien.__all__)
    source = source_of(module)
    assert source is not None, f"there is no {module}"
    names: set[str] = set()
    for node in ast.parse(source.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photo, in which to work."""
    (tmp_path / "examples").mkdir()
    shutil.copy(pages.ROOT / PHOTO, tmp_path / PHOTO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def runs(text: str) -> bool:
    """Whether a command or a program needs the photo and nothing else."""
    return PHOTO in text and not any(word in text for word in MADE)


QUICK = sorted({" ".join(words) for call in CALLS if ours(words := call.values[0]) and runs(" ".join(words))})  # type: ignore[arg-type]


@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_runs(folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ours(command.split())
    assert arguments is not None
    assert main(arguments) == 0
    assert "happiness" in capsys.readouterr().out


@pytest.mark.parametrize("text", [program for program in PROGRAMS if runs(str(program.values[0]))])
def test_a_quick_program_runs(folder: Path, text: str) -> None:
    if "to_pandas" in text:
        pytest.importorskip("pandas")  # no part of the base install
    exec(compile(text, "page", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("block", pages.blocks("toml"), ids=lambda block: block.place)
def test_toml_is_whole(block: pages.Block) -> None:
    assert tomllib.loads(block.text)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.M | re.S)
    titles = (re.sub(r"\]\([^)]*\)|[`\[*]", "", title) for title in re.findall(r"^#+ (.+)$", text, re.M))
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.relative_to(pages.ROOT).as_posix())
def test_a_page_links_to_what_there_is(page: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", page.read_text("utf-8"), flags=re.M | re.S)
    broken = []
    for link in re.findall(r"\]\((?![a-z]+:)([^)\s]+)", text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_stands_in_the_sites_menu_once() -> None:
    listed = re.findall(r"([\w/-]+\.md)$", (pages.ROOT / "mkdocs.yml").read_text("utf-8").split("\nnav:")[1], re.M)
    there = {path.relative_to(pages.ROOT / "docs").as_posix() for path in (pages.ROOT / "docs").rglob("*.md")}
    beside = {"MODEL_CARD.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    runs = {name for name in there if name.startswith("runs/")}
    assert sorted(listed) == sorted((there - runs) | beside)
