"""The error tree: one root, builtins that callers try first, messages that say what to do."""

from __future__ import annotations

import inspect
import json
from importlib import metadata
from pathlib import Path

import pytest

from mien import errors
from mien.errors import FileMissingError, MienError, MissingExtraError, nearest

LEAVES = [
    leaf
    for _, leaf in inspect.getmembers(errors, inspect.isclass)
    if issubclass(leaf, MienError) and leaf is not MienError
]


@pytest.mark.parametrize("leaf", LEAVES)
def test_leaf_is_also_a_builtin(leaf: type[MienError]) -> None:
    builtins = (ValueError, FileNotFoundError, ImportError, RuntimeError, MemoryError)
    assert any(issubclass(leaf, builtin) for builtin in builtins)
    assert leaf.__doc__


def test_missing_file_shows_its_message_only() -> None:
    assert str(FileMissingError("No such picture: 'a.jpg'.")) == "No such picture: 'a.jpg'."
    assert str(FileMissingError()) == ""


def test_missing_extra_names_the_command() -> None:
    error = MissingExtraError.for_extra("detector 'mtcnn'", "mtcnn")
    assert "detector 'mtcnn'" in str(error)
    assert "pip install 'mien[mtcnn]'" in str(error)


def test_nearest() -> None:
    assert nearest("yunnet", ("yunet", "haar")) == " Did you mean 'yunet'?"
    assert nearest("zzz", ("yunet", "haar")) == ""


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'mien[video]'"),
        (
            {"url": "file://FOLDER", "dir_info": {}},
            "pip install 'FOLDER[video]' (from an index: pip install 'mien[video]')",
        ),
        ({"url": "https://example.org/mien.whl", "archive_info": {}}, "pip install 'mien[video]'"),
    ],
)
def test_the_install_command_works_where_this_installation_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None, command: str
) -> None:
    class Installed:
        def read_text(self, _: str) -> str | None:
            return json.dumps(origin).replace("FOLDER", tmp_path.as_posix()) if origin else None

    monkeypatch.setattr(errors, "__file__", str(tmp_path / "site" / "mien" / "errors.py"))
    monkeypatch.setattr(metadata, "distribution", lambda _: Installed())
    assert errors.install_command("video") == command.replace("FOLDER", str(tmp_path))


def test_a_checkout_is_installed_from_itself() -> None:
    root = Path(errors.__file__).parents[2]
    if (root / "pyproject.toml").is_file():
        assert errors.install_command("video").startswith(f"pip install -e '{root}[video]' ")
