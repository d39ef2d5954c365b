"""What readers give: a ``Row`` for every image, a ``Problem`` for what cannot be used, the ``Terms`` of the corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mien.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a corpus; its pixels are read later unless the corpus stores them as text.

    Attributes:
        member: its member in the source: ``folder/name.png``, or ``fer2013.csv:17`` for line 17 of a CSV.
        label: one of Mien's labels, or None if the corpus gives none.
        dataset: the name of the corpus.
        split: the corpus's own split, '' if it has none.
        subject, session, pose: '' where unknown.
        votes: ten counts in the order of ``labels.VOTES``: FER+'s, or another corpus's shares of raters in hundredths.
        flags: remarks such as ``duplicate``.
        pixels: uint8 (H, W) grey or (H, W, 3) RGB; None to read them from the source by ``member``.
        side: width and height that images of the corpus must have; None for any.
        own: values of further columns: the user's own, or the corpus's, such as AffectNet's valence and arousal.
    """

    member: str
    label: str | None
    dataset: str
    split: str = ""
    subject: str = ""
    session: str = ""
    pose: str = ""
    votes: tuple[int, ...] | None = None
    flags: tuple[str, ...] = ()
    pixels: NDArray[np.uint8] | None = None
    side: int | None = None
    own: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault in a corpus.

    Attributes:
        where: ``file:line`` or the member's name.
        what: what is wrong and what was expected.
        kept: True if the row is used nevertheless, such as a JPEG named .png.
    """

    where: str
    what: str
    kept: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Options:
    """Options of the readers.

    Attributes:
        last: CK+: number of final frames of a sequence that count as its apex; of CK+48, 1 or 2 leave out the others.
        neutral: CK+ sequences: use the first frame as neutral.
        angles: KDEF: the angles to read (FL HL S HR FR); empty for all.
        own: class folders and CSV lists: keep class names unchanged instead of translating them to Mien's labels.
        people: class folders and CSV lists with ``own``: a regular expression that finds the person in a file's path;
            its first group is used, if it has one.
    """

    last: int = 3
    neutral: bool = True
    angles: tuple[str, ...] = ()
    own: bool = False
    people: str = ""


Item = Row | Problem

RESEARCH_ONLY = "non-commercial research only"
"""Start of the terms that most corpora have."""


@dataclass(frozen=True)
class Terms:
    """Terms of use of a corpus, or of pretrained weights.

    Attributes:
        name: as manifests and model files have it.
        title: the full name.
        terms: one line, as the owners state them.
        source: the paper or the distributor.
    """

    name: str
    title: str
    terms: str
    source: str


def raise_problems(items: Iterable[Item]) -> Iterator[Row]:
    """Yield rows and raise ``DataError`` at the first problem."""
    for item in items:
        if isinstance(item, Problem):
            raise DataError(str(item))
        yield item
