"""Splits: official, stratified, by subject, or k-fold; each yields a new manifest that records how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets.manifest import Manifest
from mien.errors import DataError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]

PARTS = {2: ("train", "test"), 3: ("train", "validation", "test")}
"""Number of splits → their names."""

BY = ("image", "subject")


def official(manifest: Manifest) -> Manifest:
    """Return the manifest with its official split.

    Raises:
        DataError: the corpus has none or it was replaced.
    """
    method = manifest.info.get("split", {}).get("method", "official")
    if method != "official":
        raise DataError(f"This manifest has been split ({method}); index the corpus again for its official split.")
    without = int((manifest.array("split") == "").sum())
    if without:
        raise DataError(
            f"{without} of {len(manifest)} rows have no official split; split by image or by subject instead."
        )
    return manifest.with_column("split", manifest.column("split"), split={"method": "official"})


def parts(
    labels: NDArray[Any], shares: Sequence[float], *, subjects: NDArray[Any] | None = None, seed: int = 0
) -> list[str]:
    """Assign each of N labelled faces to a split, as ``ratios`` does.

    Args:
        labels: (N,).
        shares: 2 or 3 positive numbers.
        subjects: (N,) strings, to keep each person in one split.
        seed: of the random draw.

    Returns:
        N names of splits.

    Raises:
        OptionError: invalid shares.
        DataError: too few images of a class or too few people, or a face without a subject.
    """
    if len(shares) not in PARTS or not all(0 < share < np.inf for share in shares):
        raise OptionError(f"Shares {tuple(shares)}: expected 2 or 3 positive numbers, such as 80/20 or 70/15/15.")
    goal = np.asarray(shares, float) / sum(shares)
    if subjects is None:
        drawn = _split_images(labels, goal, seed)
    else:
        _check_known(subjects)
        drawn = _split_subjects(labels, subjects, goal, seed)
    return [PARTS[len(shares)][part] for part in drawn]


def ratios(manifest: Manifest, shares: Sequence[float], *, by: str = "image", seed: int = 0) -> Manifest:
    """Split at random, stratified by class. Rows without a label get no split.

    Args:
        manifest: the rows.
        shares: 2 (train, test) or 3 (train, validation, test) positive numbers; they are divided by their sum.
        by: ``image``, or ``subject`` to keep each person's images in one split; shares and class proportions are then
            met as closely as whole people allow.
        seed: of the random draw.

    Raises:
        OptionError: invalid shares or ``by``.
        DataError: too few images of a class or too few people.
    """
    _check_by(by)
    labels = manifest.array("label")
    used = np.flatnonzero(labels != "")
    subjects = _read_subjects(manifest)[used] if by == "subject" else None
    drawn = parts(labels[used], shares, subjects=subjects, seed=seed)
    goal = [float(share) / sum(shares) for share in shares]
    return _with_split(manifest, used, drawn, {"method": "ratios", "by": by, "shares": goal, "seed": seed})


def folds(manifest: Manifest, count: int, *, by: str = "image", seed: int = 0) -> list[Manifest]:
    """Return ``count`` manifests for cross-validation: in the k-th, fold k is ``test`` and the rest ``train``.

    Each labelled row is in ``test`` exactly once. Raises as ``ratios`` does.
    """
    _check_by(by)
    labels = manifest.array("label")
    used = np.flatnonzero(labels != "")
    fold_of_row = assign_folds(
        labels[used], count, subjects=_read_subjects(manifest)[used] if by == "subject" else None, seed=seed
    )
    recipe = {"method": "folds", "by": by, "folds": count, "seed": seed}
    return [
        _with_split(
            manifest, used, np.where(fold_of_row == fold, "test", "train").tolist(), {**recipe, "fold": fold + 1}
        )
        for fold in range(count)
    ]


def assign_folds(
    labels: NDArray[Any], count: int, *, subjects: NDArray[Any] | None = None, seed: int = 0
) -> NDArray[np.intp]:
    """Return intp (N,): the fold of each of N labelled faces, from 0, with the classes spread evenly.

    Args:
        labels: (N,).
        count: number of folds.
        subjects: (N,) strings, to keep each person in one fold.
        seed: of the random draw.

    Raises:
        OptionError: fewer than two folds.
        DataError: too few images of a class or too few people, or a face without a subject.
    """
    if count < 2:
        raise OptionError(f"{count} folds: expected at least 2.")
    if subjects is None:
        return _assign_folds(labels, count, seed)
    _check_known(subjects)
    return _split_subjects(labels, subjects, np.full(count, 1 / count), seed)


def _with_split(
    manifest: Manifest, used: NDArray[np.intp], parts: Sequence[str], recipe: Mapping[str, Any]
) -> Manifest:
    column = np.full(len(manifest), "", object)
    column[used] = parts
    return manifest.with_column("split", column.tolist(), split=dict(recipe))


def _split_images(labels: NDArray[Any], goal: NDArray[np.float64], seed: int) -> NDArray[np.intp]:
    """Return the split index of each row, drawing the last split first and the others from the remaining rows."""
    parts, left = np.zeros(len(labels), np.intp), np.arange(len(labels))
    for part in range(len(goal) - 1, 0, -1):
        size = round(goal[part] * len(labels))
        left, drawn = _draw_part(left, labels, size, seed + part)
        parts[drawn] = part
    return parts


def _draw_part(remaining: Rows, labels: NDArray[Any], size: int, seed: int) -> tuple[Rows, Rows]:
    selection = _import_selection()
    try:
        halves = selection.train_test_split(remaining, test_size=size, random_state=seed, stratify=labels[remaining])
    except ValueError as error:
        raise DataError(
            f"{len(remaining)} rows cannot be split so that every class is in every part: {error}"
        ) from error
    return np.sort(halves[0]), np.sort(halves[1])


def _assign_folds(labels: NDArray[Any], count: int, seed: int) -> NDArray[np.intp]:
    smallest = min(np.unique(labels, return_counts=True)[1], default=0)
    if smallest < count:
        raise DataError(f"{count} folds, but the rarest class has {smallest} rows; use fewer folds.")
    parts = np.zeros(len(labels), np.intp)
    splitter = _import_selection().StratifiedKFold(count, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(labels, labels)):
        parts[test] = fold
    return parts


def _split_subjects(
    labels: NDArray[Any], subjects: NDArray[Any], goal: NDArray[np.float64], seed: int
) -> NDArray[np.intp]:
    """Assign people greedily, those with most images first, to the split that this brings closest to its share.

    Closeness is the squared distance of the class counts from their goals, each class relative to its size, so that
    rare classes count as much as frequent ones.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    people, person = np.unique(subjects, return_inverse=True)
    if len(people) < len(goal):
        raise DataError(f"{len(people)} people cannot fill {len(goal)} parts; split by image, or into fewer parts.")
    counts = np.zeros((len(people), len(classes)))
    np.add.at(counts, (person, codes), 1)
    counts /= counts.sum(axis=0)
    order = np.random.default_rng(seed).permutation(len(people))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    filled, part_of_person = np.zeros((len(goal), len(classes))), np.zeros(len(people), np.intp)
    for index in order:
        # How much closer to its goals each split gets by adding this person.
        gain = ((filled - goal[:, None]) ** 2 - (filled + counts[index] - goal[:, None]) ** 2).sum(axis=1)
        part_of_person[index] = int(np.argmax(gain))
        filled[part_of_person[index]] += counts[index]
    return part_of_person[person]


def _read_subjects(manifest: Manifest) -> NDArray[Any]:
    """Return (N,) "corpus/subject" of each row, since F01 of one corpus is not F01 of another."""
    subjects = manifest.array("subject")
    _check_known(subjects)
    return np.char.add(np.char.add(manifest.array("dataset"), "/"), subjects)


def _check_known(subjects: NDArray[Any]) -> None:
    without = int((subjects == "").sum())
    if without:
        raise DataError(f"{without} of {len(subjects)} rows name no subject, so they cannot be split by subject.")


def _check_by(by: str) -> None:
    if by not in BY:
        raise OptionError(f"No split by {by!r}; there are {', '.join(BY)}.")


def _import_selection() -> Any:
    try:
        from sklearn import model_selection
    except ImportError as error:
        raise MissingExtraError.for_extra("Splitting", "train") from error
    return model_selection
