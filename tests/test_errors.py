"""The error tree: one root, builtins that callers try first, messages that say what to do."""

from __future__ import annotations

import inspect

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
    builtins = (ValueError, FileNotFoundError, ImportError, RuntimeError)
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
