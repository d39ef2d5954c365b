"""The cross-corpus protocol: which faces of which corpora ``mien evaluate --suite`` scores, and by which labels.

An entry is a corpus file below one folder (``MIEN_DATA``), one of its parts, and the classes that are told apart.
Nothing here decodes a picture: a sample holds the encoded file, so that photos go the way of ``mien predict``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mien.datasets import ferplus, index, readers
from mien.datasets.archive import Source, open_source
from mien.datasets.guard import LISTED
from mien.datasets.rows import Row, strictly
from mien.errors import DataError, OptionError, nearest
from mien.labels import FER2013, FERPLUS, LabelSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Frame = Literal["detector", "own"]
"""How a face is cut out: by the detector (the whole picture where it finds no face), or as the corpus frames it."""

VALIDATION = ("validation", "PublicTest")
"""Names of parts on which a model may be chosen; every other part is only scored."""

GROUPS = ("sex", "age", "origin")
"""Properties of people by which gaps are reported where a corpus names them."""


@dataclass(frozen=True)
class Entry:
    """One corpus of the protocol.

    Attributes:
        name: the word for ``--corpora``.
        title: what the table shows.
        file: the corpus below the data folder.
        classes: the classes that are told apart; a model's other classes are left out and their share divided.
        trained: names in a model's ``trained_on`` that mean its faces, or their neighbours, were trained on.
        test: the part that the suite scores, ``""`` for the whole corpus.
        validation: the part that ``--validation`` scores; None to pass the corpus over.
        frames: how faces are cut out, one row of the table for each.
        votes: the folder of FER+'s votes below the data folder; labels are then their majority.
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
        """Return the part to score; None if the corpus has none in this mode."""
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
"""The corpora in the order of the table. RAF-DB's official test part is kept out of reach: its validation tenth is
scored in either mode."""


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    Attributes:
        id: where the corpus holds it.
        label: its class, one of Mien's nouns.
        image: the encoded file, or uint8 (H, W) grey or (H, W, 3) RGB where the corpus holds pixels as text.
        groups: what is known of the person: a name of ``GROUPS`` → value.
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
        part: the part of it, ``""`` for all.
        samples: in the order of the corpus.
        available: how many samples there are without a limit.
        left_out: reason → rows that are not scored: ``no label``, ``ambiguous votes``, ``listed leak`` and other faults
            that a list of the corpus names, or a class that is not among the entry's.
    """

    entry: Entry
    part: str
    samples: tuple[Sample, ...] = field(repr=False)
    available: int
    left_out: Mapping[str, int]

    def digest(self) -> str:
        """Return the SHA-256 (hex) of ids and pictures, in their order; labels and groups do not count."""
        whole = hashlib.sha256()
        for sample in self.samples:
            content = sample.image if isinstance(sample.image, bytes) else sample.image.tobytes()
            whole.update(f"{sample.id}\0{hashlib.sha256(content).hexdigest()}\n".encode("utf-8", "surrogateescape"))
        return whole.hexdigest()


def chosen(text: str | None) -> tuple[Entry, ...]:
    """Return the entries that ``rafdb,kdef`` names, in the protocol's order; None is all of them.

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
        raise OptionError(f"--corpora names none; expected some of {', '.join(known)}.")
    return tuple(entry for entry in PROTOCOL if entry.name in names)


def read(entry: Entry, folder: Path, part: str, limit: int | None = None) -> Material:
    """Read the samples of one part of a corpus, encoded.

    Args:
        entry: the corpus.
        folder: the data folder.
        part: a split of the corpus, ``""`` for all of it.
        limit: at most so many, evenly spread over the corpus's order; None takes all.

    Raises:
        FileMissingError: the corpus or its votes are not there.
        DataError: a broken corpus, or no sample in this part.
        OptionError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit = {limit}: expected 1 or more faces a corpus.")
    left_out: Counter[str] = Counter()
    with open_source(folder / entry.file) as source:
        every = strictly(index.items(source, readers.detect(source)[0]))
        in_part = (row for row in every if not part or row.split == part)
        voted = _voted(in_part, folder / entry.votes, left_out) if entry.votes else in_part
        rows = [row for row in voted if _usable(row, entry.classes, left_out)]
        if not rows:
            raise DataError(f"{source.path} has no sample of the part {part or 'all'!r}; is this the right corpus?")
        samples = tuple(_sample(row, source) for row in _spread(rows, limit))
    return Material(entry, part, samples, len(rows), dict(sorted(left_out.items())))


def _voted(rows: Iterator[Row], votes: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Yield the rows with the majority of FER+'s votes as labels; count those whose votes cannot be told apart."""
    join = ferplus.open_join(votes, "majority")
    for row in rows:
        joined = join(row)
        if isinstance(joined, Row):
            yield joined
        else:
            left_out["ambiguous votes"] += 1


def _usable(row: Row, classes: LabelSet, left_out: Counter[str]) -> bool:
    """Say whether a row is scored; count it if not: a list of its corpus calls it faulty, or it has no such class."""
    fault = next((flag for flag in row.flags if flag in LISTED), "")
    if row.label in classes.labels and not fault:
        return True
    left_out[fault.replace("_", " ") or row.label or "no label"] += 1
    return False


def _spread(rows: Sequence[Row], limit: int | None) -> Iterator[Row]:
    if limit is None or limit >= len(rows):
        return iter(rows)
    # Class folders stand one after another: the first N would be one class.
    return (rows[number] for number in np.linspace(0, len(rows) - 1, limit).round().astype(int).tolist())


def _sample(row: Row, source: Source) -> Sample:
    image = source.read(row.member) if row.pixels is None else row.pixels
    return Sample(row.member, row.label or "", image, _groups(row))


def _groups(row: Row) -> dict[str, str]:
    """Return what is known of the person: columns of the corpus, and the sex in KDEF's subjects (F01, M01)."""
    own = {name: str(value) for name in GROUPS if (value := (row.own or {}).get(name)) not in (None, "")}
    if row.dataset == "kdef" and row.subject[:1] in ("F", "M"):
        own["sex"] = {"F": "female", "M": "male"}[row.subject[0]]
    return own


def without(material: Material, classes: Sequence[str]) -> Material:
    """Return the samples of ``classes`` alone; the others are counted in ``left_out``."""
    kept = tuple(sample for sample in material.samples if sample.label in classes)
    dropped = Counter(sample.label for sample in material.samples if sample.label not in classes)
    return replace(material, samples=kept, left_out=dict(sorted((dropped + Counter(material.left_out)).items())))
