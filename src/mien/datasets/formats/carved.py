"""Fixed validation and test splits for corpora that come without them.

``splits/<corpus>.csv`` lists every held-out image (or person) with its split; all others stay in training. The lists
were drawn once by ``scripts/carve_splits.py`` and ship with the package, so that the split does not depend on the run,
the machine or a library version.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from mien.errors import DataError

FOLDER = Path(__file__).parents[1] / "splits"
HELD_OUT = ("validation", "test")


def split_of(corpus: str, key: str) -> str:
    """Look up the split of an image or a person: ``train``, ``validation`` or ``test``.

    Args:
        corpus: the name of a list in ``splits``, such as ``rafdb``.
        key: as in the list: an image's stem or path, or a person.

    Raises:
        DataError: there is no list for ``corpus``, or it is damaged.
    """
    return held_out(corpus).get(key, "train")


@lru_cache
def held_out(corpus: str) -> Mapping[str, str]:
    """Return key → split of everything held out of training.

    Raises:
        DataError: as ``split_of`` does.
    """
    path = FOLDER / f"{corpus}.csv"
    if not path.exists():
        lists = ", ".join(sorted(file.stem for file in FOLDER.glob("*.csv")))
        raise DataError(f"No carved split for {corpus!r}; there are {lists}.")
    with path.open(newline="", encoding="utf-8") as file:
        splits = {row["key"]: row["split"] for row in csv.DictReader(file)}
    if not splits or set(splits.values()) - set(HELD_OUT):
        raise DataError(f"{path.name} is damaged: expected the columns key and split ({', '.join(HELD_OUT)}).")
    return MappingProxyType(splits)
