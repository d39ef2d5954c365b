"""Map the labels of a corpus to the classes of a model, and count the faces whose class the model lacks."""

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

    Attributes:
        faces: the faces of classes that the model has, labelled with indices into its label set.
        left_out: label → number of faces of a class that the model lacks.
    """

    faces: FaceSet
    left_out: dict[str, int]


def match_classes(faces: FaceSet, label_set: LabelSet) -> Matched:
    """Map faces to the classes of ``label_set``; a scheme of Mien's uses its own mapping for each corpus.

    Classes that the data lack are no error: ``Metrics.absent`` lists them. Votes are dropped.

    Raises:
        DataError: no face has a class of ``label_set``.
    """
    if faces.label_set.labels == label_set.labels:
        return Matched(replace(faces, label_set=label_set), {})
    scheme = scheme_of(label_set)
    labels = np.array(faces.label_set.labels)[faces.labels]
    datasets = np.full(len(faces), "") if faces.datasets is None else faces.datasets
    pairs = list(zip(labels.tolist(), datasets.tolist(), strict=True))
    known = set(label_set.labels)  # labels that the model already has need no mapping
    targets = {pair: scheme.of(*pair) or (pair[0] if pair[0] in known else None) for pair in set(pairs)}
    indices = np.array(
        [label_set.labels.index(target) if (target := targets[pair]) else -1 for pair in pairs], np.int64
    )
    left_out = Counter(labels[indices < 0].tolist())
    if (indices < 0).all():
        raise DataError(
            f"No face has a class of the model. The model's classes are {', '.join(label_set.labels)}; the data's are "
            f"{', '.join(faces.label_set.labels)}. Use data with the model's classes."
        )
    kept = replace(faces, label_set=label_set, labels=indices, votes=None).where(indices >= 0)
    return Matched(kept, dict(sorted(left_out.items())))
