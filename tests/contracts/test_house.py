"""The house rules that tools can check: format, lint, types, imports; README, recipes and code in step."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str) -> None:
    """Run a tool in the repository; its output is the failure's message."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("format", "--check", "."), ("check", ".")], ids=["format", "lint"])
def test_ruff(arguments: tuple[str, ...]) -> None:
    pytest.importorskip("ruff")
    run(sys.executable, "-m", "ruff", *arguments)


def test_types() -> None:
    pytest.importorskip("mypy")
    run(sys.executable, "-m", "mypy")


def test_imports_go_downward() -> None:
    pytest.importorskip("importlinter")
    # Not by its script, which lies elsewhere where an environment borrows the packages of another one.
    run(sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache")


def test_ci_runs_the_readme_test_command() -> None:
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    command = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().splitlines()[-1]
    assert any(command == line.strip() for block in blocks for line in block.splitlines())


def test_one_version() -> None:
    import mien

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    source = (ROOT / project["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    assert re.findall(r'^__version__ = "(.+)"$', source, re.M) == [mien.__version__]
    assert f"## {mien.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_docstrings_explain_parameters_in_sections() -> None:
    """``Args:`` and ``Attributes:`` as editors and the site read them, no lines ``name: text`` outside of them."""
    loose: list[str] = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
                lines = (ast.get_docstring(node) or "").splitlines()[1:]
                loose += [f"{path.name} {node.name}: {line}" for line in lines if line.split(":")[0] in names]
    assert loose == []


def test_no_registry_host_is_named() -> None:
    for path in (ROOT / "pyproject.toml", ROOT / ".ci" / "run", *ROOT.glob("*.toml"), *ROOT.glob("*.lock")):
        assert not re.search(r"(index-url|https?://\S*(pypi|simple))", path.read_text(encoding="utf-8")), path
