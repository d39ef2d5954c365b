"""Workflows, hooks and metadata for maintainers agree with the pages and with ``pyproject.toml``."""

from __future__ import annotations

import itertools
import re
import tomllib
from configparser import ConfigParser
from typing import Any

import pages
import pytest

yaml = pytest.importorskip("yaml")
pytest.importorskip("nox")

from nox import registry  # noqa: E402

import noxfile  # noqa: E402

ROOT = pages.ROOT
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TRIGGER = True
"""The key ``on`` as YAML 1.1 reads it."""


def load(name: str) -> Any:
    """Return the content of a YAML file of the repository."""
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def workflow(name: str) -> dict[Any, Any]:
    """Return a workflow by its file's name."""
    content: dict[Any, Any] = load(f".github/workflows/{name}.yml")
    return content


def steps(content: dict[Any, Any]) -> list[dict[str, Any]]:
    """Return the steps of all jobs of a workflow."""
    return [step for job in content["jobs"].values() for step in job["steps"]]


def documented() -> list[list[str]]:
    """Return the words of every command in the shell blocks of README and CONTRIBUTING."""
    shown = [
        block for block in pages.blocks(*pages.SHELL) if block.place.startswith(("README.md:", "CONTRIBUTING.md:"))
    ]
    return [words for block in shown for words in pages.commands(block)]


def commands(text: str) -> list[list[str]]:
    """Return the words of every command of a step or hook."""
    return pages.commands(pages.Block("", "sh", text))


def classified() -> list[str]:
    """Return the versions of Python that the classifiers name."""
    pattern = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    return [match[1] for text in PROJECT["project"]["classifiers"] if (match := pattern.fullmatch(text))]


def test_groups_for_maintainers_are_the_extras_of_the_same_name() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    groups = {name: [f"mien[{name}]"] for name in ("test", "docs", "release")}
    assert PROJECT["dependency-groups"] == {"dev": ["mien[test]"], **groups}
    assert set(groups) < set(extras)


def test_all_workflows_are_there() -> None:
    assert [path.stem for path in WORKFLOWS] == ["audit", "checks", "docs", "release", "tests"]


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS])
def test_a_workflow_calls_what_the_pages_name(name: str) -> None:
    called = [words for step in steps(workflow(name)) for words in commands(step.get("run", ""))]
    assert called
    assert [words for words in called if words not in documented()] == []


def test_the_pages_name_no_check_that_no_workflow_calls() -> None:
    (block,) = [
        block
        for block in pages.blocks("sh")
        if block.place.startswith("CONTRIBUTING.md:") and "checks.yml" in block.text
    ]
    called = [
        words for path in WORKFLOWS for step in steps(workflow(path.stem)) for words in commands(step.get("run", ""))
    ]
    assert [words for words in pages.commands(block) if words not in called] == []


class Session:
    """A nox session that notes its commands instead of running them."""

    def __init__(self, *posargs: str) -> None:
        self.posargs, self.commands = posargs, list[list[str]]()

    def run(self, *command: str) -> None:
        self.commands.append(list(command))


def test_tests_run_by_the_command_of_the_readme() -> None:
    install, command = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1].split(" && ")
    runs = [step["run"] for step in steps(workflow("tests")) if "run" in step]
    assert runs == [install, "nox -s tests", install, "nox -s tests -- --cov"]
    for posargs in ((), ("--cov",)):
        noxfile.tests(session := Session(*posargs))
        assert session.commands == [[*command.split(), *posargs]]


def test_every_session_that_is_named_exists() -> None:
    template = (GITHUB / "PULL_REQUEST_TEMPLATE.md").read_text("utf-8")
    entries = [hook["entry"] for hook in load(".pre-commit-config.yaml")["repos"][0]["hooks"]]
    spans = [commands(text) for text in (*re.findall(r"`(nox [^`]+)`", template), *entries)]
    called = [words for span in (*spans, documented()) for words in span if words[:2] == ["nox", "-s"]]
    names = {name for words in called for name in itertools.takewhile("--".__ne__, words[2:])}
    assert names == set(registry.get()) - {"constraints"}


def test_constraints_are_resolved_by_the_command_in_their_head() -> None:
    noxfile.constraints(session := Session())
    head = (ROOT / "deploy" / "constraints.txt").read_text("utf-8").splitlines()[1]
    assert [sorted(words) for words in session.commands] == [sorted(head.lstrip("# ").split())]


def test_the_pythons_are_those_of_the_package() -> None:
    assert PROJECT["project"]["requires-python"] == f">={classified()[0]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{classified()[0].replace('.', '')}"
    matrix = workflow("tests")["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python-version"] == classified()
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    resolved = re.search(r"^PYTHONS = \((.+)\)$", (ROOT / "scripts" / "check_release.py").read_text("utf-8"), re.M)
    assert resolved is not None
    assert re.findall(r"3\.\d+", resolved[1]) == classified()


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS])
def test_a_workflow_sets_up_a_python_of_the_package(name: str) -> None:
    chosen = [
        step["with"]["python-version"] for step in steps(workflow(name)) if "setup-python" in step.get("uses", "")
    ]
    assert chosen
    for version in chosen:  # a text: unquoted, YAML makes 3.1 of 3.10
        assert version in (*classified(), "${{ matrix.python-version }}")


@pytest.mark.parametrize("name", [path.stem for path in WORKFLOWS])
def test_a_workflow_may_read_only(name: str) -> None:
    content = workflow(name)
    text = (GITHUB / "workflows" / f"{name}.yml").read_text("utf-8")
    assert content["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    assert "pull_request_target" not in content[TRIGGER]  # it would run strangers' code with the repository's rights
    assert [step["uses"] for step in steps(content) if "uses" in step and "@" not in step["uses"]] == []
    allowed = {job: rights["permissions"] for job, rights in content["jobs"].items() if "permissions" in rights}
    assert allowed == ({"publish": {"id-token": "write"}} if name == "release" else {})


def test_what_is_published_is_what_was_checked() -> None:
    jobs = workflow("release")["jobs"]
    assert workflow("release")[TRIGGER] == {"release": {"types": ["published"]}}
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["environment"] == "release"
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]
    kept = [step["with"] for step in jobs["build"]["steps"] if "upload-artifact" in step.get("uses", "")]
    (fetched,) = [step["with"] for step in jobs["publish"]["steps"] if "download-artifact" in step["uses"]]
    assert fetched["path"] == "dist/"  # where the publishing action looks
    assert fetched in [{"name": artifact["name"], "path": artifact["path"]} for artifact in kept]


def test_hooks_call_what_the_pages_name_and_fetch_nothing() -> None:
    (repository,) = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    assert not any(hook["pass_filenames"] for hook in repository["hooks"])
    called = [commands(hook["entry"]) for hook in repository["hooks"]]
    assert called == [[["nox", "-s", name]] for name in ("format", "lint", "types", "imports")]


def test_dependabot_looks_where_versions_are_pinned() -> None:
    updates = {entry["package-ecosystem"]: entry["directory"] for entry in load(".github/dependabot.yml")["updates"]}
    assert updates == {"github-actions": "/", "pip": "/deploy", "docker": "/deploy"}
    assert (ROOT / "deploy" / "constraints.txt").is_file()
    assert (ROOT / "deploy" / "Dockerfile").is_file()


def test_the_citation_agrees_with_the_package() -> None:
    citation = load("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # the fields that its schema requires
    assert citation["title"].lower() == PROJECT["project"]["name"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert "version" not in citation  # it stands in mien.__version__ alone
    assert f"(c) 2026 {citation['authors'][0]['name']}" in (ROOT / "LICENSE").read_text("utf-8")


def test_links_of_the_security_policy_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "SECURITY.md").read_text("utf-8"))
    assert "docs/security.md" in links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_editors_and_ruff_agree() -> None:
    parser = ConfigParser()
    parser.read_string("[top]\n" + (ROOT / ".editorconfig").read_text("utf-8"))
    assert parser["top"]["root"] == "true"
    assert int(parser["*.py"]["max_line_length"]) == PROJECT["tool"]["ruff"]["line-length"]
    assert parser["*"]["end_of_line"] == "lf"
