"""Leakage checks: images and people in more than one split, and splits whose names belie their content.

Exact duplicates are found by checksum. Near duplicates (re-encoded, resized, brightened, shifted by a pixel, mirrored,
and optionally rotated or zoomed) are found in two steps: candidates by hash distance, which is one matrix product for
all pairs, then a comparison of pixels. ``docs/lab/duplicates.md`` has the measurements behind the thresholds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets import compare
from mien.datasets.fingerprints import Fingerprint, recognise_splits
from mien.datasets.manifest import BLANK, Manifest

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("exact", "near", "mirrored", "augmented")

LISTED_LEAK, LISTED_CONFLICT, LISTED_DUPLICATE = "listed_leak", "listed_conflict", "listed_duplicate"
LISTED = {
    LISTED_LEAK: "held-out images that a list of the corpus finds in training",
    LISTED_CONFLICT: "training images of listed duplicate groups with several labels",
    LISTED_DUPLICATE: "training images that repeat another of their listed group",
}
"""Flags of rows that the corpus's own lists report as faulty → their meaning; ``drop_leaks`` drops them."""

_RANK = {"Training": 0, "train": 0, "PublicTest": 1, "validation": 1, "PrivateTest": 2, "test": 2}

Watch = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Leak:
    """Images that occur both in a training split and in a held-out one.

    Attributes:
        kind: one of ``KINDS``.
        training, held_out: names of the splits.
        pairs: (row in ``training``, row in ``held_out``), rows of the manifest.
        evidence: correlation of the pixels of each pair, 1.0 for exact copies.
    """

    kind: str
    training: str
    held_out: str
    pairs: tuple[tuple[int, int], ...]
    evidence: tuple[float, ...]

    @property
    def copies(self) -> int:
        """Number of images of the held-out split that have a copy."""
        return len({held for _, held in self.pairs})

    def __str__(self) -> str:
        article = "a" if self.kind in ("near", "mirrored") else "an"
        return f"{self.copies} images of {self.held_out} have {article} {self.kind} copy in {self.training}"


@dataclass(frozen=True)
class SharedSubjects:
    """Subjects who occur in both splits; ``people`` is the number of subjects in the held-out one."""

    training: str
    held_out: str
    shared: tuple[str, ...]
    people: int

    def __str__(self) -> str:
        return f"{len(self.shared)} of the {self.people} people of {self.held_out} are also in {self.training}"


@dataclass(frozen=True)
class Report:
    """The result of ``check``.

    Attributes:
        splits: split → number of rows.
        leaks: one per kind and pair of splits that share images.
        subjects: one per pair of splits that share people.
        parts: splits of FER2013, recognised by their class counts.
        blank: split → number of blank images.
        repeated: number of images equal to an earlier one, in any split.
        conflicts: number of groups of equal images with more than one label.
        with_subjects: whether the manifest names any subject.
        settings: the thresholds used.
        listed: flag of ``LISTED`` → number of rows with that flag.
    """

    splits: dict[str, int]
    leaks: tuple[Leak, ...]
    subjects: tuple[SharedSubjects, ...]
    parts: tuple[Fingerprint, ...]
    blank: dict[str, int]
    repeated: int
    conflicts: int
    with_subjects: bool
    settings: dict[str, Any] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether there is no leak, no shared or listed row, and every recognised split has the right name."""
        return not (self.leaks or self.subjects or self.listed) and all(part.expected for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return {
            "clean": self.clean,
            "splits": self.splits,
            "leaks": [
                {"kind": leak.kind, "training": leak.training, "held_out": leak.held_out, "copies": leak.copies,
                 "pairs": len(leak.pairs)}
                for leak in self.leaks
            ],
            "subjects": [
                {"training": people.training, "held_out": people.held_out, "shared": len(people.shared),
                 "people": people.people, "names": list(people.shared)}
                for people in self.subjects
            ],
            "parts": [{"split": part.split, "is": list(part.parts), "off": part.off} for part in self.parts],
            "blank": self.blank,
            "repeated": self.repeated,
            "conflicts": self.conflicts,
            "listed": self.listed,
            "settings": self.settings,
        }  # fmt: skip


def check(
    manifest: Manifest,
    *,
    distance: int = compare.DISTANCE,
    correlation: float = compare.CORRELATION,
    augmented: bool = False,
    images: dict[int, NDArray[np.uint8]] | None = None,
    watch: Watch | None = None,
) -> Report:
    """Check for leakage that would make scores on held-out splits optimistic.

    Args:
        manifest: the images and their splits.
        distance, correlation: thresholds of near duplicates; see ``compare``.
        augmented: also search for rotated, shifted and zoomed copies, which takes about six times as long.
        images: row → uint8 (48, 48) grey, of rows read earlier; they are not read again.
        watch: wraps the iterable of steps, for a progress bar.

    Raises:
        DataError, FileMissingError: a source is missing or has changed; near duplicates are compared by pixels.
    """
    splits = manifest.array("split")
    pairs = _pairs_of_splits(splits)
    search = compare.Search(manifest, distance, correlation, images)
    variants = compare.ALL if augmented else compare.QUICK
    steps: Iterable[Any] = [(pair, variant) for pair in pairs for variant in (None, *variants)]
    leaks: dict[tuple[str, str, str], dict[tuple[int, int], float]] = defaultdict(dict)
    for (training, held_out), variant in watch(steps) if watch else steps:
        sides = np.flatnonzero(splits == training), np.flatnonzero(splits == held_out)
        kind = variant.kind if variant else "exact"
        for first, second, value in search.near(*sides, variant) if variant else search.exact(*sides):
            values = leaks[kind, training, held_out]
            values[first, second] = max(value, values.get((first, second), value))
    return Report(
        {str(name): int((splits == name).sum()) for name in np.unique(splits)},
        tuple(_build_leaks(leaks)),
        tuple(_find_shared_subjects(manifest, pairs)),
        tuple(recognise_splits(manifest.counts())),
        _count_blank(manifest),
        *_count_repeated(manifest),
        with_subjects=bool((manifest.array("subject") != "").any()),
        settings={"distance": distance, "correlation": correlation, "augmented": augmented},
        listed=_count_listed(manifest),
    )


def drop_leaks(manifest: Manifest, report: Report, kinds: Iterable[str] = KINDS) -> Manifest:
    """Drop listed rows and the training image of every other leak of ``kinds``; return the new manifest.

    Rows with a flag of ``LISTED`` are dropped first, even from held-out splits, since the corpus itself reports them;
    a leak whose held-out image is dropped this way costs no training image. Otherwise held-out splits are unchanged.
    Shared people are kept: after an image-level split that could be most of the training set. Split by subject instead.
    """
    chosen = set(kinds)
    keep = ~np.logical_or.reduce([manifest.flagged(flag) for flag in LISTED])
    listed = len(manifest) - int(keep.sum())
    pairs = (pair for leak in report.leaks if leak.kind in chosen for pair in leak.pairs)
    dropped = {first for first, held in pairs if keep[first] and keep[held]}
    keep[list(dropped)] = False
    clean = manifest.where(keep)
    record = {**report.settings, "kinds": sorted(chosen), "rows": len(dropped), "listed": listed}
    return Manifest(clean.table, {**clean.info, "dropped_leaks": record}, clean.base)


def sort_splits(splits: Iterable[str]) -> list[str]:
    """Sort names of splits: train, validation, test, then others."""
    return sorted(splits, key=lambda name: (_RANK.get(name, 3), name))


def _pairs_of_splits(splits: NDArray[Any]) -> list[tuple[str, str]]:
    """Return (training, held-out) for all pairs of splits."""
    return list(combinations(sort_splits(set(splits.tolist()) - {""}), 2))


def _build_leaks(values_by_kind: dict[tuple[str, str, str], dict[tuple[int, int], float]]) -> Iterator[Leak]:
    """Build the leaks, reporting each pair only under the first kind that matches."""
    reported: set[tuple[int, int]] = set()
    for (kind, training, held_out), values in sorted(values_by_kind.items(), key=lambda item: KINDS.index(item[0][0])):
        pairs = tuple(pair for pair in sorted(values) if pair not in reported)
        reported.update(pairs)
        if pairs:
            yield Leak(kind, training, held_out, pairs, tuple(values[pair] for pair in pairs))


def _find_shared_subjects(manifest: Manifest, pairs: list[tuple[str, str]]) -> Iterator[SharedSubjects]:
    people: dict[str, set[str]] = defaultdict(set)
    columns = (manifest.column(name) for name in ("split", "dataset", "subject"))
    for split, dataset, subject in zip(*columns, strict=True):
        if subject:
            people[split].add(f"{dataset}/{subject}")
    for training, held_out in pairs:
        shared = people[training] & people[held_out]
        if shared:
            yield SharedSubjects(training, held_out, tuple(sorted(shared)), len(people[held_out]))


def _count_listed(manifest: Manifest) -> dict[str, int]:
    counts = {flag: int(manifest.flagged(flag).sum()) for flag in LISTED}
    return {flag: count for flag, count in counts.items() if count}


def _count_blank(manifest: Manifest) -> dict[str, int]:
    names, counts = np.unique(manifest.array("split")[manifest.flagged(BLANK)], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _count_repeated(manifest: Manifest) -> tuple[int, int]:
    labels: dict[str, set[str]] = defaultdict(set)
    rows = manifest.where(~manifest.flagged(BLANK))
    for checksum, label in zip(rows.column("sha256"), rows.array("label").tolist(), strict=True):
        labels[checksum].add(label)
    return len(rows) - len(labels), sum(len(names - {""}) > 1 for names in labels.values())
