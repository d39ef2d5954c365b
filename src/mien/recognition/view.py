"""Some of a model's classes only: the others' share of the probability is divided among those that stay."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mien import labels
from mien.errors import OptionError, nearest
from mien.labels import LabelSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.session import Session


@dataclass(frozen=True)
class Columns:
    """Some columns of another session's logits, in another order; their softmax is the others' share divided."""

    session: Session = field(repr=False)
    columns: tuple[int, ...]

    def logits(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map float32 (N, channels, size, size) to float32 (N, number of columns)."""
        return np.ascontiguousarray(self.session.logits(batch)[:, self.columns])


def classes(wanted: str | Sequence[str], known: Collection[str] = ()) -> LabelSet:
    """Return the label set that is meant: ``"fer2013"`` and other sets' names, or emotions, at least two.

    Emotions: ``"happy,sad"`` or ``["happiness", "sadness"]``; ``known``, a model's classes, are kept as they are.
    Raises ``OptionError`` for one of them alone or one named twice, ``DataError`` for an unknown one.
    """
    if isinstance(wanted, str) and wanted in labels.names():
        return labels.scheme(wanted).classes
    words = [word for word in wanted.split(",") if word.strip()] if isinstance(wanted, str) else list(wanted)
    if isinstance(wanted, str) and len(words) == 1:
        raise OptionError(
            f"classes = {wanted!r}: expected a label set ({', '.join(labels.names())}) or two emotions and more, such "
            f"as happiness,sadness.{nearest(wanted, labels.names())}"
        )
    nouns = tuple(word.strip() if word.strip() in known else labels.canonical(word) for word in words)
    if len(set(nouns)) < max(len(nouns), 2):
        raise OptionError(f"classes = {wanted!r}: expected two or more different emotions.")
    return LabelSet("+".join(nouns), nouns)


def narrowed(session: Session, known: LabelSet, wanted: LabelSet) -> Session:
    """Return a session that answers ``wanted`` alone, in its order, from one that answers ``known``.

    Raises ``OptionError`` if the model does not know a class.
    """
    absent = [label for label in wanted.labels if label not in known.labels]
    if absent:
        raise OptionError(
            f"classes: the model does not know {', '.join(absent)}; it knows {', '.join(known.labels)}. Leave them out."
        )
    return Columns(session, tuple(known.labels.index(label) for label in wanted.labels))
