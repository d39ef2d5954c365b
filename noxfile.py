"""The maintainers' commands, each defined once: ``nox -s lint`` on a desk, in the hooks and in the workflows alike.

Sessions run in the environment that nox runs in, that of ``python -m pip install -e ".[test]"``; nothing is installed.
"""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "imports", "tests"]


@nox.session(name="format")
def format_(session: nox.Session) -> None:
    """Format the code."""
    session.run("ruff", "format", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and lint."""
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports go downward."""
    session.run("lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, as the README's second command does; what follows ``--`` goes to pytest."""
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into ``site/``; needs the extra ``docs``."""
    session.run("mkdocs", "build")


@nox.session
def constraints(session: nox.Session) -> None:
    """Resolve the versions and hashes of what the image installs anew; needs the extra ``release`` and an index."""
    options = ("--generate-hashes", "--universal", "--python-version", "3.11", "--no-header", "--no-annotate")
    target = "deploy/constraints.txt"
    session.run("uv", "pip", "compile", "pyproject.toml", "--extra", "serve", *options, "-o", target, *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities in what the image installs; needs pip-audit."""
    session.run("pip-audit", "--requirement", "deploy/constraints.txt", "--require-hashes", "--disable-pip")


@nox.session
def release(session: nox.Session) -> None:
    """Check and build a release, with its bill of materials in ``out/``; needs the extra ``release``."""
    session.run("python", "scripts/check_release.py")
    session.run("python", "scripts/sbom.py", "out")
    session.run("python", "-m", "build")
