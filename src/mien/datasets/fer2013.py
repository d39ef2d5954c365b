"""FER2013 (Goodfellow et al. 2013): as the original CSV, or as the folders people download.

Both hold the official parts Training (28,709), PublicTest and PrivateTest (3,589 each). The folder layout keeps
them in its file names (``test/angry/PrivateTest_123.png``), which is why files are read by name and the folder
``test`` is never taken for one part (it is PublicTest and PrivateTest together; system D scores on both).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mien.datasets import tables
from mien.datasets.archive import Source
from mien.datasets.folders import is_image, labelled
from mien.datasets.pixels import csv_pixels
from mien.datasets.rows import Item, Options, Problem, Row
from mien.errors import DataError
from mien.labels import FER2013

SPLITS = ("Training", "PublicTest", "PrivateTest")
SIDE = 48
COLUMNS = ("emotion", "pixels")
USAGE = "Usage"
_NAME = re.compile(rf"(.*/)?({'|'.join(SPLITS)})_[^/]+")


def csv_evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say which CSV has the columns emotion and pixels, and whether it says the part."""
    found = _csv_name(source, names)
    if found is None:
        return None
    usage = "" if _part_column(source, found) else f", and no {USAGE}: its images have no part"
    return f"{found} has the columns {', '.join(COLUMNS)}{usage}"


def csv_rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield the rows of ``fer2013.csv`` or ``icml_face_data.csv`` (which has blanks in its header).

    Copies of it are read too that have semicolons or tabs between columns, commas between pixels, or no column Usage;
    the images of the last kind have no part.
    """
    names = [name for name in source.members() if name.lower().endswith(".csv")]
    name = _csv_name(source, names)
    if name is None:
        tables.records(source, names[0], (*COLUMNS, USAGE)).__next__() if names else None
        raise DataError(f"{source.path} has no CSV with the columns {', '.join(COLUMNS)}.")
    part, columns = _part_column(source, name), tables.header(source, name)
    # Pixels with commas between them are told from an emotion that comes first, and from none that follows.
    joined = "pixels" if columns.index("emotion") < columns.index("pixels") else ""
    for record in tables.records(source, name, COLUMNS, joined):
        yield record if isinstance(record, Problem) else _csv_row(f"{name}:{record[0]}", record[1], part)


def _part_column(source: Source, name: str) -> str:
    """Return the column that says the part, however it is written; '' for none."""
    return next((column for column in tables.header(source, name) if column.lower() == USAGE.lower()), "")


def _csv_name(source: Source, names: Sequence[str]) -> str | None:
    candidates = [name for name in names if name.lower().endswith(".csv")][:20]
    return next((name for name in candidates if set(COLUMNS) <= set(tables.header(source, name))), None)


def _csv_row(where: str, cells: dict[str, str], part: str) -> Item:
    emotion, usage = cells["emotion"], _usage(cells[part]) if part else ""
    if emotion not in set("0123456"):
        return Problem(where, f"emotion {emotion!r}; expected 0–6")
    if part and usage not in SPLITS:
        return Problem(where, f"{part} {usage!r}; expected one of {', '.join(SPLITS)}")
    try:
        pixels = csv_pixels(cells["pixels"], SIDE)
    except DataError as error:
        return Problem(where, str(error))
    return Row(where, FER2013.labels[int(emotion)], "fer2013", usage, pixels=pixels)


def _usage(word: str) -> str:
    """Return FER2013's own word for a part that is written in other letters, else the word."""
    return next((split for split in SPLITS if split.lower() == word.lower()), word)


def folder_evidence(_: Source, names: Sequence[str]) -> str | None:
    """Say how many images carry an official part in their names."""
    found = [name for name in names if is_image(name)]
    official = [name for name in found if _NAME.fullmatch(name)]
    return f"files such as {official[0]} name the official part" if len(official) * 2 > len(found) else None


def folder_rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield the images of ``train/angry/Training_1.png`` and ``test/angry/PublicTest_2.png``."""
    for item in labelled(source, "fer2013"):
        yield item if isinstance(item, Problem) else _official(item)


def _official(row: Row) -> Item:
    match = _NAME.fullmatch(row.member)
    if match is None:
        return Problem(
            row.member,
            f"does not start with {', '.join(SPLITS)}; without that the official part is unknown. Use the original "
            "CSV or the folders that keep these names",
        )
    return Row(row.member, row.label, "fer2013", match[2], side=SIDE)
