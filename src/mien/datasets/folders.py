"""Plain class folders (``…/<emotion>/name.jpg``, with or without train and test above them) and plain CSV lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from mien.datasets import tables
from mien.datasets.archive import Source, unsafe
from mien.datasets.manifest import COLUMNS
from mien.datasets.rows import Item, Options, Problem, Row
from mien.errors import DataError
from mien.formats import SUFFIXES
from mien.labels import canonical, class_word

Kind = Callable[[str], int | float | str]

PARTS = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "validate": "validation",
    "dev": "validation", "eval": "validation", "publictest": "validation",
    "test": "test", "testing": "test", "privatetest": "test", "holdout": "test",
}  # fmt: skip
"""Words that name a part of a split, in lower case and letters alone, and the part; FER2013's own words too."""

_OFFICIAL = ("Training", "PublicTest", "PrivateTest")
"""FER2013's own words, which a list of known classes keeps: recipes name its parts so."""

_ADDED = re.compile(r"(?<=.)(set|data|images?|imgs?|faces|split)$")


def part_of(word: str) -> str:
    """Return the part that a name stands for, such as ``Train``, ``test_set`` or ``PublicTest``; '' for none."""
    plain = re.sub(r"[^a-z]", "", word.lower())
    return PARTS.get(plain) or PARTS.get(_ADDED.sub("", plain), "")


def is_image(name: str) -> bool:
    """Say whether a member's ending is one of an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def noun(word: str) -> str | None:
    """Return Mien's noun for a class word, None for a word no known corpus uses."""
    try:
        return canonical(word)
    except DataError:
        return None


def labelled(source: Source, dataset: str) -> Iterator[Item]:
    """Yield every member of a class folder: a row for an image, a problem for anything else.

    What lies outside class folders is passed over unless it is an image, which then has no class: a problem.
    """
    for name in source.members():
        parent = PurePosixPath(name).parent.name
        label = noun(parent)
        if label and is_image(name):
            yield Row(name, label, dataset, _split(name))
        elif label:
            yield Problem(name, f"lies in a class folder but {PurePosixPath(name).suffix or 'no ending'} is no image's")
        elif is_image(name):
            yield Problem(name, f"no class: Unknown emotion {parent!r} as its folder's name")


def evidence(_: Source, names: Sequence[str]) -> str | None:
    """Say which image lies in a folder named after an emotion."""
    found = [name for name in names if is_image(name) and noun(PurePosixPath(name).parent.name)]
    return f"{found[0]} lies in a folder named after an emotion" if found else None


def rows(source: Source, options: Options) -> Iterator[Item]:
    """Yield the images of class folders; the dataset's name is that of the folder or archive."""
    dataset = source.path.name.split(".")[0].lower()
    yield from _own_rows(source, dataset, options.people) if options.own else labelled(source, dataset)


def _own_rows(source: Source, dataset: str, people: str) -> Iterator[Item]:
    """Yield every image with the name of its folder, whatever it is, as its class."""
    for name in source.members():
        parent = PurePosixPath(name).parent.name
        if not is_image(name):
            yield Problem(name, f"{PurePosixPath(name).suffix or 'no ending'} is no image's")
        elif not parent or part_of(parent):
            yield Problem(name, "no class: it lies in no folder that is one")
        else:
            try:
                yield Row(name, class_word(parent), dataset, _split(name), person(name, people))
            except DataError as error:
                yield Problem(name, str(error))


def person(name: str, pattern: str) -> str:
    """Return who an image is of: the first group of ``pattern`` in its name, or all that matches; '' for no match."""
    match = re.search(pattern, name) if pattern else None
    return match[match.re.groups and 1] or "" if match else ""


def _split(name: str) -> str:
    return next(filter(None, map(part_of, PurePosixPath(name).parts[:-1])), "")


def csv_evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say which CSV has the columns path and label."""
    found = _csv_name(source, names)
    return f"{found} has the columns path and label" if found else None


def csv_rows(source: Source, options: Options) -> Iterator[Item]:
    """Yield the rows of a CSV with the columns path and label, and perhaps split, subject, session and pose.

    Paths are relative to the CSV. The images are looked for beside it: in the same folder or archive. Any other column,
    such as sex or age, is the user's own: whole numbers, numbers or text, whichever all of its cells are. Columns that
    a manifest fills itself (id, width, sha256, …) are passed over.
    """
    name = _csv_name(source, [name for name in source.members() if name.lower().endswith(".csv")])
    if name is None:
        raise DataError(f"{source.path} has no CSV with the columns path and label.")
    dataset, kinds = PurePosixPath(name).stem.lower(), _kinds(source, name)
    for record in tables.records(source, name, ("path", "label")):
        if isinstance(record, Problem):
            yield record
        else:
            row = _csv_row(f"{name}:{record[0]}", record[1], PurePosixPath(name).parent, dataset, options)
            own = {key: kind(record[1][key]) if record[1][key] else None for key, kind in kinds.items()}
            yield replace(row, own=own) if own and isinstance(row, Row) else row


def _kinds(source: Source, name: str) -> dict[str, Kind]:
    """Return the user's own columns of a CSV, and what all of their cells can be read as."""
    own = [key for key in tables.header(source, name) if key and key not in {"path", *COLUMNS.names}]
    places = dict.fromkeys(own, 0)
    for record in tables.records(source, name, ()) if own else ():
        if not isinstance(record, Problem):
            places = {key: _kind(record[1][key], place) for key, place in places.items()}
    return {key: _READ_AS[place] for key, place in places.items()}


_READ_AS: tuple[Kind, ...] = (int, float, str)


def _kind(cell: str, place: int) -> int:
    """Return the place of the first way to read a cell, from ``place`` on; an empty cell can be read in any."""
    while cell and place < len(_READ_AS) - 1:
        try:
            _READ_AS[place](cell)
            break
        except ValueError:
            place += 1
    return place


def _csv_name(source: Source, names: Sequence[str]) -> str | None:
    candidates = [name for name in names if name.lower().endswith(".csv")][:20]
    return next((name for name in candidates if {"path", "label"} <= set(tables.header(source, name))), None)


def _csv_row(where: str, cells: dict[str, str], folder: PurePosixPath, dataset: str, options: Options) -> Item:
    path, label = cells["path"], _own_word(cells["label"]) if options.own else noun(cells["label"])
    if not path or unsafe(path):
        return Problem(where, f"unsafe path {path!r}, not followed; expected a path relative to the CSV, without '..'")
    if label is None:
        return Problem(where, f"{'No name for a class' if options.own else 'Unknown emotion'} {cells['label']!r}")
    split, subject, session, pose = (cells.get(key, "") for key in ("split", "subject", "session", "pose"))
    subject = subject or person(path, options.people)
    split = split if split in _OFFICIAL else part_of(split) or split
    return Row(str(folder / path), label, dataset, split, subject, session, pose)


def _own_word(word: str) -> str | None:
    try:
        return class_word(word)
    except DataError:
        return None
