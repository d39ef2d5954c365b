"""A folder of somebody's own photos → crops in parts, with what must be known before they are trained on.

Photos of one person, and copies of one photo, stay in one part: a model is not to be measured on what it was shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets import compare, manifest, split
from mien.datasets.folders import part_of
from mien.datasets.index import Indexed, index
from mien.datasets.manifest import Manifest
from mien.datasets.rows import Options
from mien.errors import DataError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Watch = Callable[[Iterable[Any]], Iterable[Any]]

PARTS = ("train", "validation", "test")

FEW = 30
"""Fewer images of a class than this are called few: of ten in the test part each is worth ten points of its recall."""

UNEVEN = 3.0
"""Classes whose sizes differ by more than this factor are called uneven."""

_CROP_SIDE = 256


def gather(source: str | Path, out: str | Path, people: str = "", watch: Watch | None = None) -> Indexed:
    """Write the manifest ``out`` of class folders (a folder, zip or tar) or of a CSV list; words stay as they are.

    people: a regular expression that finds in each file's path who is on it; a CSV may say it in a column ``subject``.
    Raises ``OptionError`` for a pattern that is none, ``DataError`` if it does not fit some file or there are fewer
    than two classes, and as ``index`` does.
    """
    pattern(people)
    found = index([source], out, options=Options(own=True, people=people), watch=watch)
    whole = manifest.read(found.path)
    if len(found.nouns) < 2:
        raise DataError(f"{source} has the classes {sorted(found.nouns)}; expected two or more, a folder for each.")
    unknown = np.flatnonzero(whole.array("subject") == "")
    if people and len(unknown):
        raise DataError(
            f"The pattern {people!r} fits {len(whole) - len(unknown)} of {len(whole)} files, and not "
            f"{whole.column('member')[unknown[0]]}; expected one that fits all of them."
        )
    return found


def pattern(people: str) -> str:
    """Return a regular expression. Raises ``OptionError`` for one that is none."""
    try:
        re.compile(people)
    except re.error as error:
        raise OptionError(f"{people!r} is no regular expression: {error}. Give one such as 'P[0-9]+'.") from None
    return people


def look_cropped(whole: Manifest) -> bool:
    """Say whether images are crops of faces and no photos: all square, of one size, at most 256 pixels a side."""
    sizes = set(zip(whole.column("width"), whole.column("height"), strict=True))
    width, height = next(iter(sizes))
    return len(sizes) == 1 and width == height <= _CROP_SIDE


@dataclass(frozen=True)
class Parted:
    """What each image's part is, and how it came to it.

    manifest: with the parts.  copies: images that another resembles.
    by: ``folders`` where all parts were there, else what was drawn, ``people`` or ``images``.
    kept: parts that are those of the folders or the list; the others are drawn.
    """

    manifest: Manifest
    by: str
    copies: int
    kept: tuple[str, ...] = ()


def part(whole: Manifest, shares: tuple[float, float, float] = (70, 15, 15), seed: int = 0) -> Parted:
    """Give each image a part: that of its folder or list, and draw what is missing, with people and copies together.

    Parts that are given are kept. A validation or test part that is not there is drawn from the training part; without
    any, or with one part alone, all are drawn. Copies are exact, near and mirrored ones, as ``guard.check`` finds them.
    Raises ``DataError`` if some class cannot be in every part, if images lie outside the parts that others are in, or
    if there are parts and none is for training.
    """
    given = [part_of(name) or name for name in whole.column("split")]
    kept = _given_parts(given, whole)
    if set(kept) == set(PARTS):
        return Parted(_checked(whole.with_column("split", given, split={"method": "official"})), "folders", 0, kept)
    subjects = whole.array("subject")
    groups, copies = _together(whole, subjects)
    people = bool((subjects != "").all())
    recipe = {"method": "groups", "by": "people and copies" if people else "copies", "shares": list(shares),
              "seed": seed, "kept": list(kept)}  # fmt: skip
    drawn = _drawn(whole.array("label"), groups, given if kept else None, shares, seed)
    parted = _checked(whole.with_column("split", drawn, split=recipe))
    return Parted(parted, "people" if people else "images", copies, kept)


def _given_parts(given: Sequence[str], whole: Manifest) -> tuple[str, ...]:
    """Return the parts that images have already; none if all lie in one. Raises ``DataError`` for half a split."""
    counts = Counter(given)
    kept = tuple(name for name in PARTS if counts[name])
    if len(kept) < 2:
        return ()
    foreign = [name for name in counts if name not in PARTS]
    if foreign:
        at = next(row for row, name in enumerate(given) if name == foreign[0])
        outside = sum(counts[name] for name in foreign)
        raise DataError(
            f"{outside} of {counts.total()} images lie in none of the parts {', '.join(kept)}, such as "
            f"{whole.column('member')[at]}. Put them into a part, or leave the parts out."
        )
    if "train" not in kept:
        raise DataError(f"There are the parts {' and '.join(kept)}, and none for training. Add a folder train.")
    return kept


def _drawn(
    labels: NDArray[Any],
    groups: NDArray[Any],
    given: Sequence[str] | None,
    shares: tuple[float, float, float],
    seed: int,
) -> list[str]:
    """Draw all parts, or the one that ``given`` lacks, out of the training part."""
    if given is None:
        return split.parts(labels, shares, subjects=groups, seed=seed)
    missing = next(name for name in PARTS if name not in given)
    share = shares[PARTS.index(missing)]
    train = np.flatnonzero(np.asarray(given) == "train")
    halves = split.parts(labels[train], (shares[0], share), subjects=groups[train], seed=seed)
    parts = list(given)
    for row, half in zip(train.tolist(), halves, strict=True):
        parts[row] = missing if half == "test" else "train"
    return parts


def _together(whole: Manifest, subjects: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the name of each row's group (N,): rows of one person, or linked by copies, share it; and the copies."""
    try:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
    except ImportError as error:
        raise MissingExtraError.for_extra("Splitting", "train") from error
    rows, links = np.arange(len(whole)), []
    search = compare.Search(whole)
    for variant in compare.QUICK:
        links += [(one, other) for one, other, _ in search.near(rows, rows, variant) if one < other]
    copies = len({place for pair in links for place in pair})
    first: dict[str, int] = {}
    links += [(first.setdefault(name, row), row) for row, name in enumerate(subjects.tolist()) if name]
    ends = np.array(links, np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(whole), len(whole)))
    return connected_components(graph, directed=False)[1].astype(str), copies


def _checked(whole: Manifest) -> Manifest:
    counts = whole.counts()
    classes = sorted(set(whole.array("label").tolist()))
    lacking = [
        f"{name} has none in {split}" for name in classes for split in PARTS if not counts.get(split, {}).get(name)
    ]
    if lacking:
        raise DataError(
            f"Every class must have images in train, validation and test, and {'; '.join(lacking)}. Add images of it, "
            "of more people, or leave the class out."
        )
    return whole


def warnings(whole: Manifest) -> list[str]:
    """Return what makes a model of these images, or its figures, worse than it looks; a sentence each."""
    sizes = Counter(whole.array("label").tolist())
    few = sorted((name, count) for name, count in sizes.items() if count < FEW)
    found = [f"{name} has {count} images, which is few: its figures will say little." for name, count in few]
    ratio = max(sizes.values()) / min(sizes.values())
    if ratio > UNEVEN:
        large, small = max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])
        found.append(
            f"Classes are uneven: {large} has {ratio:.1f} times the images of {small}; the recipe weighs them."
        )
    return found


def uneven(whole: Manifest) -> bool:
    """Say whether the recipe should weigh classes: whether their sizes differ by more than ``UNEVEN``."""
    sizes = Counter(whole.array("label").tolist()).values()
    return max(sizes) > UNEVEN * min(sizes)
