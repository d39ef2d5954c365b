"""Prepare a user's own photos for training: index them, split them, and warn about small or imbalanced classes.

Photos of one person, and copies of one photo, stay in one split, so that no model is tested on what it was trained on.
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
from mien.datasets.formats.folders import part_of
from mien.datasets.index import Indexed, index
from mien.datasets.manifest import Manifest
from mien.datasets.rows import Options
from mien.errors import DataError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Watch = Callable[[Iterable[Any]], Iterable[Any]]

PARTS = ("train", "validation", "test")

FEW = 30
"""A class with fewer images gets a warning: with ten in the test set, each is worth ten points of its recall."""

UNEVEN = 3.0
"""Classes are imbalanced if the largest has more than this many times the images of the smallest."""

_CROP_SIDE = 256


def gather(source: str | Path, out: str | Path, people: str = "", watch: Watch | None = None) -> Indexed:
    """Index class folders or a CSV list, with the user's own classes, into the manifest ``out``.

    Args:
        source: a folder, zip or tar of class folders, or a CSV.
        out: the manifest to write.
        people: a regular expression that finds the person in each file's path; a CSV may have a column ``subject``.
        watch: wraps the iterable of items, for a progress bar.

    Raises:
        OptionError: ``people`` is not a regular expression.
        DataError: ``people`` does not match every file, there are fewer than two classes, or as ``index`` raises it.
    """
    check_pattern(people)
    indexed = index([source], out, options=Options(own=True, people=people), watch=watch)
    whole = manifest.read(indexed.path)
    if len(indexed.nouns) < 2:
        raise DataError(
            f"{source} has the classes {sorted(indexed.nouns)}; expected at least two, each in its own folder."
        )
    unknown = np.flatnonzero(whole.array("subject") == "")
    if people and len(unknown):
        raise DataError(
            f"The pattern {people!r} matches {len(whole) - len(unknown)} of {len(whole)} files, but not "
            f"{whole.column('member')[unknown[0]]}; expected one that matches all of them."
        )
    return indexed


def check_pattern(people: str) -> str:
    """Check a regular expression and return it.

    Raises:
        OptionError: it is invalid.
    """
    try:
        re.compile(people)
    except re.error as error:
        raise OptionError(f"{people!r} is not a regular expression: {error}. Give one such as 'P[0-9]+'.") from None
    return people


def is_cropped(whole: Manifest) -> bool:
    """Check whether images are face crops rather than photos: all square, of one size, at most 256 pixels a side."""
    sizes = set(zip(whole.column("width"), whole.column("height"), strict=True))
    width, height = next(iter(sizes))
    return len(sizes) == 1 and width == height <= _CROP_SIDE


@dataclass(frozen=True)
class Parted:
    """A split of a user's images.

    Attributes:
        manifest: the manifest with its splits.
        by: ``folders`` if all splits were given, else the unit that was drawn, ``people`` or ``images``.
        copies: number of images with a duplicate.
        kept: splits that were given by the folders or the list; the others were drawn.
    """

    manifest: Manifest
    by: str
    copies: int
    kept: tuple[str, ...] = ()


def assign_parts(whole: Manifest, shares: tuple[float, float, float] = (70, 15, 15), seed: int = 0) -> Parted:
    """Assign each image to a split: that of its folder or list, or a random one that keeps people and copies together.

    Given splits are kept. A missing validation or test set is drawn from the training set. Without splits, or with only
    one, all three are drawn. Copies are exact, near and mirrored ones, as found by ``guard.check``.

    Args:
        whole: the manifest.
        shares: of the training, validation and test set; they are divided by their sum.
        seed: of the random draw.

    Raises:
        DataError: a class cannot be in every split, some images are outside the given splits, or the given splits do
            not include a training set.
    """
    given = [part_of(name) or name for name in whole.column("split")]
    kept = _find_given_parts(given, whole)
    if set(kept) == set(PARTS):
        return Parted(
            _check_classes(whole.with_column("split", given, split={"method": "official"})), "folders", 0, kept
        )
    subjects = whole.array("subject")
    groups, copies = _group_rows(whole, subjects)
    people = bool((subjects != "").all())
    if not kept:
        _check_groups(groups, subjects, copies)
    recipe = {"method": "groups", "by": "people and copies" if people else "copies", "shares": list(shares),
              "seed": seed, "kept": list(kept)}  # fmt: skip
    drawn = _draw_missing(whole.array("label"), groups, given if kept else None, shares, seed)
    parted = _check_classes(whole.with_column("split", drawn, split=recipe))
    return Parted(parted, "people" if people else "images", copies, kept)


def _find_given_parts(given: Sequence[str], whole: Manifest) -> tuple[str, ...]:
    """Return the splits given by the source, none if there is only one.

    Raises:
        DataError: they are incomplete.
    """
    counts = Counter(given)
    kept = tuple(name for name in PARTS if counts[name])
    if len(kept) < 2:
        return ()
    foreign = [name for name in counts if name not in PARTS]
    if foreign:
        at = next(row for row, name in enumerate(given) if name == foreign[0])
        outside = sum(counts[name] for name in foreign)
        raise DataError(
            f"{outside} of {counts.total()} images are in none of the splits {', '.join(kept)}, such as "
            f"{whole.column('member')[at]}. Move them into one, or give no splits at all."
        )
    if "train" not in kept:
        raise DataError(f"There are the splits {' and '.join(kept)}, but none for training. Add a folder train.")
    return kept


def _check_groups(groups: NDArray[Any], subjects: NDArray[Any], copies: int) -> None:
    """Raise ``DataError`` if there are fewer groups than splits, saying what joined the images."""
    count = len(set(groups.tolist()))
    if count >= len(PARTS):
        return
    people = len(set(subjects.tolist()) - {""})
    of_people = f" of {people} {'person' if people == 1 else 'people'}" if people else ""
    joined = [f"{copies} images are duplicates or near duplicates of another"] if copies else []
    joined += ["photos of one person stay in one split"] if people else []
    raise DataError(
        f"The {len(groups)} images{of_people} form {count} independent group{'' if count == 1 else 's'}"
        f"{': ' if joined else ''}{', and '.join(joined)}. Expected at least {len(PARTS)} groups, one for each split. "
        "Add photos of more people, or leave out copies of one photo."
    )


def _draw_missing(
    labels: NDArray[Any],
    groups: NDArray[Any],
    given: Sequence[str] | None,
    shares: tuple[float, float, float],
    seed: int,
) -> list[str]:
    """Draw all splits, or the one missing from ``given`` out of the training set."""
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


def _group_rows(whole: Manifest, subjects: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return each row's group, str (N,), shared by rows of one person or linked by copies; and the number of copies."""
    try:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
    except ImportError as error:
        raise MissingExtraError.for_extra("Splitting", "train") from error
    indices, links = np.arange(len(whole)), []
    search = compare.Search(whole)
    for variant in compare.QUICK:
        links += [(left, right) for left, right, _ in search.near(indices, indices, variant) if left < right]
    copies = len({row for pair in links for row in pair})
    first: dict[str, int] = {}
    links += [(first.setdefault(name, row), row) for row, name in enumerate(subjects.tolist()) if name]
    ends = np.array(links, np.intp).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(whole), len(whole)))
    return connected_components(graph, directed=False)[1].astype(str), copies


def _check_classes(whole: Manifest) -> Manifest:
    counts = whole.counts()
    classes = sorted(set(whole.array("label").tolist()))
    lacking = [
        f"{name} has none in {split}" for name in classes for split in PARTS if not counts.get(split, {}).get(name)
    ]
    if lacking:
        raise DataError(
            f"Every class must have images in train, validation and test, but {'; '.join(lacking)}. Add images of it, "
            "of more people, or leave the class out."
        )
    return whole


def find_warnings(whole: Manifest) -> list[str]:
    """Return warnings about small or imbalanced classes, one sentence each."""
    sizes = Counter(whole.array("label").tolist())
    few = sorted((name, count) for name, count in sizes.items() if count < FEW)
    messages = [f"{name} has {count} images, which is few: its metrics will be unreliable." for name, count in few]
    ratio = max(sizes.values()) / min(sizes.values())
    if ratio > UNEVEN:
        large, small = max(sizes, key=lambda name: sizes[name]), min(sizes, key=lambda name: sizes[name])
        messages.append(
            f"Classes are imbalanced: {large} has {ratio:.1f} times the images of {small}; "
            "the recipe uses class weights."
        )
    return messages


def is_uneven(whole: Manifest) -> bool:
    """Check whether class sizes differ by more than ``UNEVEN``, so that the recipe should use class weights."""
    sizes = Counter(whole.array("label").tolist()).values()
    return max(sizes) > UNEVEN * min(sizes)
