"""AffectNet's seven-class copy: ``affectnet7/train/angry/12.webp``, faces masked to an oval on black.

Two lists beside the corpus name its faults: test images with a near duplicate in training, and duplicate training
images, some with conflicting labels. Listed rows are flagged; ``mien data check --drop-leaks`` drops them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from mien.datasets.formats.carved import split_of
from mien.datasets.formats.folders import is_image, labelled
from mien.datasets.guard import LISTED_CONFLICT, LISTED_DUPLICATE, LISTED_LEAK
from mien.datasets.rows import RESEARCH_ONLY, Item, Options, Problem, Row, Terms
from mien.datasets.sources import tables
from mien.datasets.sources.archive import Source, open_source
from mien.errors import DataError

TERMS = Terms(
    "affectnet7",
    "AffectNet, seven classes, nearly balanced",
    f"as AffectNet: {RESEARCH_ONLY}",
    "a selection from AffectNet (Mollahosseini, Hasani and Mahoor 2017)",
)

CORPUS = "affectnet7"
LEAKS, DUPLICATES = "affectnet7_test_train_duplicates.csv", "affectnet7_train_exact_duplicates.csv"
_NAME = re.compile(r"(?:(.*/)?affectnet7/)?((train|test)/[a-z]+/\d+)\.\w+")


@dataclass
class Faults:
    """Listed faults: image key (``train/angry/12``) → flag; ``problems`` reports missing lists."""

    flags: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say which image lies in AffectNet-7's folders."""
    named = source.path.name.split(".")[0] == CORPUS
    images = (name for name in names if is_image(name) and (named or f"{CORPUS}/" in name))
    match = next((name for name in images if _NAME.fullmatch(name)), None)
    return f"{match} lies in the folders of AffectNet's seven-class copy" if match else None


def rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield every image with its class, training split into train and validation, listed faults flagged."""
    faults = read_faults(source)
    yield from faults.problems
    for item in labelled(source, CORPUS):
        yield item if isinstance(item, Problem) else _split_and_flag(item, faults)


def _split_and_flag(row: Row, faults: Faults) -> Item:
    match = _NAME.fullmatch(row.member)
    if match is None:
        return Problem(row.member, "does not lie in {train,test}/<emotion>/<number>")
    key = match[2]
    split = "test" if match[3] == "test" else split_of(CORPUS, key)
    return replace(row, split=split, flags=(faults.flags[key],) if key in faults.flags else ())


def read_faults(source: Source) -> Faults:
    """Read the two fault lists beside the corpus, or inside it if it is a folder.

    A missing list is reported as a problem; the rows are kept.

    Raises:
        DataError: a list lacks its columns.
    """
    faults = Faults()
    with_list = {name: _read_list(source, name, faults) for name in (LEAKS, DUPLICATES)}
    for record in with_list[LEAKS]:
        faults.flags[_strip_suffix(record["test"])] = LISTED_LEAK
    groups: dict[str, list[dict[str, str]]] = defaultdict(list)
    for record in with_list[DUPLICATES]:
        groups[record["group"]].append(record)
    for group in groups.values():
        conflicting = group[0]["labels_in_group"] != "1"
        for record in group if conflicting else group[1:]:
            faults.flags[_strip_suffix(record["image"])] = LISTED_CONFLICT if conflicting else LISTED_DUPLICATE
    return faults


_COLUMNS = {LEAKS: ("test", "train", "same_label"), DUPLICATES: ("group", "image", "labels_in_group")}


def _read_list(source: Source, name: str, faults: Faults) -> list[dict[str, str]]:
    candidates = (
        [source.path / name, source.path.parent / name] if source.path.is_dir() else [source.path.parent / name]
    )
    path = next((candidate for candidate in candidates if candidate.exists()), None)
    if path is None:
        what = "is missing beside the corpus, so its duplicates are not flagged. Put it there and index again"
        faults.problems.append(Problem(name, what, kept=True))
        return []
    with open_source(path) as table:
        records = list(tables.records(table, name, _COLUMNS[name]))
    broken = next((record for record in records if isinstance(record, Problem)), None)
    if broken:
        raise DataError(str(broken))
    return [record[1] for record in records if not isinstance(record, Problem)]


def _strip_suffix(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))
