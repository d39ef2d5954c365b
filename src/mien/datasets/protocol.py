"""The cross-corpus protocol: the corpora, splits and labels that ``mien evaluate --suite`` scores.

An entry is a corpus file in one folder (``MIEN_DATA``), one of its splits, and the classes to distinguish. Images are
not decoded here: a sample holds the encoded file, so that photos take the same path as in ``mien predict``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mien.datasets import index
from mien.datasets.formats import ferplus, readers
from mien.datasets.guard import LISTED
from mien.datasets.rows import Row, raise_problems
from mien.datasets.sources.archive import Source, open_source
from mien.errors import DataError, OptionError, nearest
from mien.labels import FER2013, FERPLUS, LabelSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Frame = Literal["detector", "own"]
"""How a face is cropped: by the detector (the whole image without a detection), or as the corpus frames it."""

VALIDATION = ("validation", "PublicTest")
"""Names of splits on which models may be selected; all others are for scoring only."""

GROUPS = ("sex", "age", "origin")
"""Attributes of people by which performance gaps are reported if a corpus provides them."""


@dataclass(frozen=True)
class Entry:
    """One corpus of the protocol.

    Attributes:
        name: its name in ``--corpora``.
        title: its name in the table.
        file: its file in the data folder.
        classes: the classes to distinguish; the probabilities of a model's other classes are redistributed.
        trained: names in a model's ``trained_on`` that mean it was trained on these or related faces.
        test: the split that the suite scores, ``""`` for the whole corpus.
        validation: the split that ``--validation`` scores; None to skip the corpus.
        frames: how faces are cropped, one row of the table each.
        votes: the folder of FER+'s votes in the data folder; the label is then their majority.
    """

    name: str
    title: str
    file: str
    classes: LabelSet
    trained: tuple[str, ...]
    test: str = "test"
    validation: str | None = "validation"
    frames: tuple[Frame, ...] = ("detector",)
    votes: str = ""

    def part(self, *, validation: bool) -> str | None:
        """Return the split to score; None if the corpus has none in this mode."""
        return self.validation if validation else self.test


_FER = {"file": "fer2013.zip", "trained": ("fer2013", "ferplus"), "test": "PrivateTest", "validation": "PublicTest"}

PROTOCOL: tuple[Entry, ...] = (
    Entry("rafdb", "RAF-DB", "rafdb_train.zip", FER2013, ("rafdb",), test="validation"),
    Entry("affectnet7", "AffectNet-7", "affectnet7.zip", FER2013, ("affectnet7",)),
    Entry("affectnet_contempt", "AffectNet contempt", "affectnet_contempt.zip", FERPLUS, ("affectnet_contempt",)),
    Entry("taiwanese", "Taiwanese", "taiwanese.zip", FER2013, ("taiwanese",)),
    Entry("ferplus", "FER+", classes=FERPLUS, frames=("detector", "own"), votes="ferplus", **_FER),  # type: ignore[arg-type]
    Entry("fer2013", "FER2013", classes=FER2013, frames=("detector", "own"), **_FER),  # type: ignore[arg-type]
    Entry("kdef", "KDEF", "kdef_frontal350.zip", FER2013, ("kdef",), test="", validation=None),
    Entry("ckplus350", "CK+ 350", "ckplus350.zip", FER2013, ("ckplus",), test="", validation=None),
    Entry(
        "ckplus48", "CK+ 48, subjects", "ckplus_subjects48.zip", FER2013, ("ckplus",), test="", validation=None,
        frames=("own",),
    ),
)  # fmt: skip
"""The corpora in the order of the table. RAF-DB's official test set is never scored here; its validation tenth is used
in both modes."""


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        id: its member in the corpus.
        label: one of Mien's labels.
        image: the encoded file, or uint8 (H, W) grey or (H, W, 3) RGB if the corpus stores pixels as text.
        groups: known attributes of the person: a name of ``GROUPS`` → value.
    """

    id: str
    label: str
    image: bytes | NDArray[np.uint8] = field(repr=False)
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Material:
    """The samples of one entry.

    Attributes:
        entry: the corpus.
        part: its split, ``""`` for all.
        samples: in the order of the corpus.
        available: number of samples without a limit.
        left_out: reason → number of rows not scored: ``no label``, ``ambiguous votes``, ``listed leak`` and other
            faults listed by the corpus, or a class that is not among the entry's.
    """

    entry: Entry
    part: str
    samples: tuple[Sample, ...] = field(repr=False)
    available: int
    left_out: Mapping[str, int]

    def digest(self) -> str:
        """Return the SHA-256 (hex) of ids and images, in order; labels and groups are not included."""
        whole = hashlib.sha256()
        for sample in self.samples:
            content = sample.image if isinstance(sample.image, bytes) else sample.image.tobytes()
            whole.update(f"{sample.id}\0{hashlib.sha256(content).hexdigest()}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()


def select_entries(text: str | None) -> tuple[Entry, ...]:
    """Select entries by a list of names such as ``rafdb,kdef``, in the protocol's order; None selects all.

    Raises:
        OptionError: an unknown name, or none at all.
    """
    if text is None:
        return PROTOCOL
    known = [entry.name for entry in PROTOCOL]
    names = [word.strip() for word in text.split(",") if word.strip()]
    for name in names:
        if name not in known:
            raise OptionError(f"No corpus {name!r}; there are {', '.join(known)}.{nearest(name, known)}")
    if not names:
        raise OptionError(f"--corpora is empty; expected some of {', '.join(known)}.")
    return tuple(entry for entry in PROTOCOL if entry.name in names)


def read(entry: Entry, folder: Path, part: str, limit: int | None = None) -> Material:
    """Read the encoded samples of one split of a corpus.

    Args:
        entry: the corpus.
        folder: the data folder.
        part: a split of the corpus, ``""`` for all of it.
        limit: maximum number of samples, evenly spaced in the corpus's order; None takes all.

    Raises:
        FileMissingError: the corpus or its votes do not exist.
        DataError: the corpus is damaged, or has no sample in this split.
        OptionError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit = {limit}: expected at least 1 face per corpus.")
    left_out: Counter[str] = Counter()
    with open_source(folder / entry.file) as source:
        all_rows = raise_problems(index.items(source, readers.detect(source)[0]))
        in_part = (row for row in all_rows if not part or row.split == part)
        voted = _join_votes(in_part, folder / entry.votes, left_out) if entry.votes else in_part
        rows = [row for row in voted if _is_usable(row, entry.classes, left_out)]
        if not rows:
            raise DataError(f"{source.path} has no sample in the split {part or 'all'!r}; is this the right corpus?")
        samples = tuple(_read_sample(row, source) for row in _sample_evenly(rows, limit))
    return Material(entry, part, samples, len(rows), dict(sorted(left_out.items())))


def _join_votes(rows: Iterator[Row], votes: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Yield the rows with the majority of FER+'s votes as label; count those whose votes are ambiguous."""
    join = ferplus.open_join(votes, "majority")
    for row in rows:
        joined = join(row)
        if isinstance(joined, Row):
            yield joined
        else:
            left_out["ambiguous votes"] += 1


def _is_usable(row: Row, classes: LabelSet, left_out: Counter[str]) -> bool:
    """Check whether a row is scored; count it if not: listed as faulty by its corpus, or of another class."""
    fault = next((flag for flag in row.flags if flag in LISTED), "")
    if row.label in classes.labels and not fault:
        return True
    left_out[fault.replace("_", " ") or row.label or "no label"] += 1
    return False


def _sample_evenly(rows: Sequence[Row], limit: int | None) -> Iterator[Row]:
    if limit is None or limit >= len(rows):
        return iter(rows)
    # Class folders come one after another: the first N samples would be of one class.
    return (rows[number] for number in np.linspace(0, len(rows) - 1, limit).round().astype(int).tolist())


def _read_sample(row: Row, source: Source) -> Sample:
    image = source.read(row.member) if row.pixels is None else row.pixels
    return Sample(row.member, row.label or "", image, _find_groups(row))


def _find_groups(row: Row) -> dict[str, str]:
    """Return the person's attributes: columns of the corpus, and the sex in KDEF's subjects (F01, M01)."""
    own = {name: str(value) for name in GROUPS if (value := (row.own or {}).get(name)) not in (None, "")}
    if row.dataset == "kdef" and row.subject[:1] in ("F", "M"):
        own["sex"] = {"F": "female", "M": "male"}[row.subject[0]]
    return own


def keep_classes(material: Material, classes: Sequence[str]) -> Material:
    """Keep only the samples of ``classes``; the others are counted in ``left_out``."""
    kept = tuple(sample for sample in material.samples if sample.label in classes)
    dropped = Counter(sample.label for sample in material.samples if sample.label not in classes)
    return replace(material, samples=kept, left_out=dict(sorted((dropped + Counter(material.left_out)).items())))
