"""The names of the classes in other languages, from ``languages.json``: a language is a line there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from mien.errors import OptionError, nearest


@cache
def words() -> dict[str, dict[str, str]]:
    """Return language → class in English → its name."""
    from importlib.resources import files  # brings tempfile and random; few photos need it

    text = files("mien").joinpath("languages.json").read_text("utf-8")
    table: dict[str, dict[str, str]] = json.loads(text)
    return table


def known() -> tuple[str, ...]:
    """Return the codes of the languages, ``de`` and the like."""
    return tuple(words())


def translate(labels: Sequence[str], language: str) -> tuple[str, ...]:
    """Return the names of classes in a language; a name that is none of Mien's stays as it is.

    Args:
        language: one of ``known()``, in any letters' case; ``pt-BR`` and ``pt_BR`` are ``pt``.  Raises ``OptionError``.
    """
    code = language.lower().replace("_", "-")
    table = words().get(code) or words().get(code.partition("-")[0])
    if table is None:
        raise OptionError(
            f"labels = {language!r}: expected a language of {', '.join(known())}.{nearest(code, known())}"
        )
    return tuple(table.get(label, label) for label in labels)


@cache
def english() -> dict[str, str]:
    """Return the name of a class in any language → the class in English."""
    return {name: label for table in words().values() for label, name in table.items()}
