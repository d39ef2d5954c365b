"""``mien data clean``: images that show no face, labels that are probably wrong; a page and a list to review."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets import page, referee, review, sheets, suspects
from mien.datasets.explore import training_side
from mien.datasets.manifest import Manifest
from mien.datasets.review import Verdict
from mien.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.detect import Detector

    Watch = Callable[[Iterable[Any], str], Iterable[Any]]

FACE = 0.05
"""Images that score below are proposed as non-faces. On FER2013 a quarter of these are; below 0.3 one in twelve."""

RELABEL, DROP = 0.8, 0.05
"""A doubtful label is replaced if another class is at least so probable, where half of the new labels are FER+'s; the
image is dropped if its own class is less probable than ``DROP``, where 62 % of the labels are not FER+'s. What is
doubtful but neither is listed with the action ``keep``, for a person to decide."""

_SHOWN = 120


@dataclass(frozen=True)
class Cleaned:
    """What was written and proposed.

    page, review: files.  non_faces, drop, relabel, keep: rows listed as such (non-faces are among drop).
    referee: what is judged by FER+ → figures; empty without votes.
    """

    page: Path
    review: Path
    rows: int
    non_faces: int
    drop: int
    relabel: int
    keep: int
    referee: dict[str, dict[str, float]]


def clean(
    manifest: Manifest,
    out: str | Path,
    detector: Detector,
    *,
    splits: Iterable[str] | None = None,
    face: float = FACE,
    relabel: float = RELABEL,
    drop: float = DROP,
    seed: int = 0,
    watch: Watch | None = None,
) -> Cleaned:
    """Write ``index.html`` and ``review.csv`` into the folder ``out``; the manifest stays as it is.

    detector: with a threshold near 0; see ``suspects.look``.
    splits: which to clean. None takes the training side only: who removes hard images from a held-out split
            measures another test.
    watch:  wraps an iterable under a name, for a progress bar.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = set(splits) if splits else {training_side(manifest.counts())}
    rows = manifest.where(np.isin(manifest.array("split"), sorted(chosen)))
    if not len(rows):
        raise DataError(f"No rows in {', '.join(sorted(chosen))}; this manifest has {', '.join(manifest.counts())}.")
    faces, features = suspects.look(rows, detector, (lambda items: watch(items, "looking")) if watch else None)
    bar = (lambda items: watch(items, "cross-checking")) if watch else None
    labels = _labels(rows, features, faces >= face, seed, bar)
    verdicts = [
        Verdict(name, "drop", "", "no face", float(score))
        for name, score in zip(rows.column("id"), faces, strict=True)
        if score < face
    ]
    verdicts += _doubts(rows, labels, relabel, drop)
    verdicts.sort(key=lambda each: (each.reason != "no face", each.score))
    figures = referee.figures(rows, faces, face, labels.believed, labels.doubted)
    written = review.write(verdicts, folder / "review.csv")
    shown = _page(rows, verdicts, figures, folder)
    kinds = [each.action for each in verdicts]
    nobody = int((faces < face).sum())
    drops, relabels, keeps = (kinds.count(action) for action in review.ACTIONS)
    return Cleaned(shown, written, len(rows), nobody, drops, relabels, keeps, figures)


@dataclass(frozen=True)
class _Labels:
    """Per row: probability of its label, the most probable other class, that one's probability, and the doubt."""

    believed: NDArray[np.float32]
    other: NDArray[np.str_]
    sure: NDArray[np.float32]
    doubted: NDArray[np.bool_]


def _labels(rows: Manifest, features: NDArray[Any], usable: NDArray[np.bool_], seed: int, watch: Any) -> _Labels:
    words = rows.array("label")
    labelled = np.flatnonzero((words != "") & usable)
    names = np.unique(words[labelled])
    codes = np.searchsorted(names, words[labelled]).astype(np.int64)
    groups = np.unique(rows.array("sha256")[labelled], return_inverse=True)[1]
    shares = suspects.out_of_fold(features[labelled], codes, groups, seed=seed, watch=watch)
    own = shares[np.arange(len(codes)), codes]
    others = shares.copy()
    others[np.arange(len(codes)), codes] = -1
    found = _Labels(
        np.ones(len(rows), np.float32), words.copy(), np.zeros(len(rows), np.float32), np.zeros(len(rows), bool)
    )
    found.believed[labelled], found.sure[labelled] = own, others.max(axis=1)
    found.other[labelled] = names[others.argmax(axis=1)]
    found.doubted[labelled] = suspects.doubtful(shares, codes)
    return found


def _doubts(rows: Manifest, labels: _Labels, relabel: float, drop: float) -> list[Verdict]:
    ids, words = rows.column("id"), rows.array("label")
    found = []
    for at in np.flatnonzero(labels.doubted).tolist():
        other, sure = str(labels.other[at]), float(labels.sure[at])
        own = float(labels.believed[at])
        action = "relabel" if sure >= relabel else "drop" if own < drop else "keep"
        reason = f"label {words[at]} {own:.0%}, {other} {sure:.0%}"
        found.append(Verdict(ids[at], action, other if action == "relabel" else "", reason, own))
    return found


def _page(rows: Manifest, verdicts: list[Verdict], figures: dict[str, dict[str, float]], folder: Path) -> Path:
    sections = []
    for heading, kind in (("Non-faces", "no face"), ("Doubtful labels", "label")):
        chosen = [each for each in verdicts if each.reason.startswith(kind)]
        told = f"{len(chosen):,} proposed, the most suspect first; {min(_SHOWN, len(chosen))} shown, all in review.csv."
        sections.append((heading, [page.paragraph(told), page.tiles(_tiles(rows, chosen[:_SHOWN]))]))
    if figures:
        table = [(name, *values.values()) for name, values in figures.items()]
        head = ("score against FER+", *next(iter(figures.values())))
        told = "Precision and recall are those of the proposals, AUC that of the ranking of all rows with votes."
        sections.append(("Referee", [page.table(head, table), page.paragraph(told, "soft")]))
    lead = (
        f"{len(rows):,} images looked at. Edit the column action of review.csv (drop, relabel, keep), then: "
        "mien data apply-review MANIFEST review.csv OUT"
    )
    return page.write(folder / "index.html", "Images to review", lead, sections)


def _tiles(rows: Manifest, verdicts: list[Verdict]) -> list[str]:
    places = {name: at for at, name in enumerate(rows.column("id"))}
    chosen = [places[each.id] for each in verdicts]
    images = rows.pixels(chosen) if chosen else []
    labels = rows.array("label")[chosen].tolist() if chosen else []
    found = []
    for each, image, label in zip(verdicts, images, labels, strict=True):
        action = f"{each.action} → {each.new_label}" if each.new_label else each.action
        lines = (f"{label}: {action}", each.reason, f"score {each.score:.3f}", each.id)
        found.append(page.tile(sheets.thumbnail_uri(image), lines))
    return found
