"""The names of the models inside the package, and the one way from what a user gives as a model to its file.

To ship a model, put its file into ``weights/`` and add a line to ``FILES``. To make another one the default, change
``ALIASES["default"]``.
"""

from __future__ import annotations

import os
from os import PathLike, fspath
from pathlib import Path

from mien import run_files
from mien.errors import FileMissingError, ModelError, nearest
from mien.foreign import MODELS

WEIGHTS = Path(__file__).parents[2] / "weights"

FILES = {
    "world8": "world8.onnx",
    "ferplus8": "ferplus8.onnx",
    "fer7": "fer7.onnx",
    "fer7-nano": "fer7-nano.onnx",
    "fer2013-four-block": "fer2013-four-block.onnx",
}
"""Public name → file in ``weights/``. A model file carries the same name, so that results show it."""

ALIASES = {"default": "world8", "nano": "fer7-nano", "fer8": "ferplus8"}
"""Other name → public name."""

_RUN_FILES = (run_files.MODEL, run_files.RECIPE, run_files.CLASSICAL)


def shipped() -> tuple[str, ...]:
    """Return the public names of the models inside the package, that of ``default`` first."""
    first = ALIASES["default"]
    return (first, *(name for name in FILES if name != first))


def list_models() -> list[str]:
    """Return the names that ``mien.load`` knows: the models inside the package, that of ``"default"`` first."""
    return list(shipped())


def aliases(name: str) -> tuple[str, ...]:
    """Return the other names of a model, by its public name."""
    return tuple(alias for alias, target in ALIASES.items() if target == name)


def public(model: str | PathLike[str]) -> str | None:
    """Return the public name of a model inside the package, given by a name or an alias; None for anything else.

    A ``Path`` is never a name.
    """
    if not isinstance(model, str):
        return None
    name = ALIASES.get(model, model)
    return name if name in FILES else None


def locate(model: str | PathLike[str]) -> Path:
    """Return the model file that a name, an alias, the path of a model file or a run folder stands for.

    Whether a path exists is seen when it is read.

    Raises:
        ModelError: an unknown name, or one that a run folder or a file here has too.
        FileMissingError: a folder without ``model.onnx``.
    """
    path, name = Path(model), public(model)
    if name is not None:
        _check_unambiguous(fspath(model), path)
        return WEIGHTS / FILES[name]
    if path.is_dir():
        return _exported(path)
    if _is_word(model) and not path.is_file():
        raise ModelError(_unknown(fspath(model)))
    return path


def _is_word(model: str | PathLike[str]) -> bool:
    return isinstance(model, str) and not model.endswith(".onnx") and not any(sep in model for sep in (os.sep, "/"))


def _check_unambiguous(name: str, path: Path) -> None:
    if path.is_file() or any((path / file).is_file() for file in _RUN_FILES):
        raise ModelError(
            f"{name!r} is a model inside the package, and a {'run folder' if path.is_dir() else 'file'} in this folder "
            f"has the same name. Give './{name}' for yours, or rename it to use the package's."
        )


def _exported(run: Path) -> Path:
    file = run / run_files.MODEL
    if file.is_file():
        return file
    if (run / run_files.CLASSICAL).is_file():
        raise ModelError(
            f"{run} is the run of a classical baseline, which has no ONNX network: expected a run with model.onnx. "
            "Only mien evaluate and mien audit take baselines."
        )
    if (run / run_files.RECIPE).is_file():
        raise FileMissingError(
            f"{run} holds no model.onnx: the run was not exported. Finish it with `mien train … --resume`, or write "
            f"the file with `mien export {run} --data DATA`."
        )
    raise FileMissingError(
        f"The folder {run} holds no model.onnx; expected a folder that `mien train` wrote, a model file, or one of "
        f"{', '.join(known())}."
    )


def known() -> tuple[str, ...]:
    """Return all names and aliases, names first."""
    return (*shipped(), *ALIASES)


def _unknown(word: str) -> str:
    meant = MODELS.get(word.lower())
    hint = nearest(word, known()) if meant is None else f" {meant[0].upper()}{meant[1:]}."
    return (
        f"Unknown model {word!r}: expected one of {', '.join(known())}, the path of an .onnx file written by Mien, or "
        f"a run folder. See mien models.{hint}"
    )
