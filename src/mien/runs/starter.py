"""Write the recipe of ``mien new``: a new last layer on a finished model, for the user's own classes."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import tomli_w

from mien.datasets.manifest import Manifest
from mien.datasets.own import is_uneven
from mien.errors import OptionError
from mien.files import appearing
from mien.preprocess import PreprocessSpec
from mien.recipes import recipe
from mien.recognition.model_files import bundle, names

_HEADER = """\
# Command:  mien train {recipe} --data {data} --out {run}
# Time:     minutes on a CPU: the network sees each face twice, once mirrored, and the features are cached
# Keys:     head.c lists the strengths to try; the validation set selects one. See docs/own-data.md for more to try.
"""


def preprocess_of(trunk: str) -> PreprocessSpec:
    """Return the preprocessing of a model, by name or path, which a head on it must use too.

    Raises:
        OptionError: a model with CLAHE, and as ``bundle.read``.
    """
    spec = bundle.read(trunk).preprocess
    if spec.clahe:
        raise OptionError(
            f"The model {trunk} equalises each face at full resolution (preprocess.clahe), which small crops no longer "
            "have; expected a model without. Use --trunk ferplus8."
        )
    return spec


def write(path: Path, faces: Manifest, trunk: str, data: Path) -> Path:
    """Write a recipe for the classes of ``faces``, in alphabetical order, to ``path`` and return the path.

    Args:
        trunk: a model by name, alias or path; the recipe records its public name, because ``default`` may be another
            model in a later version.
        data: the path of the manifest, for the comment on how to train.
    """
    trunk = names.public(trunk) or trunk
    spec, plain = preprocess_of(trunk), PreprocessSpec()
    own = {field.name: getattr(spec, field.name) for field in fields(spec)}
    classes = sorted(set(faces.array("label").tolist()))
    values: dict[str, Any] = {
        "name": _name(path.resolve().parent.name),
        "about": f"{', '.join(classes)}: a new last layer on {trunk}.",
        "data": {"classes": classes},
        "preprocess": {key: value for key, value in own.items() if value != getattr(plain, key)},
        "head": {"trunk": trunk, **({"class_weights": 1.0} if is_uneven(faces) else {})},
    }
    recipe.parse_any(values, str(path))  # do not write an invalid recipe
    text = tomli_w.dumps({key: value for key, value in values.items() if value})
    header = _HEADER.format(recipe=path, data=data, run=path.parent / "run")
    with appearing(path) as draft:
        draft.write_text(f"{header}{text}", encoding="utf-8")
    return path


def _name(folder: str) -> str:
    """Turn a folder's name into a recipe's: lower-case letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9._-]+", "-", folder.lower()).strip("._-") or "own"
