"""Plain class folders (``…/<emotion>/name.jpg``, with or without train and test above them) and plain CSV lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from mien.datasets.manifest import COLUMNS
from mien.datasets.rows import Item, Options, Problem, Row
from mien.datasets.sources import tables
from mien.datasets.sources.archive import Source, is_unsafe
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
"""Name of a split, in lower-case letters only → split; includes FER2013's names."""

_OFFICIAL = ("Training", "PublicTest", "PrivateTest")
"""FER2013's own names, kept in CSV lists because recipes refer to them."""

_ADDED = re.compile(r"(?<=.)(set|data|images?|imgs?|faces|split)$")


def part_of(word: str) -> str:
    """Return the split that a name such as ``Train``, ``test_set`` or ``PublicTest`` stands for; '' for none."""
    plain = re.sub(r"[^a-z]", "", word.lower())
    return PARTS.get(plain) or PARTS.get(_ADDED.sub("", plain), "")


def is_image(name: str) -> bool:
    """Check whether a member's file extension is that of an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def naming_evidence(names: Sequence[str], pattern: re.Pattern[str], corpus: str) -> str | None:
    """Give an example if the names of most images, without folder and extension, match a corpus's pattern."""
    stems = [PurePosixPath(name).stem for name in names if is_image(name)]
    matching = [stem for stem in stems if pattern.fullmatch(stem)]
    return f"files such as {matching[0]} follow {corpus}'s naming" if len(matching) * 2 > len(stems) else None


def noun(word: str) -> str | None:
    """Return Mien's label for a corpus's name of a class, None if no known corpus uses it."""
    try:
        return canonical(word)
    except DataError:
        return None


def labelled(source: Source, dataset: str) -> Iterator[Item]:
    """Yield every member of a class folder: a row for an image, a problem for anything else.

    Members outside class folders are skipped, except images, which are problems because they have no class.
    """
    for name in source.members():
        parent = PurePosixPath(name).parent.name
        label = noun(parent)
        if label and is_image(name):
            yield Row(name, label, dataset, _split_from_path(name))
        elif label:
            yield Problem(
                name, f"is in a class folder, but {PurePosixPath(name).suffix or 'no extension'} is not an image format"
            )
        elif is_image(name):
            yield Problem(name, f"no class: Unknown emotion {parent!r} as its folder's name")


def evidence(_: Source, names: Sequence[str]) -> str | None:
    """Say which image lies in a folder named after an emotion."""
    images = [name for name in names if is_image(name) and noun(PurePosixPath(name).parent.name)]
    return f"{images[0]} lies in a folder named after an emotion" if images else None


def rows(source: Source, options: Options) -> Iterator[Item]:
    """Yield the images of class folders; the dataset is named after the folder or archive."""
    dataset = source.path.name.split(".")[0].lower()
    yield from _own_rows(source, dataset, options.people) if options.own else labelled(source, dataset)


def _own_rows(source: Source, dataset: str, people: str) -> Iterator[Item]:
    """Yield every image with the name of its folder, whatever it is, as its label."""
    for name in source.members():
        parent = PurePosixPath(name).parent.name
        if not is_image(name):
            yield Problem(name, f"{PurePosixPath(name).suffix or 'no extension'} is not an image format")
        elif not parent or part_of(parent):
            yield Problem(name, "no class: it is not in a class folder")
        else:
            try:
                yield Row(name, class_word(parent), dataset, _split_from_path(name), match_person(name, people))
            except DataError as error:
                yield Problem(name, str(error))


def match_person(name: str, pattern: str) -> str:
    """Return the person that ``pattern`` finds in a name: its first group, or the whole match; '' for no match."""
    match = re.search(pattern, name) if pattern else None
    return match[match.re.groups and 1] or "" if match else ""


def _split_from_path(name: str) -> str:
    return next(filter(None, map(part_of, PurePosixPath(name).parts[:-1])), "")


def csv_evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say which CSV has the columns path and label."""
    name = _find_csv(source, names)
    return f"{name} has the columns path and label" if name else None


def csv_rows(source: Source, options: Options) -> Iterator[Item]:
    """Yield the rows of a CSV with the columns path and label, and perhaps split, subject, session and pose.

    Paths are relative to the CSV, in the same folder or archive. Any other column, such as sex or age, is kept as the
    user's own, as int, float or str, whichever fits all of its cells. Columns that a manifest fills itself (id, width,
    sha256, …) are ignored.
    """
    name = _find_csv(source, [name for name in source.members() if name.lower().endswith(".csv")])
    if name is None:
        raise DataError(f"{source.path} has no CSV with the columns path and label.")
    dataset, kinds = PurePosixPath(name).stem.lower(), _infer_types(source, name)
    for record in tables.records(source, name, ("path", "label")):
        if isinstance(record, Problem):
            yield record
        else:
            row = _parse_csv_row(f"{name}:{record[0]}", record[1], PurePosixPath(name).parent, dataset, options)
            own = {key: kind(record[1][key]) if record[1][key] else None for key, kind in kinds.items()}
            yield replace(row, own=own) if own and isinstance(row, Row) else row


def _infer_types(source: Source, name: str) -> dict[str, Kind]:
    """Return the user's own columns of a CSV → the narrowest type that fits all of their cells."""
    own = [key for key in tables.header(source, name) if key and key not in {"path", *COLUMNS.names}]
    levels = dict.fromkeys(own, 0)
    for record in tables.records(source, name, ()) if own else ():
        if not isinstance(record, Problem):
            levels = {key: _widen_type(record[1][key], level) for key, level in levels.items()}
    return {key: _READ_AS[level] for key, level in levels.items()}


_READ_AS: tuple[Kind, ...] = (int, float, str)


def _widen_type(cell: str, level: int) -> int:
    """Return the index in ``_READ_AS``, from ``level`` on, of the first type that fits a cell; empty cells fit any."""
    while cell and level < len(_READ_AS) - 1:
        try:
            _READ_AS[level](cell)
            break
        except ValueError:
            level += 1
    return level


def _find_csv(source: Source, names: Sequence[str]) -> str | None:
    candidates = [name for name in names if name.lower().endswith(".csv")][:20]
    return next((name for name in candidates if {"path", "label"} <= set(tables.header(source, name))), None)


def _parse_csv_row(where: str, cells: dict[str, str], folder: PurePosixPath, dataset: str, options: Options) -> Item:
    path, label = cells["path"], _own_label(cells["label"]) if options.own else noun(cells["label"])
    if not path or is_unsafe(path):
        return Problem(where, f"unsafe path {path!r}, not followed; expected a path relative to the CSV, without '..'")
    if label is None:
        return Problem(where, f"{'No name for a class' if options.own else 'Unknown emotion'} {cells['label']!r}")
    split, subject, session, pose = (cells.get(key, "") for key in ("split", "subject", "session", "pose"))
    subject = subject or match_person(path, options.people)
    split = split if split in _OFFICIAL else part_of(split) or split
    return Row(str(folder / path), label, dataset, split, subject, session, pose)


def _own_label(word: str) -> str | None:
    try:
        return class_word(word)
    except DataError:
        return None
