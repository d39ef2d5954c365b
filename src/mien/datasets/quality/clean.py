"""``mien data clean``: find images without a face and probably wrong labels; write a page and a list to review."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.datasets.manifest import Manifest
from mien.datasets.quality import referee, review, suspects
from mien.datasets.quality.explore import training_split
from mien.datasets.quality.review import Verdict
from mien.errors import DataError
from mien.reporting import page, sheets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.detection.detect import Detector

    Watch = Callable[[Iterable[Any], str], Iterable[Any]]

FACE = 0.05
"""Images with a lower face score are proposed as non-faces. On FER2013 a quarter of these are non-faces; with a
threshold of 0.3 only one in twelve would be."""

RELABEL, DROP = 0.8, 0.05
"""Thresholds for doubtful labels. If another class has at least probability ``RELABEL``, the label is replaced; half of
the new labels agree with FER+. Otherwise, if its own class is less probable than ``DROP``, the image is dropped; 62 %
of such labels disagree with FER+. Other doubtful rows are listed with the action ``keep``, for a person to decide."""

_SHOWN = 120


@dataclass(frozen=True)
class Cleaned:
    """What was written and proposed.

    Attributes:
        page, review: the files written.
        rows: number of images checked.
        non_faces, drop, relabel, keep: number of rows proposed as such; non-faces are included in ``drop``.
        referee: kind of proposal → its metrics against FER+; empty without votes.
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

    Args:
        manifest: the images to check.
        out: the folder to write to.
        detector: with a threshold near 0; see ``suspects.score_images``.
        splits: splits to clean. None takes the training split only: removing hard images from a held-out split
            would change what it measures.
        face, relabel, drop: thresholds, see ``FACE``, ``RELABEL`` and ``DROP``.
        seed: of the cross-validation folds.
        watch: wraps an iterable under a name, for a progress bar.

    Raises:
        DataError: no rows in ``splits``, or too few to cross-check labels.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = set(splits) if splits else {training_split(manifest.counts())}
    rows = manifest.where(np.isin(manifest.array("split"), sorted(chosen)))
    if not len(rows):
        raise DataError(f"No rows in {', '.join(sorted(chosen))}; this manifest has {', '.join(manifest.counts())}.")
    faces, features = suspects.score_images(rows, detector, (lambda items: watch(items, "looking")) if watch else None)
    bar = (lambda items: watch(items, "cross-checking")) if watch else None
    labels = _cross_check(rows, features, faces >= face, seed, bar)
    verdicts = [
        Verdict(name, "drop", "", "no face", float(score))
        for name, score in zip(rows.column("id"), faces, strict=True)
        if score < face
    ]
    verdicts += _propose_labels(rows, labels, relabel, drop)
    verdicts.sort(key=lambda verdict: (verdict.reason != "no face", verdict.score))
    metrics = referee.score_proposals(rows, faces, face, labels.believed, labels.doubted)
    written = review.write(verdicts, folder / "review.csv")
    shown = _write_page(rows, verdicts, metrics, folder)
    kinds = [verdict.action for verdict in verdicts]
    nobody = int((faces < face).sum())
    drops, relabels, keeps = (kinds.count(action) for action in review.ACTIONS)
    return Cleaned(shown, written, len(rows), nobody, drops, relabels, keeps, metrics)


@dataclass(frozen=True)
class _Labels:
    """Per row: probability of its label, the most probable other class, its probability, and whether it is doubtful."""

    believed: NDArray[np.float32]
    other: NDArray[np.str_]
    sure: NDArray[np.float32]
    doubted: NDArray[np.bool_]


def _cross_check(rows: Manifest, features: NDArray[Any], usable: NDArray[np.bool_], seed: int, watch: Any) -> _Labels:
    words = rows.array("label")
    labelled = np.flatnonzero((words != "") & usable)
    names = np.unique(words[labelled])
    codes = np.searchsorted(names, words[labelled]).astype(np.int64)
    groups = np.unique(rows.array("sha256")[labelled], return_inverse=True)[1]
    shares = suspects.predict_out_of_fold(features[labelled], codes, groups, seed=seed, watch=watch)
    own = shares[np.arange(len(codes)), codes]
    others = shares.copy()
    others[np.arange(len(codes)), codes] = -1
    checked = _Labels(
        np.ones(len(rows), np.float32), words.copy(), np.zeros(len(rows), np.float32), np.zeros(len(rows), bool)
    )
    checked.believed[labelled], checked.sure[labelled] = own, others.max(axis=1)
    checked.other[labelled] = names[others.argmax(axis=1)]
    checked.doubted[labelled] = suspects.find_doubtful(shares, codes)
    return checked


def _propose_labels(rows: Manifest, labels: _Labels, relabel: float, drop: float) -> list[Verdict]:
    ids, words = rows.column("id"), rows.array("label")
    verdicts = []
    for row in np.flatnonzero(labels.doubted).tolist():
        other, sure = str(labels.other[row]), float(labels.sure[row])
        own = float(labels.believed[row])
        action = "relabel" if sure >= relabel else "drop" if own < drop else "keep"
        reason = f"label {words[row]} {own:.0%}, {other} {sure:.0%}"
        verdicts.append(Verdict(ids[row], action, other if action == "relabel" else "", reason, own))
    return verdicts


def _write_page(rows: Manifest, verdicts: list[Verdict], metrics: dict[str, dict[str, float]], folder: Path) -> Path:
    sections = []
    for heading, kind in (("Non-faces", "no face"), ("Doubtful labels", "label")):
        chosen = [verdict for verdict in verdicts if verdict.reason.startswith(kind)]
        lead = f"{len(chosen):,} proposed, the most suspect first; {min(_SHOWN, len(chosen))} shown, all in review.csv."
        sections.append((heading, [page.paragraph(lead), page.tiles(_build_tiles(rows, chosen[:_SHOWN]))]))
    if metrics:
        table = [(name, *values.values()) for name, values in metrics.items()]
        head = ("score against FER+", *next(iter(metrics.values())))
        note = "Precision and recall measure the proposals; AUC measures the ranking of all rows with votes."
        sections.append(("Check against FER+", [page.table(head, table), page.paragraph(note, "soft")]))
    lead = (
        f"{len(rows):,} images checked. Edit the column action of review.csv (drop, relabel, keep), then: "
        "mien data apply-review MANIFEST review.csv OUT"
    )
    return page.write(folder / "index.html", "Images to review", lead, sections)


def _build_tiles(rows: Manifest, verdicts: list[Verdict]) -> list[str]:
    positions = {name: at for at, name in enumerate(rows.column("id"))}
    chosen = [positions[verdict.id] for verdict in verdicts]
    images = rows.pixels(chosen) if chosen else []
    labels = rows.array("label")[chosen].tolist() if chosen else []
    tiles = []
    for verdict, image, label in zip(verdicts, images, labels, strict=True):
        action = f"{verdict.action} → {verdict.new_label}" if verdict.new_label else verdict.action
        lines = (f"{label}: {action}", verdict.reason, f"score {verdict.score:.3f}", verdict.id)
        tiles.append(page.tile(sheets.thumbnail_uri(image), lines))
    return tiles
