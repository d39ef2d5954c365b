"""Label sets: the only place where the order and the names of classes exist.

Mien speaks in nouns (``anger``, ``happiness``). Corpora speak otherwise (``Angry``, ``HA``, ``3``); their words
are mapped to ours here and nowhere else, because a silently permuted label order is the most common way to ruin
a facial-emotion model.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mien.errors import DataError, OptionError, nearest

_WORDS: dict[str, str] = {
    "anger": "anger", "angry": "anger", "an": "anger",
    "disgust": "disgust", "disgusted": "disgust", "di": "disgust",
    "fear": "fear", "afraid": "fear", "fearful": "fear", "af": "fear", "fe": "fear",
    "happiness": "happiness", "happy": "happiness", "ha": "happiness", "joy": "happiness",
    "sadness": "sadness", "sad": "sadness", "sa": "sadness",
    "surprise": "surprise", "surprised": "surprise", "su": "surprise",
    "neutral": "neutral", "ne": "neutral",
    "contempt": "contempt", "contemptuous": "contempt",
}  # fmt: skip


def canonical(word: str) -> str:
    """Translate a corpus's class word to Mien's noun: ``'Angry'`` → ``'anger'``, ``'HA'`` → ``'happiness'``.

    Raises:
        DataError: a word no known corpus uses.
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

FERPLUS = LabelSet("ferplus", ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"))
"""The eight emotions of FER+ (Barsoum et al. 2016), in the order of its vote columns."""

CKPLUS = LabelSet("ckplus", ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"))
"""The seven peak expressions of CK+ (Lucey et al. 2010); neutral is the first frame of each sequence."""

KDEF = LabelSet("kdef", ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"))
"""The seven expressions of KDEF (Lundqvist et al. 1998); JAFFE's and RAF-DB's classes are the same."""

HARMONISED = LabelSet(
    "harmonised", ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
)
"""Every noun that Mien knows: what merged corpora share."""

SYSTEM_A = LabelSet(
    "system-a",
    ("anger", "angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "sadness", "surprise"),
)
"""System A's ten classes: CK+'s and KDEF's words side by side, not unified (anger and angry, sad and sadness)."""

CKPLUS_CODES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
"""CK+'s ``*_emotion.txt`` holds the position in this order."""

RAFDB_CODES = (None, "surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""RAF-DB's ``list_patition_label.txt`` counts from 1."""

AFFECTNET_CODES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
"""AffectNet's expressions 0–7."""

AFFECTNET_FLAGS = {8: "none", 9: "uncertain", 10: "no_face"}
"""AffectNet's codes that are no expression."""

OWN = "own"
"""The name of every label set of a user's own classes."""

UNKNOWN, NO_FACE = "unknown", "no_face"
"""FER+ verdicts that are no emotion."""

VOTES = (*FERPLUS.labels, UNKNOWN, NO_FACE)
"""What each of the ten FER+ vote counts stands for; the last is the column ``NF``."""


def majority(votes: Sequence[int]) -> str:
    """Return the FER+ verdict on ten vote counts: a noun of ``FERPLUS``, ``"unknown"`` or ``"no_face"``.

    The rule of the FER+ authors: single votes are outliers and do not count; the winner needs more than half
    of what is left, otherwise the face is ``"unknown"``.

    Raises:
        DataError: anything but ten counts.
    """
    counts = _counted(votes)
    best = max(range(len(VOTES)), key=lambda index: counts[index])
    return VOTES[best] if counts[best] * 2 > sum(counts) else UNKNOWN


def plurality(votes: Sequence[int]) -> str:
    """Return the emotion with the most of ten FER+ votes, the first among equals; ``"no_face"`` without any such vote.

    The count of most papers on FERPlus: only faces that nobody gives an emotion are excluded, which leaves 28,559,
    3,579 and 3,573 faces of the three sets, the last for testing.

    Raises:
        DataError: as ``majority``.
    """
    _counted(votes)
    emotions = votes[: len(FERPLUS)]
    best = max(range(len(FERPLUS)), key=lambda index: emotions[index])
    return VOTES[best] if emotions[best] else NO_FACE


def distribution(votes: Sequence[int]) -> tuple[float, ...] | None:
    """Return the share of each ``FERPLUS`` emotion among the emotion votes, single votes left out; sum 1.

    None where ``unknown`` and ``NF`` together have as many votes as the emotions, or more: such a face has no
    distribution to learn from.
    """
    counts = _counted(votes)
    emotions = counts[: len(FERPLUS)]
    total = sum(emotions)
    return tuple(count / total for count in emotions) if total > sum(counts[len(FERPLUS) :]) else None


def _counted(votes: Sequence[int]) -> list[int]:
    if len(votes) != len(VOTES) or min(votes) < 0:
        raise DataError(f"FER+ votes {tuple(votes)}: expected {len(VOTES)} counts ({', '.join(VOTES)}).")
    return [count if count > 1 else 0 for count in votes]


@dataclass(frozen=True)
class Scheme:
    """How nouns become the classes of a label set; a noun without a class is left out, and counted.

    Attributes:
        classes: the classes in order.
        words: noun → class.
        datasets: corpus → words that differ there.
    """

    classes: LabelSet
    words: Mapping[str, str]
    datasets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, noun: str | None, dataset: str = "") -> str | None:
        """Return the class of a noun that comes from ``dataset``; None for no noun or one without a class."""
        if noun is None:
            return None
        return self.datasets.get(dataset, {}).get(noun, self.words.get(noun))


def names() -> tuple[str, ...]:
    """Return the names of the label sets that ``scheme`` knows."""
    return tuple(_SCHEMES)


def scheme(name: str) -> Scheme:
    """Return the scheme of a label set: fer2013, ferplus, ckplus, kdef, harmonised, system-a. ``OptionError``."""
    if name not in _SCHEMES:
        raise OptionError(f"No label set {name!r}; there are {', '.join(_SCHEMES)}.{nearest(name, tuple(_SCHEMES))}")
    return _SCHEMES[name]


def choose(wanted: str | Sequence[str], known: Collection[str] = ()) -> LabelSet:
    """Return the label set that is meant: ``"fer2013"`` and other sets' names, or emotions, at least two.

    Emotions: ``"happy,sad"`` or ``["happiness", "sadness"]``; ``known``, a model's classes, are kept as they are.

    Raises:
        OptionError: one of them alone or one named twice.
        DataError: an unknown one.
    """
    if isinstance(wanted, str) and wanted in names():
        return scheme(wanted).classes
    words = [word for word in wanted.split(",") if word.strip()] if isinstance(wanted, str) else list(wanted)
    if isinstance(wanted, str) and len(words) == 1:
        raise OptionError(
            f"classes = {wanted!r}: expected a label set ({', '.join(names())}) or two emotions and more, such "
            f"as happiness,sadness.{nearest(wanted, names())}"
        )
    nouns = tuple(word.strip() if word.strip() in known else canonical(word) for word in words)
    if len(set(nouns)) < max(len(nouns), 2):
        raise OptionError(f"classes = {wanted!r}: expected two or more different emotions.")
    return LabelSet("+".join(nouns), nouns)


def scheme_of(classes: LabelSet) -> Scheme:
    """Return the scheme that leads to ``classes``: its own where Mien knows the set, else each noun to itself."""
    known = next((known for known in _SCHEMES.values() if known.classes.labels == classes.labels), None)
    words = known.words if known else {label: label for label in classes.labels}
    return Scheme(classes, words, known.datasets if known else {})


def grouped(name: str, groups: Mapping[str, Sequence[str]]) -> Scheme:
    """Return a scheme of the user's own, such as ``{"negative": ["anger", "fear"], "positive": ["happy"]}``.

    Raises:
        DataError: an unknown emotion, or one that stands in two groups.
    """
    words: dict[str, str] = {}
    for group, members in groups.items():
        for noun in map(canonical, members):
            if words.setdefault(noun, group) != group:
                raise DataError(f"Label set {name!r}: {noun} stands in {words[noun]!r} and in {group!r}.")
    return Scheme(LabelSet(name, tuple(groups)), words)


def own(classes: Sequence[str]) -> Scheme:
    """Return the scheme of a user's own classes, each word as it is; the order is that of ``classes``.

    Raises:
        DataError: none at all, one named twice, or a word that ``class_word`` does not take.
    """
    words = tuple(class_word(word) for word in classes)
    return Scheme(LabelSet(OWN, words), {word: word for word in words})


def class_word(word: str) -> str:
    """Return a class's name.

    Lists of classes are written with commas (``--classes``), and every name must fit a line of a table. Letters that
    macOS takes apart (``u`` and two dots) are put together, so that one class has one name on every system.

    Raises:
        DataError: it is empty, has blanks around it, a comma or control characters.
    """
    word = unicodedata.normalize("NFC", word)
    if word != word.strip() or not word or not word.isprintable() or "," in word:
        raise DataError(f"{word!r} is no name for a class; expected one without commas, blanks around it, line breaks.")
    return word


def smallest(nouns: set[str]) -> Scheme:
    """Return the scheme of the smallest label set that holds all ``nouns``; FER2013's before others of its size.

    Words that are not all Mien's are a user's own classes, in alphabetical order.
    """
    for candidate in (FER2013, CKPLUS, FERPLUS, HARMONISED):
        if nouns <= set(candidate.labels):
            return _SCHEMES[candidate.name]
    return own(sorted(nouns))


_SCHEMES = {
    classes.name: Scheme(classes, {noun: noun for noun in classes.labels})
    for classes in (FER2013, FERPLUS, CKPLUS, KDEF, HARMONISED)
} | {
    "system-a": Scheme(
        SYSTEM_A,
        {noun: noun for noun in HARMONISED.labels} | {"happiness": "happy"},
        {"kdef": {"anger": "angry", "sadness": "sad"}},
    )
}
