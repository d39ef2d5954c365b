"""RAF-DB, basic set (Li, Deng & Du 2017): ``EmoLabel/list_patition_label.txt`` beside ``Image/aligned``, or folders.

The folders are ``train/happy/train_00003_aligned.webp``, with the class in the path and the number in the name. RAF-DB
has no validation set; in both layouts the same tenth of the training set is used for it (``carved``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from mien.datasets.formats.carved import split_of
from mien.datasets.formats.folders import is_image, labelled, noun
from mien.datasets.rows import RESEARCH_ONLY, Item, Options, Problem, Row, Terms
from mien.datasets.sources.archive import Source
from mien.errors import DataError
from mien.labels import RAFDB_CODES

TERMS = Terms(
    "rafdb",
    "Real-world Affective Faces Database (RAF-DB)",
    f"{RESEARCH_ONLY}, by agreement with the owners",
    "Li, Deng and Du 2017, Reliable Crowdsourcing and Deep Locality-Preserving Learning",
)

LIST = "list_patition_label.txt"  # the authors' spelling
CORPUS = "rafdb"
_NAME = re.compile(r"(train|test)_\d+_aligned")


def evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say where RAF-DB's list is."""
    member = next((name for name in names if PurePosixPath(name).name == LIST), None)
    return f"{member} is RAF-DB's list" if member else None


def rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield every line of the list with its image: aligned (100×100) if there is one, else the original."""
    images_by_name = {PurePosixPath(name).name: name for name in source.members() if is_image(name)}
    name = next((name for name in source.members() if PurePosixPath(name).name == LIST), None)
    if name is None:
        raise DataError(f"{source.path} has no {LIST}, which holds RAF-DB's labels.")
    used = set()
    for number, line in enumerate(source.read(name).decode("utf-8", "replace").splitlines(), 1):
        if line.strip():
            used.add(_find_stem(line.split()[0]))
            yield _parse_line(f"{name}:{number}", line.split(), images_by_name)
    for image in sorted(images_by_name.values()):
        if _find_stem(image) not in used:
            yield Problem(image, f"is not in {LIST}")


def _parse_line(where: str, words: list[str], images_by_name: dict[str, str]) -> Item:
    if len(words) != 2 or words[1] not in set("1234567"):
        return Problem(where, f"{' '.join(words)[:80]!r}; expected a file name and a code 1–7")
    stem, suffix = PurePosixPath(words[0]).stem, PurePosixPath(words[0]).suffix
    member = images_by_name.get(f"{stem}_aligned{suffix}") or images_by_name.get(words[0])
    if member is None:
        return Problem(where, f"{words[0]} has no image, neither aligned nor original")
    split = stem.partition("_")[0]
    if split not in ("train", "test"):
        return Problem(where, f"{words[0]} starts with neither train_ nor test_")
    return Row(member, RAFDB_CODES[int(words[1])], CORPUS, _find_split(split, stem))


def folder_evidence(_: Source, names: Sequence[str]) -> str | None:
    """Give an example if most images of class folders are named like RAF-DB's aligned faces."""
    stems = [PurePosixPath(name).stem for name in names if is_image(name) and noun(PurePosixPath(name).parent.name)]
    named = [stem for stem in stems if _NAME.fullmatch(stem)]
    return f"files such as {named[0]} are RAF-DB's aligned faces" if len(named) * 2 > len(stems) else None


def folder_rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield the images of ``train/happy/train_00003_aligned.webp``."""
    for item in labelled(source, CORPUS):
        yield item if isinstance(item, Problem) else _parse_name(item)


def _parse_name(row: Row) -> Item:
    match = _NAME.fullmatch(PurePosixPath(row.member).stem)
    if match is None:
        return Problem(row.member, "is not named as RAF-DB names aligned faces: train_00003_aligned")
    return replace(row, split=_find_split(match[1], _find_stem(row.member)))


def _find_split(official: str, stem: str) -> str:
    return split_of(CORPUS, stem) if official == "train" else official


def _find_stem(member: str) -> str:
    return PurePosixPath(member).stem.removesuffix("_aligned")
