"""FER2013's parts recognised by their class counts, whatever a folder calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from mien.labels import FER2013

COUNTS = {
    "Training": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "PublicTest": (467, 56, 496, 895, 653, 415, 607),
    "PrivateTest": (491, 55, 528, 879, 594, 416, 626),
}
"""Images of each class, in the order of ``labels.FER2013``."""

TOLERANCE = 0.01
"""Share of images that may be missing or extra; the nearest two parts, PublicTest and PrivateTest, differ by 3.1 %."""

_MEANT = {
    "Training": {"Training", "train"},
    "PublicTest": {"PublicTest", "validation"},
    "PrivateTest": {"PrivateTest", "test"},
}


@dataclass(frozen=True)
class Fingerprint:
    """A split whose class counts are those of some of FER2013's parts. off: by how many images in all."""

    split: str
    parts: tuple[str, ...]
    off: int

    @property
    def expected(self) -> bool:
        """Whether the split is called as what it is."""
        return len(self.parts) == 1 and self.split in _MEANT[self.parts[0]]

    def __str__(self) -> str:
        return f"{self.split or 'the rows without a split'} is {' + '.join(self.parts)}{self._called()}{self._nearly()}"

    def _called(self) -> str:
        if self.expected:
            return ""
        if len(self.parts) == 1:
            return f" called {self.split!r}" if self.split else ""
        if "PrivateTest" in self.parts:
            return ": whatever is chosen on it is chosen on PrivateTest"
        return ""

    def _nearly(self) -> str:
        return f" ({self.off} images more or fewer)" if self.off else ""


def fingerprints(counts: Mapping[str, Mapping[str, int]]) -> list[Fingerprint]:
    """Return what is recognised among splits, given as split → noun → number of images."""
    found = (_recognise(split, counts[split]) for split in sorted(counts))
    return [each for each in found if each]


def _recognise(split: str, nouns: Mapping[str, int]) -> Fingerprint | None:
    if not set(nouns) - {""} <= set(FER2013.labels):
        return None
    given = [nouns.get(noun, 0) for noun in FER2013.labels]
    candidates = []
    for number in range(1, len(COUNTS) + 1):
        for parts in combinations(COUNTS, number):
            goal = [sum(COUNTS[part][place] for part in parts) for place in range(len(FER2013))]
            off = sum(abs(one - other) for one, other in zip(given, goal, strict=True))
            if off <= TOLERANCE * sum(goal):
                candidates.append(Fingerprint(split, parts, off))
    return min(candidates, key=lambda each: each.off, default=None)
