"""FER+ (Barsoum et al. 2016): ten people's votes on every FER2013 face, joined to whichever copy of FER2013 is at hand.

Three ways lead from an image to its votes: the line number in the original ``fer2013.csv`` (FER+ has the same rows in
the same order), the FER+ image name (``fer0000017.png``), and, for the Kaggle folders, whose names say neither, a
table ``fer2013_to_ferplus.csv`` that was made by comparing pixels. In that table a face that stands several times in
FER2013 may belong to rows of several classes: then nobody can say which votes are its own, and it is dropped.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from mien.datasets import tables
from mien.datasets.archive import Source, open_source
from mien.datasets.folders import is_image
from mien.datasets.rows import Item, Options, Problem, Row
from mien.errors import DataError, FileMissingError, OptionError
from mien.labels import FERPLUS, NO_FACE, UNKNOWN, majority

VOTES, TABLE = "fer2013new.csv", "fer2013_to_ferplus.csv"
ROWS = 35_887
RULES = ("corpus", "majority")
_COUNTS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
_IMAGE = re.compile(r"fer\d{7}")
_FOLDERS = {"FER2013Train": "Training", "FER2013Valid": "PublicTest", "FER2013Test": "PrivateTest"}

Votes = tuple[int, ...]


@dataclass
class Join:
    """The votes, and how many rows of each kind the join has met.

    rule: ``corpus`` keeps FER2013's labels; ``majority`` replaces them by the FER+ verdict (none for unknown, NF
    and faces without votes).
    """

    votes: list[tuple[str, str, Votes]]
    table: dict[tuple[str, str], tuple[int, str, bool]]
    rule: str = "corpus"
    counts: Counter[str] = field(default_factory=Counter)

    def __call__(self, item: Item) -> Item | None:
        """Return a row with its votes, None for an ambiguous one; problems pass."""
        if isinstance(item, Problem):
            return item
        row, kind = self._find(item)
        self.counts[kind] += 1
        if kind == "ambiguous":
            return None
        if row is None:
            label = item.label if self.rule == "corpus" else None
            return replace(item, label=label, flags=(*item.flags, "no_votes"))
        verdict = majority(self.votes[row][2])
        flags = (*item.flags, *(["duplicate"] if kind == "duplicate" else []))
        flags = (*flags, verdict) if verdict in (UNKNOWN, NO_FACE) else flags
        label = item.label if self.rule == "corpus" else verdict if verdict in FERPLUS.labels else None
        return replace(item, label=label, votes=self.votes[row][2], flags=flags)

    def _find(self, row: Row) -> tuple[int | None, str]:
        line = re.fullmatch(r".+\.csv:(\d+)", row.member)
        if line:
            return self._numbered(int(line[1]) - 2, row)
        path = PurePosixPath(row.member)
        if _IMAGE.fullmatch(path.stem):
            return self._numbered_image(path.stem)
        number, match, ambiguous = self.table.get((path.parent.name, path.stem), (None, "without votes", False))
        if ambiguous:
            return None, "ambiguous"
        return number, "duplicate" if match == "duplicate_image" else match

    def _numbered(self, number: int, row: Row) -> tuple[int | None, str]:
        if number >= len(self.votes) or self.votes[number][0] != row.split:
            raise DataError(
                f"{row.member} ({row.split}) is not row {number} of {VOTES}. Votes join by line number only to "
                f"the whole original fer2013.csv, {ROWS:,} rows in their order."
            )
        return number, "unique"

    def _numbered_image(self, name: str) -> tuple[int | None, str]:
        if not self.names:
            self.names.update({image: place for place, (_, image, _) in enumerate(self.votes)})
        number = self.names.get(f"{name}.png")
        return (number, "unique") if number is not None else (None, "without votes")

    def __post_init__(self) -> None:
        self.names: dict[str, int] = {}
        if self.rule not in RULES:
            raise OptionError(f"No vote rule {self.rule!r}; there are {', '.join(RULES)}.")


def open_join(path: str | Path, rule: str = "corpus") -> Join:
    """Read ``fer2013new.csv``, and ``fer2013_to_ferplus.csv`` if it lies beside it. path: the file or its folder.

    Raises ``FileMissingError`` and ``DataError``.
    """
    place = Path(path)
    file = place / VOTES if place.is_dir() else place
    if not file.exists():
        raise FileMissingError(f"{file} does not exist; expected FER+'s {VOTES} or the folder that holds it.")
    table = file.with_name(TABLE)
    with open_source(file) as source:
        return Join(_votes(source, file.name), _table(table) if table.exists() else {}, rule)


def _votes(source: Source, name: str) -> list[tuple[str, str, Votes]]:
    found = []
    for record in tables.records(source, name, ("Usage", "Image name", *_COUNTS)):
        if isinstance(record, Problem):
            raise DataError(str(record))  # rows join by position: one that is lost shifts all that follow
        cells = record[1]
        try:
            counts = tuple(int(float(cells[column])) for column in _COUNTS)
        except ValueError as error:
            raise DataError(f"{name}:{record[0]}: {error}; expected ten vote counts.") from error
        found.append((cells["Usage"], cells["Image name"], counts))
    return found


def _table(path: Path) -> dict[tuple[str, str], tuple[int, str, bool]]:
    with path.open(newline="", encoding="utf-8") as file:
        found = {}
        for cells in csv.DictReader(file):
            image = PurePosixPath(cells["path"])
            # Class folder and name: one name, Training_8475486, stands in two folders.
            key = (image.parent.name, image.stem)
            found[key] = (int(cells["ferplus_row"]), cells["match"], int(cells["fer_classes_in_group"]) > 1)
        return found


def evidence(_: Source, names: Sequence[str]) -> str | None:
    """Say which image is named as FER+'s generator names them."""
    found = next((name for name in names if is_image(name) and _IMAGE.fullmatch(PurePosixPath(name).stem)), None)
    return f"{found} is named as FER+ names images" if found else None


def rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield ``FER2013Train/fer0000017.png`` and so on, with votes and the majority's label.

    The votes come from ``fer2013new.csv`` anywhere in the source.
    """
    name = next((name for name in source.members() if PurePosixPath(name).name == VOTES), None)
    if name is None:
        raise DataError(f"{source.path} has no {VOTES}, which holds FER+'s votes; put it in.")
    join = Join(_votes(source, name), {}, "majority")
    for member in source.members():
        path = PurePosixPath(member)
        if is_image(member) and _IMAGE.fullmatch(path.stem):
            item = join(Row(member, None, "ferplus", _FOLDERS.get(path.parent.name, ""), side=48))
            if item is not None:
                yield item
        elif is_image(member):
            yield Problem(member, "is not named as FER+ names images (fer0000017.png)")
