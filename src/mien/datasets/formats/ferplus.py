"""FER+ (Barsoum et al. 2016): the votes of ten annotators for every FER2013 face, joined to any copy of FER2013.

An image is matched to its votes in one of three ways: by the line number in the original ``fer2013.csv`` (FER+ has the
same rows in the same order), by the FER+ image name (``fer0000017.png``), or, for the Kaggle folders, whose names have
neither, by the table ``fer2013_to_ferplus.csv``, made by comparing pixels. A face that occurs several times in FER2013
with different labels is ambiguous in that table, because its votes cannot be identified, and is dropped.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from mien.datasets.formats.folders import is_image
from mien.datasets.rows import Item, Options, Problem, Row, Terms
from mien.datasets.sources import tables
from mien.datasets.sources.archive import Source, open_source
from mien.errors import DataError, FileMissingError, OptionError
from mien.labels import FERPLUS, NO_FACE, UNKNOWN, majority, plurality

TERMS = Terms(
    "ferplus",
    "FER+, ten votes for each face of FER2013",
    "votes: MIT licence (Microsoft); the images are FER2013's",
    "Barsoum et al. 2016, Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Labels",
)

VOTES, TABLE = "fer2013new.csv", "fer2013_to_ferplus.csv"
ROWS = 35_887
_COUNTS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
_IMAGE = re.compile(r"fer\d{7}")
_FOLDERS = {"FER2013Train": "Training", "FER2013Valid": "PublicTest", "FER2013Test": "PrivateTest"}

Votes = tuple[int, ...]

RULES: dict[str, Callable[[Votes], str] | None] = {"corpus": None, "majority": majority, "plurality": plurality}
"""Rule → what turns ten votes into a label; None keeps FER2013's."""


@dataclass
class Join:
    """Joins FER+'s votes to rows of FER2013.

    Attributes:
        votes: (usage, image name, ten counts) of each row of FER+.
        table: (class folder, image stem) → (row of FER+, kind of match, whether it is ambiguous).
        rule: ``corpus`` keeps FER2013's labels; ``majority`` replaces them by the FER+ majority (none for unknown, NF
            and faces without votes); ``plurality`` by the emotion with the most votes, as most papers count FERPlus.
        counts: kind of match → number of rows joined so far.
    """

    votes: list[tuple[str, str, Votes]]
    table: dict[tuple[str, str], tuple[int, str, bool]]
    rule: str = "corpus"
    counts: Counter[str] = field(default_factory=Counter)

    def __call__(self, item: Item) -> Item | None:
        """Return a row with its votes, None for an ambiguous one; problems are returned unchanged."""
        if isinstance(item, Problem):
            return item
        row, kind = self._find_row(item)
        self.counts[kind] += 1
        if kind == "ambiguous":
            return None
        if row is None:
            label = item.label if RULES[self.rule] is None else None
            return replace(item, label=label, flags=(*item.flags, "no_votes"))
        votes, chosen = self.votes[row][2], RULES[self.rule]
        verdict = (chosen or majority)(votes)
        flags = (*item.flags, *(["duplicate"] if kind == "duplicate" else []))
        flags = (*flags, verdict) if verdict in (UNKNOWN, NO_FACE) else flags
        label = item.label if chosen is None else verdict if verdict in FERPLUS.labels else None
        return replace(item, label=label, votes=votes, flags=flags)

    def _find_row(self, row: Row) -> tuple[int | None, str]:
        line = re.fullmatch(r".+\.csv:(\d+)", row.member)
        if line:
            return self._join_by_line(int(line[1]) - 2, row)
        path = PurePosixPath(row.member)
        if _IMAGE.fullmatch(path.stem):
            return self._join_by_name(path.stem)
        number, match, ambiguous = self.table.get((path.parent.name, path.stem), (None, "without votes", False))
        if ambiguous:
            return None, "ambiguous"
        return number, "duplicate" if match == "duplicate_image" else match

    def _join_by_line(self, number: int, row: Row) -> tuple[int | None, str]:
        if number >= len(self.votes) or self.votes[number][0] != row.split:
            raise DataError(
                f"{row.member} ({row.split}) is not row {number} of {VOTES}. Joining by line number needs "
                f"the complete original fer2013.csv with its {ROWS:,} rows in order."
            )
        return number, "unique"

    def _join_by_name(self, name: str) -> tuple[int | None, str]:
        if not self.names:
            self.names.update({image: row for row, (_, image, _) in enumerate(self.votes)})
        number = self.names.get(f"{name}.png")
        return (number, "unique") if number is not None else (None, "without votes")

    def __post_init__(self) -> None:
        self.names: dict[str, int] = {}
        if self.rule not in RULES:
            raise OptionError(f"No vote rule {self.rule!r}; there are {', '.join(RULES)}.")


def open_join(path: str | Path, rule: str = "corpus") -> Join:
    """Read ``fer2013new.csv``, and ``fer2013_to_ferplus.csv`` if it is in the same folder.

    Args:
        path: the file or its folder.
        rule: see ``Join``.

    Raises:
        FileMissingError: there is no such file.
        DataError: the file is damaged.
        OptionError: an unknown rule.
    """
    path = Path(path)
    file = path / VOTES if path.is_dir() else path
    if not file.exists():
        raise FileMissingError(f"{file} does not exist; expected FER+'s {VOTES} or the folder that holds it.")
    table = file.with_name(TABLE)
    with open_source(file) as source:
        return Join(_read_votes(source, file.name), _read_table(table) if table.exists() else {}, rule)


def _read_votes(source: Source, name: str) -> list[tuple[str, str, Votes]]:
    votes = []
    for record in tables.records(source, name, ("Usage", "Image name", *_COUNTS)):
        if isinstance(record, Problem):
            raise DataError(str(record))  # rows are joined by position: a lost row would shift all that follow
        cells = record[1]
        try:
            counts = tuple(int(float(cells[column])) for column in _COUNTS)
        except ValueError as error:
            raise DataError(f"{name}:{record[0]}: {error}; expected ten vote counts.") from error
        votes.append((cells["Usage"], cells["Image name"], counts))
    return votes


def _read_table(path: Path) -> dict[tuple[str, str], tuple[int, str, bool]]:
    with path.open(newline="", encoding="utf-8") as file:
        matches = {}
        for cells in csv.DictReader(file):
            image = PurePosixPath(cells["path"])
            # Class folder and name, because one name, Training_8475486, occurs in two folders.
            key = (image.parent.name, image.stem)
            matches[key] = (int(cells["ferplus_row"]), cells["match"], int(cells["fer_classes_in_group"]) > 1)
        return matches


def evidence(_: Source, names: Sequence[str]) -> str | None:
    """Say which image is named as by FER+'s generator."""
    image = next((name for name in names if is_image(name) and _IMAGE.fullmatch(PurePosixPath(name).stem)), None)
    return f"{image} is named as FER+ names images" if image else None


def rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield ``FER2013Train/fer0000017.png`` and so on, with their votes and the label of the majority.

    ``fer2013new.csv`` may be anywhere in the source.
    """
    name = next((name for name in source.members() if PurePosixPath(name).name == VOTES), None)
    if name is None:
        raise DataError(f"{source.path} has no {VOTES}, which holds FER+'s votes; add it.")
    join = Join(_read_votes(source, name), {}, "majority")
    for member in source.members():
        path = PurePosixPath(member)
        if is_image(member) and _IMAGE.fullmatch(path.stem):
            item = join(Row(member, None, "ferplus", _FOLDERS.get(path.parent.name, ""), side=48))
            if item is not None:
                yield item
        elif is_image(member):
            yield Problem(member, "is not named as FER+ names images (fer0000017.png)")
