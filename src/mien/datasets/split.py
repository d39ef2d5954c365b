"""Splits: the official one, stratified, by subject, k-fold. Each is a new manifest that records how it was made."""

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
"""What the parts of a split are called, by their number."""

BY = ("image", "subject")


def official(manifest: Manifest) -> Manifest:
    """Return the manifest if it still has its corpus's own parts. Raises ``DataError`` if it has none, or not now."""
    made = manifest.info.get("split", {}).get("method", "official")
    if made != "official":
        raise DataError(f"This manifest has been split ({made}); index the corpus again for its official split.")
    without = int((manifest.array("split") == "").sum())
    if without:
        raise DataError(
            f"{without} of {len(manifest)} rows have no official split; split by image or by subject instead."
        )
    return manifest.with_column("split", manifest.column("split"), split={"method": "official"})


def parts(
    labels: NDArray[Any], shares: Sequence[float], *, subjects: NDArray[Any] | None = None, seed: int = 0
) -> list[str]:
    """Return the part of each of N labelled faces, as ``ratios`` draws it.

    labels: (N,).  shares: 2 or 3 positive numbers.  subjects: (N,) strings to keep each person in one part.
    Raises ``OptionError``, and ``DataError`` for classes or people too few, or a face of nobody.
    """
    if len(shares) not in PARTS or not all(0 < share < np.inf for share in shares):
        raise OptionError(f"Shares {tuple(shares)}: expected 2 or 3 positive numbers, such as 80/20 or 70/15/15.")
    goal = np.asarray(shares, float) / sum(shares)
    if subjects is None:
        drawn = _by_image(labels, goal, seed)
    else:
        _check_known(subjects)
        drawn = _by_subject(labels, subjects, goal, seed)
    return [PARTS[len(shares)][part] for part in drawn]


def ratios(manifest: Manifest, shares: Sequence[float], *, by: str = "image", seed: int = 0) -> Manifest:
    """Split at random into parts of the given shares, every class in the same proportion in each.

    shares: 2 (train, test) or 3 (train, validation, test) positive numbers; they are divided by their sum.
    by:     ``image``, or ``subject`` to keep each person's images in one part; shares and class proportions are
            then met as nearly as whole people allow.
    Rows without a label get no split. Raises ``OptionError``, and ``DataError`` for classes or people too few.
    """
    _check_by(by)
    labels = manifest.array("label")
    used = np.flatnonzero(labels != "")
    subjects = _subjects(manifest)[used] if by == "subject" else None
    drawn = parts(labels[used], shares, subjects=subjects, seed=seed)
    goal = [float(share) / sum(shares) for share in shares]
    return _with_split(manifest, used, drawn, {"method": "ratios", "by": by, "shares": goal, "seed": seed})


def folds(manifest: Manifest, count: int, *, by: str = "image", seed: int = 0) -> list[Manifest]:
    """Return ``count`` manifests; in the k-th the k-th fold is ``test`` and everything else ``train``.

    Each labelled row is in ``test`` exactly once. Errors as in ``ratios``.
    """
    _check_by(by)
    if count < 2:
        raise OptionError(f"{count} folds: expected 2 or more.")
    labels = manifest.array("label")
    used = np.flatnonzero(labels != "")
    if by == "subject":
        places = _by_subject(labels[used], _subjects(manifest)[used], np.full(count, 1 / count), seed)
    else:
        places = _image_folds(labels[used], count, seed)
    recipe = {"method": "folds", "by": by, "folds": count, "seed": seed}
    return [
        _with_split(manifest, used, np.where(places == fold, "test", "train").tolist(), {**recipe, "fold": fold + 1})
        for fold in range(count)
    ]


def _with_split(
    manifest: Manifest, used: NDArray[np.intp], parts: Sequence[str], recipe: Mapping[str, Any]
) -> Manifest:
    column = np.full(len(manifest), "", object)
    column[used] = parts
    return manifest.with_column("split", column.tolist(), split=dict(recipe))


def _by_image(labels: NDArray[Any], goal: NDArray[np.float64], seed: int) -> NDArray[np.intp]:
    """Return the part of each row: the last parts are drawn from what the earlier draws left over."""
    parts, left = np.zeros(len(labels), np.intp), np.arange(len(labels))
    for part in range(len(goal) - 1, 0, -1):
        size = round(goal[part] * len(labels))
        left, drawn = _draw(left, labels, size, seed + part)
        parts[drawn] = part
    return parts


def _draw(left: Rows, labels: NDArray[Any], size: int, seed: int) -> tuple[Rows, Rows]:
    selection = _sklearn_selection()
    try:
        found = selection.train_test_split(left, test_size=size, random_state=seed, stratify=labels[left])
    except ValueError as error:
        raise DataError(f"{len(left)} rows cannot be split so that every class is in every part: {error}") from error
    return np.sort(found[0]), np.sort(found[1])


def _image_folds(labels: NDArray[Any], count: int, seed: int) -> NDArray[np.intp]:
    smallest = min(np.unique(labels, return_counts=True)[1], default=0)
    if smallest < count:
        raise DataError(f"{count} folds, but the rarest class has {smallest} rows; take fewer folds.")
    parts = np.zeros(len(labels), np.intp)
    splitter = _sklearn_selection().StratifiedKFold(count, shuffle=True, random_state=seed)
    for fold, (_, test) in enumerate(splitter.split(labels, labels)):
        parts[test] = fold
    return parts


def _by_subject(labels: NDArray[Any], subjects: NDArray[Any], goal: NDArray[np.float64], seed: int) -> NDArray[np.intp]:
    """Give each person, those with most images first, to the part that then stands nearest to its share.

    Nearness is the squared distance of the class counts from their goals, each class relative to its size, so that
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
    filled, home = np.zeros((len(goal), len(classes))), np.zeros(len(people), np.intp)
    for one in order:
        # How much nearer to its goals each part comes with this person in it.
        gain = ((filled - goal[:, None]) ** 2 - (filled + counts[one] - goal[:, None]) ** 2).sum(axis=1)
        home[one] = int(np.argmax(gain))
        filled[home[one]] += counts[one]
    return home[person]


def _subjects(manifest: Manifest) -> NDArray[Any]:
    """Return (N,) corpus and subject of each row: F01 of one corpus is another person than F01 of the next."""
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


def _sklearn_selection() -> Any:
    try:
        from sklearn import model_selection
    except ImportError as error:
        raise MissingExtraError.for_extra("Splitting", "train") from error
    return model_selection
