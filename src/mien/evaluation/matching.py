"""Data of one label set for a model of another: what both know is compared, and what one lacks is named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from mien.datasets.faces import FaceSet
from mien.errors import DataError
from mien.labels import LabelSet, scheme_of


@dataclass(frozen=True)
class Matched:
    """Faces with a model's classes.

    faces:    those of a class that the model has, with places in its label set.
    left_out: label → number of faces of a class that the model lacks.
    """

    faces: FaceSet
    left_out: dict[str, int]


def matched(faces: FaceSet, label_set: LabelSet) -> Matched:
    """Give faces the classes of ``label_set``; where that is a scheme of Mien's, by its words for each corpus.

    A class that the data lack is no error: the figures name it (``Metrics.absent``). The votes are dropped.
    Raises ``DataError`` if no face has a class of ``label_set``.
    """
    if faces.label_set.labels == label_set.labels:
        return Matched(replace(faces, label_set=label_set), {})
    scheme = scheme_of(label_set)
    nouns = np.array(faces.label_set.labels)[faces.labels]
    datasets = np.full(len(faces), "") if faces.datasets is None else faces.datasets
    pairs = list(zip(nouns.tolist(), datasets.tolist(), strict=True))
    known = set(label_set.labels)  # data that already speak in the model's own words need no translation
    words = {pair: scheme.of(*pair) or (pair[0] if pair[0] in known else None) for pair in set(pairs)}
    places = np.array([label_set.labels.index(word) if (word := words[pair]) else -1 for pair in pairs], np.int64)
    left_out = Counter(nouns[places < 0].tolist())
    if (places < 0).all():
        raise DataError(
            f"The model's classes are {', '.join(label_set.labels)}, and no face has one of them; the data's are "
            f"{', '.join(faces.label_set.labels)}. Give data with the model's classes."
        )
    found = replace(faces, label_set=label_set, labels=places, votes=None).where(places >= 0)
    return Matched(found, dict(sorted(left_out.items())))
