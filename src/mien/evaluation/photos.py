"""Evaluate a recognizer end to end on labelled photos: detection, crop and classification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from mien.datasets.formats.photos import Photo
from mien.errors import DataError
from mien.evaluation.metrics.classification import Metrics, score
from mien.labels import LabelSet
from mien.recognition.recognizer import Recognizer
from mien.results import Face, ImageResult


@dataclass(frozen=True)
class EndToEnd:
    """Results of a recognizer on N labelled photos of one face each.

    Attributes:
        found: share of the photos in which a face was detected.
        accuracy: share of all photos classified correctly; a photo without a detected face counts as an error.
        of_found: metrics on the photos with a detected face.
        left_out: class → number of photos of classes that the model lacks.
    """

    photos: int
    found: float
    accuracy: float
    of_found: Metrics
    left_out: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        own = {
            "photos": self.photos,
            "found": self.found,
            "accuracy": self.accuracy,
            "left_out": self.left_out,
        }
        return {**own, "of_found": self.of_found.to_dict()}


def read_photos(recognizer: Recognizer, photos: Iterable[Photo]) -> EndToEnd:
    """Evaluate a recognizer on labelled photos, using the largest face of each.

    Raises:
        DataError: no photo has a class of the model, or no face is detected at all.
    """
    label_set = recognizer.bundle.labels
    left_out: Counter[str] = Counter()
    rows: list[list[float]] = []
    labels: list[int] = []
    count = 0
    known = iter(_select_known(photos, label_set, left_out))
    while group := list(islice(known, 32)):
        results = recognizer.predict([photo.content for photo in group], keep_pixels=False)
        count += len(group)
        for photo, result in zip(group, results, strict=True):
            if result.faces:
                rows.append(list(pick_largest(result).values))
                labels.append(label_set.index(photo.label))
    if not rows:
        raise DataError(f"No face detected in {count} photos (left out: {dict(left_out)}). Is this the right corpus?")
    metrics = score(np.array(rows), np.array(labels, np.int64), label_set)
    right = round(metrics.accuracy * len(rows))
    return EndToEnd(count, len(rows) / count, right / count, metrics, dict(left_out))


def _select_known(photos: Iterable[Photo], label_set: LabelSet, left_out: Counter[str]) -> Iterable[Photo]:
    for photo in photos:
        if photo.label in label_set.labels:
            yield photo
        else:
            left_out[photo.label] += 1


def pick_largest(result: ImageResult) -> Face:
    """Return the face with the largest box; the result must hold one."""
    return max(result.faces, key=lambda face: face.box.width * face.box.height)
