"""FER2013 (Goodfellow et al. 2013): as the original CSV, or as the folders people download.

Both have the official splits Training (28,709), PublicTest and PrivateTest (3,589 each). The folder layout keeps
them in its file names (``test/angry/PrivateTest_123.png``), so the split is read from the name. The folder ``test``
is not one split: it mixes PublicTest and PrivateTest (system D scores on both).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mien.datasets.formats.folders import is_image, labelled
from mien.datasets.pixels import parse_csv_pixels
from mien.datasets.rows import Item, Options, Problem, Row, Terms
from mien.datasets.sources import tables
from mien.datasets.sources.archive import Source
from mien.errors import DataError
from mien.labels import FER2013

TERMS = Terms(
    "fer2013",
    "FER2013",
    "images belong to their owners on the web; given out for a research contest",
    "Goodfellow et al. 2013, Challenges in Representation Learning",
)

SPLITS = ("Training", "PublicTest", "PrivateTest")
SIDE = 48
COLUMNS = ("emotion", "pixels")
USAGE = "Usage"
_NAME = re.compile(rf"(.*/)?({'|'.join(SPLITS)})_[^/]+")


def csv_evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say which CSV has the columns emotion and pixels, and whether it names the split."""
    name = _find_csv(source, names)
    if name is None:
        return None
    usage = "" if _find_usage_column(source, name) else f", and no {USAGE}: its images have no part"
    return f"{name} has the columns {', '.join(COLUMNS)}{usage}"


def csv_rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield the rows of ``fer2013.csv`` or ``icml_face_data.csv`` (which has blanks in its header).

    Copies with semicolons or tabs between columns, commas between pixels, or no column Usage are read too; without
    Usage the images have no split.
    """
    names = [name for name in source.members() if name.lower().endswith(".csv")]
    name = _find_csv(source, names)
    if name is None:
        tables.records(source, names[0], (*COLUMNS, USAGE)).__next__() if names else None
        raise DataError(f"{source.path} has no CSV with the columns {', '.join(COLUMNS)}.")
    usage_column, columns = _find_usage_column(source, name), tables.header(source, name)
    # Unquoted pixels with commas can only be separated from the emotion if the emotion comes first.
    joined = "pixels" if columns.index("emotion") < columns.index("pixels") else ""
    for record in tables.records(source, name, COLUMNS, joined):
        yield record if isinstance(record, Problem) else _parse_csv_row(f"{name}:{record[0]}", record[1], usage_column)


def _find_usage_column(source: Source, name: str) -> str:
    """Return the column that names the split, in whatever case it is written; '' for none."""
    return next((column for column in tables.header(source, name) if column.lower() == USAGE.lower()), "")


def _find_csv(source: Source, names: Sequence[str]) -> str | None:
    candidates = [name for name in names if name.lower().endswith(".csv")][:20]
    return next((name for name in candidates if set(COLUMNS) <= set(tables.header(source, name))), None)


def _parse_csv_row(where: str, cells: dict[str, str], usage_column: str) -> Item:
    emotion, usage = cells["emotion"], _normalise_usage(cells[usage_column]) if usage_column else ""
    if emotion not in set("0123456"):
        return Problem(where, f"emotion {emotion!r}; expected 0–6")
    if usage_column and usage not in SPLITS:
        return Problem(where, f"{usage_column} {usage!r}; expected one of {', '.join(SPLITS)}")
    try:
        pixels = parse_csv_pixels(cells["pixels"], SIDE)
    except DataError as error:
        return Problem(where, str(error))
    return Row(where, FER2013.labels[int(emotion)], "fer2013", usage, pixels=pixels)


def _normalise_usage(usage: str) -> str:
    """Return FER2013's spelling of a split written in another case; any other word unchanged."""
    return next((split for split in SPLITS if split.lower() == usage.lower()), usage)


def folder_evidence(_: Source, names: Sequence[str]) -> str | None:
    """Give an example if most images have an official split in their names."""
    images = [name for name in names if is_image(name)]
    official = [name for name in images if _NAME.fullmatch(name)]
    return f"files such as {official[0]} name the official part" if len(official) * 2 > len(images) else None


def folder_rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield the images of ``train/angry/Training_1.png`` and ``test/angry/PublicTest_2.png``."""
    for item in labelled(source, "fer2013"):
        yield item if isinstance(item, Problem) else _parse_name(item)


def _parse_name(row: Row) -> Item:
    match = _NAME.fullmatch(row.member)
    if match is None:
        return Problem(
            row.member,
            f"does not start with {', '.join(SPLITS)}, so its official split is unknown. Use the original CSV or "
            "folders that keep these names",
        )
    return Row(row.member, row.label, "fer2013", match[2], side=SIDE)
