"""Recognise FER2013's splits by their class counts, whatever a folder calls them."""

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
"""Share of images that may be missing or extra; the closest splits, PublicTest and PrivateTest, differ by 3.1 %."""

_MEANT = {
    "Training": {"Training", "train"},
    "PublicTest": {"PublicTest", "validation"},
    "PrivateTest": {"PrivateTest", "test"},
}


@dataclass(frozen=True)
class Fingerprint:
    """A split whose class counts match one or more splits of FER2013.

    Attributes:
        split: its name.
        parts: the splits of FER2013 that it consists of.
        off: number of images missing or extra, summed over classes.
    """

    split: str
    parts: tuple[str, ...]
    off: int

    @property
    def expected(self) -> bool:
        """Whether the split's name agrees with its content."""
        return len(self.parts) == 1 and self.split in _MEANT[self.parts[0]]

    def __str__(self) -> str:
        split = self.split or "the rows without a split"
        return f"{split} is {' + '.join(self.parts)}{self._describe_name()}{self._describe_difference()}"

    def _describe_name(self) -> str:
        if self.expected:
            return ""
        if len(self.parts) == 1:
            return f" called {self.split!r}" if self.split else ""
        if "PrivateTest" in self.parts:
            return ": anything chosen on it is chosen on PrivateTest"
        return ""

    def _describe_difference(self) -> str:
        return f" ({self.off} images more or fewer)" if self.off else ""


def recognise_splits(counts: Mapping[str, Mapping[str, int]]) -> list[Fingerprint]:
    """Recognise splits of FER2013 among splits given as split → label → number of images."""
    candidates = (_recognise(split, counts[split]) for split in sorted(counts))
    return [fingerprint for fingerprint in candidates if fingerprint]


def _recognise(split: str, label_counts: Mapping[str, int]) -> Fingerprint | None:
    if not set(label_counts) - {""} <= set(FER2013.labels):
        return None
    given = [label_counts.get(label, 0) for label in FER2013.labels]
    candidates = []
    for number in range(1, len(COUNTS) + 1):
        for parts in combinations(COUNTS, number):
            goal = [sum(COUNTS[part][index] for part in parts) for index in range(len(FER2013))]
            off = sum(abs(one - other) for one, other in zip(given, goal, strict=True))
            if off <= TOLERANCE * sum(goal):
                candidates.append(Fingerprint(split, parts, off))
    return min(candidates, key=lambda candidate: candidate.off, default=None)
