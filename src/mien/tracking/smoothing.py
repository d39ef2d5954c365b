"""One person's probabilities over time: an exponential mean of them, in seconds.

A frame t seconds ago counts exp(-t / constant) as much as this one. Only the past counts, so a stream is smoothed as a
film is. docs/lab/smoothing.md has the measurement that chose the method and its time constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mien.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMOOTH = 0.1
"""Time constant in seconds."""


@dataclass
class _Mean:
    values: NDArray[np.float64]
    weight: float
    seconds: float


class Smoother:
    """Smooth each person's probabilities.

    Args:
        constant: time constant in seconds; 0 leaves the probabilities as they are. Raises ``OptionError`` below 0.
    """

    def __init__(self, constant: float = SMOOTH) -> None:
        if not 0 <= constant < math.inf:
            raise OptionError(f"smooth = {constant}: expected seconds, 0 (no smoothing) or more.")
        self._constant = constant
        self._means: dict[int, _Mean] = {}

    def update(self, person: int, seconds: float, raw: Sequence[float]) -> tuple[float, ...]:
        """Add a frame's probabilities (sum 1) of ``person``; return the smoothed ones (sum 1)."""
        values = np.asarray(raw, np.float64)
        mean = self._means.get(person)
        if mean is None or self._constant == 0:
            self._means[person] = _Mean(values, 1.0, seconds)
            return tuple(raw)
        # The sum of weights starts at 1 and not at its limit, so that the first frame has no lasting say.
        kept = mean.weight * math.exp(-max(0.0, seconds - mean.seconds) / self._constant)
        mean.values = (kept * mean.values + values) / (kept + 1)
        mean.weight, mean.seconds = kept + 1, seconds
        return self.now(person)

    def now(self, person: int) -> tuple[float, ...]:
        """Return the smoothed probabilities of ``person``, who was in an earlier frame."""
        return tuple(self._means[person].values.tolist())

    def keep(self, people: Iterable[int]) -> None:
        """Forget all but ``people``."""
        self._means = {person: self._means[person] for person in people}
