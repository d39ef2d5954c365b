"""What a reader yields: a ``Row`` for every image, a ``Problem`` for everything that cannot be one."""

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
    """One image of a corpus, its pixels not yet read unless the corpus holds them as text.

    member:  where the source holds it: ``folder/name.png``, or ``fer2013.csv:17`` for line 17 of a CSV.
    label:   Mien's noun, or None where the corpus gives none.
    split:   the corpus's own part, '' if it has none.  subject, session, pose: '' where unknown.
    votes:   ten counts in the order of ``labels.VOTES``: FER+'s, or another corpus's shares of raters in hundredths.
    pixels:  uint8 (H, W) grey or (H, W, 3) RGB; None to read them from the source by ``member``.
    side:    width and height that the corpus promises; None for any.
    own:     the values of further columns: the user's own, or what a corpus says beyond its classes (AffectNet's
             valence and arousal).
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
    """Something in a corpus that is not as it should be.

    where: ``file:line`` or the member's name.  what: what was found and what was expected.
    kept:  True if the row is used all the same, as with a JPEG that is called .png.
    """

    where: str
    what: str
    kept: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Options:
    """What a reader may be asked for.

    last:    CK+ sequences: how many of the last frames are the expression's apex.
    neutral: CK+ sequences: whether the first frame is taken as neutral.
    angles:  KDEF: the angles to read (FL HL S HR FR); empty for all.
    own:     class folders and CSV lists: the classes are the user's own words, kept as they are.
    people:  the same: a regular expression that finds in a file's path who is on it; its first group counts.
    """

    last: int = 3
    neutral: bool = True
    angles: tuple[str, ...] = ()
    own: bool = False
    people: str = ""


Item = Row | Problem


def strictly(items: Iterable[Item]) -> Iterator[Row]:
    """Pass rows on and raise ``DataError`` at the first problem."""
    for item in items:
        if isinstance(item, Problem):
            raise DataError(str(item))
        yield item
