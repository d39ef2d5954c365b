"""Taiwanese corpora of posed expressions (Chen, Cho & Tseng 2013): ``labels.csv`` with the raters' votes.

Performers were asked for the expression ``intended``; raters then chose classes, and recognised only one in five faces
of fear. So a row's label is the raters' first choice, the votes are soft labels, and ``intended`` is kept as a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from mien.datasets.formats.carved import split_of
from mien.datasets.formats.folders import is_image, noun
from mien.datasets.rows import Item, Options, Problem, Row, Terms
from mien.datasets.sources import tables
from mien.datasets.sources.archive import Source, is_unsafe
from mien.errors import DataError
from mien.labels import VOTES

TERMS = Terms(
    "taiwanese",
    "Taiwanese Corpora of Chinese Emotions, posed expressions",
    "academic use only",
    "Chen, Cho and Tseng 2013",
)

CORPUS = "taiwanese"
LIST = "labels.csv"
SHARES = {
    "neutral": "voting_peace", "happiness": "voting_happy", "surprise": "voting_surprise", "sadness": "voting_sad",
    "anger": "voting_angry", "disgust": "voting_disgust", "fear": "voting_fear",
}  # fmt: skip
"""Class → column with the share of raters who chose it, 0 to 1; some chose two, so rows sum to 1.0 to 1.4."""

_COLUMNS = ("image", "performer", "intended", *SHARES.values())


def evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say which list has the raters' votes."""
    name = _find_list(source, names)
    return f"{name} has the columns of the Taiwanese corpora" if name else None


def rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield every line of the list with its image: performer as subject, votes in hundredths, split by performer."""
    name = _find_list(source, list(source.members()))
    if name is None:
        raise DataError(f"{source.path} has no {LIST} with the columns {', '.join(_COLUMNS)}.")
    folder = PurePosixPath(name).parent
    images = {PurePosixPath(member).stem: member for member in source.members() if is_image(member)}
    listed = set()
    for record in tables.records(source, name, _COLUMNS):
        if isinstance(record, Problem):
            yield record
            continue
        listed.add(record[1]["image"])
        yield _parse_row(f"{name}:{record[0]}", record[1], images, folder)
    for stem in sorted(images.keys() - listed):
        yield Problem(images[stem], f"is not in {LIST}")


def _parse_row(where: str, cells: dict[str, str], images: dict[str, str], folder: PurePosixPath) -> Item:
    image, performer = cells["image"], cells["performer"]
    if not image or is_unsafe(image) or image not in images:
        return Problem(where, f"no image {image!r} in {folder}/")
    if not performer:
        return Problem(where, "names no performer; expected a number such as 01")
    try:
        votes = tuple(_parse_share(cells[SHARES[word]]) if word in SHARES else 0 for word in VOTES)
    except ValueError as error:
        return Problem(where, f"{error}; expected shares of raters from 0 to 1")
    intended = noun(cells["intended"])
    label = _choose_label(votes, intended)
    own = {"intended": intended}
    return Row(images[image], label, CORPUS, split_of(CORPUS, performer), performer, votes=votes, own=own)


def _parse_share(cell: str) -> int:
    share = float(cell)
    if not 0 <= share <= 1:
        raise ValueError(f"share {cell!r}")
    return round(100 * share)


def _choose_label(votes: tuple[int, ...], intended: str | None) -> str | None:
    """Return the class that most raters chose; in a tie the intended class if it is among them, else None."""
    best = [word for word, count in zip(VOTES, votes, strict=True) if count == max(votes) > 0]
    return best[0] if len(best) == 1 else intended if intended in best else None


def _find_list(source: Source, names: Sequence[str]) -> str | None:
    lists = [name for name in names if PurePosixPath(name).name == LIST]
    return next((name for name in lists if set(_COLUMNS) <= set(tables.header(source, name))), None)
