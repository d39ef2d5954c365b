"""Label sets: the only place where the order and the names of classes exist.

Mien speaks in nouns (``anger``, ``happiness``). Corpora speak otherwise (``Angry``, ``HA``, ``3``); their words
are mapped to ours here and nowhere else, because a silently permuted label order is the most common way to ruin
a facial-emotion model.
"""

from __future__ import annotations

from dataclasses import dataclass

from mien.errors import DataError, nearest

_WORDS: dict[str, str] = {
    "anger": "anger", "angry": "anger", "an": "anger",
    "disgust": "disgust", "disgusted": "disgust", "di": "disgust",
    "fear": "fear", "afraid": "fear", "fearful": "fear", "af": "fear", "fe": "fear",
    "happiness": "happiness", "happy": "happiness", "ha": "happiness", "joy": "happiness",
    "sadness": "sadness", "sad": "sadness", "sa": "sadness",
    "surprise": "surprise", "surprised": "surprise", "su": "surprise",
    "neutral": "neutral", "ne": "neutral",
    "contempt": "contempt",
}  # fmt: skip


def canonical(word: str) -> str:
    """Translate a corpus's class word to Mien's noun: ``'Angry'`` → ``'anger'``, ``'HA'`` → ``'happiness'``.

    Raises ``DataError`` for a word no known corpus uses.
    """
    noun = _WORDS.get(word.strip().lower())
    if noun is None:
        known = sorted(set(_WORDS.values()))
        raise DataError(
            f"Unknown emotion {word!r}; known are {', '.join(known)}.{nearest(word.lower(), tuple(_WORDS))}"
        )
    return noun


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of class names; position is the class index of every array that uses it."""

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels) or not self.labels:
            raise DataError(f"Label set {self.name!r} must hold distinct names, at least one; got {self.labels}.")

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, word: str) -> int:
        """Return the class index of a label, given in Mien's or a corpus's words. Raises ``DataError``."""
        noun = word if word in self.labels else canonical(word)
        if noun not in self.labels:
            raise DataError(f"Label set {self.name!r} has no {word!r}; it holds {', '.join(self.labels)}.")
        return self.labels.index(noun)


FER2013 = LabelSet("fer2013", ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"))
"""The codes 0–6 of ``fer2013.csv``, in order (system B)."""
