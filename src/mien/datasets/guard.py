"""The guard: images and people that stand on both sides of a split, and parts that are not what they are called.

Exact copies are found by checksum. Near copies (re-encoded, resized, brightened, shifted by a pixel, mirrored, and, if
asked for, turned or zoomed) are found in two steps: candidates by the distance of their hashes, which is one matrix
product for all pairs, then a comparison of pixels. ``docs/data.md`` holds the measurements behind the thresholds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets import compare
from mien.datasets.fingerprints import Fingerprint, fingerprints
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
"""Flags of rows that a list brought with the corpus declares faulty, and what they mean; ``drop_leaks`` drops them."""

_RANK = {"Training": 0, "train": 0, "PublicTest": 1, "validation": 1, "PrivateTest": 2, "test": 2}

Watch = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Leak:
    """Images that stand in a training-side split and in a held-out one.

    kind: one of ``KINDS``.  pairs: (place in ``training``, place in ``held_out``), rows of the manifest.
    evidence: for each pair the correlation of the pixels, 1.0 for exact copies.
    """

    kind: str
    training: str
    held_out: str
    pairs: tuple[tuple[int, int], ...]
    evidence: tuple[float, ...]

    @property
    def copies(self) -> int:
        """How many images of the held-out split have a copy."""
        return len({held for _, held in self.pairs})

    def __str__(self) -> str:
        article = "a" if self.kind in ("near", "mirrored") else "an"
        return f"{self.copies} images of {self.held_out} have {article} {self.kind} copy in {self.training}"


@dataclass(frozen=True)
class SharedSubjects:
    """People who stand in both splits, of the number of people in the held-out one."""

    training: str
    held_out: str
    shared: tuple[str, ...]
    people: int

    def __str__(self) -> str:
        return f"{len(self.shared)} of the {self.people} people of {self.held_out} stand in {self.training} too"


@dataclass(frozen=True)
class Report:
    """What ``check`` found.

    leaks: one for each kind and pair of splits that share images.  subjects: where people are shared.
    parts: FER2013 parts recognised by their class counts.  blank: split → number of blank images.
    repeated: number of images that equal an earlier one, in whichever split.  conflicts: groups of equal images
    with more than one label.  with_subjects: whether the manifest names people at all.  listed: flag of ``LISTED`` →
    number of rows that carry it.
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
        """Whether no image and no person is on both sides, none is listed, no part is called by another's name."""
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
                {"training": each.training, "held_out": each.held_out, "shared": len(each.shared),
                 "people": each.people, "names": list(each.shared)}
                for each in self.subjects
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
    """Look for what would make a score on a held-out split too good.

    distance, correlation: thresholds of near copies; see ``compare``.
    augmented: also look for turned, shifted and zoomed copies, which takes about six times as long.
    images: row → what it looks like in grey 48×48, of rows that were read already; they are not read again.
    watch: wraps the iterable of steps, for a progress bar.
    Raises ``DataError`` or ``FileMissingError`` if a source has gone: near copies are told by pixels.
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
            found = leaks[kind, training, held_out]
            found[first, second] = max(value, found.get((first, second), value))
    return Report(
        {str(name): int((splits == name).sum()) for name in np.unique(splits)},
        tuple(_leaks(leaks)),
        tuple(_shared(manifest, pairs)),
        tuple(fingerprints(manifest.counts())),
        _blank(manifest),
        *_repeated(manifest),
        with_subjects=bool((manifest.array("subject") != "").any()),
        settings={"distance": distance, "correlation": correlation, "augmented": augmented},
        listed=_listed(manifest),
    )


def drop_leaks(manifest: Manifest, report: Report, kinds: Iterable[str] = KINDS) -> Manifest:
    """Return the manifest without listed rows, and without the training-side image of every other leak of ``kinds``.

    Rows that carry a flag of ``LISTED`` go first, those of held-out parts too: the corpus's own list names them. A
    leak whose held-out image goes that way costs no training image. Otherwise held-out parts stay whole.
    Shared people are not dropped: of an image-level split that can be nearly all of the training side. Split by
    subject instead.
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


def in_order(splits: Iterable[str]) -> list[str]:
    """Return the names of splits, train before validation before test before others."""
    return sorted(splits, key=lambda name: (_RANK.get(name, 3), name))


def _pairs_of_splits(splits: NDArray[Any]) -> list[tuple[str, str]]:
    """Return (training side, held-out side) of all splits."""
    return list(combinations(in_order(set(splits.tolist()) - {""}), 2))


def _leaks(found: dict[tuple[str, str, str], dict[tuple[int, int], float]]) -> Iterator[Leak]:
    """Build the leaks, a pair only under the first kind that it was found as."""
    told: set[tuple[int, int]] = set()
    for (kind, training, held_out), values in sorted(found.items(), key=lambda item: KINDS.index(item[0][0])):
        pairs = tuple(pair for pair in sorted(values) if pair not in told)
        told.update(pairs)
        if pairs:
            yield Leak(kind, training, held_out, pairs, tuple(values[pair] for pair in pairs))


def _shared(manifest: Manifest, pairs: list[tuple[str, str]]) -> Iterator[SharedSubjects]:
    people: dict[str, set[str]] = defaultdict(set)
    columns = (manifest.column(name) for name in ("split", "dataset", "subject"))
    for split, dataset, subject in zip(*columns, strict=True):
        if subject:
            people[split].add(f"{dataset}/{subject}")
    for training, held_out in pairs:
        shared = people[training] & people[held_out]
        if shared:
            yield SharedSubjects(training, held_out, tuple(sorted(shared)), len(people[held_out]))


def _listed(manifest: Manifest) -> dict[str, int]:
    counts = {flag: int(manifest.flagged(flag).sum()) for flag in LISTED}
    return {flag: count for flag, count in counts.items() if count}


def _blank(manifest: Manifest) -> dict[str, int]:
    names, counts = np.unique(manifest.array("split")[manifest.flagged(BLANK)], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _repeated(manifest: Manifest) -> tuple[int, int]:
    labels: dict[str, set[str]] = defaultdict(set)
    rows = manifest.where(~manifest.flagged(BLANK))
    for checksum, label in zip(rows.column("sha256"), rows.array("label").tolist(), strict=True):
        labels[checksum].add(label)
    return len(rows) - len(labels), sum(len(each - {""}) > 1 for each in labels.values())
