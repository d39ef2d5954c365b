"""Does a map show what the network used? Delete the pixels it names, in its order, and watch the probability fall.

Deletion and insertion areas after Petsiuk, Das & Saenko 2018 (RISE, arXiv:1806.07421), against random maps of the same
smoothness: a network may lose a class quickly whatever is deleted, so that an area alone says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mien.errors import OptionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Predict = Callable[[NDArray[np.float32]], NDArray[np.float64]]
    """Network inputs float32 (N, channels, S, S) → probabilities (N, C)."""

Baseline = Literal["blur", "mean"]

STEPS = 10
"""Parts in which the pixels are deleted; each costs a forward pass for each map."""

TRIALS = 10
"""Random maps for each face; an even number, as they come in pairs."""

_BLUR = 8.0  # the face's side over the blur's standard deviation: a mouth's corners are gone, light and shade are not


@dataclass(frozen=True)
class Faithfulness:
    """How far a map's order of pixels decides the probability of its class.

    Attributes:
        deletion: mean probability while the map's pixels are deleted, strongest first, 0 to 1; low is good.
        insertion: mean probability while they are put back into the baseline, strongest first, 0 to 1; high is good.
        random: deletion areas of random maps. They come in pairs, a map and its negative, and the insertion area of one
            is the deletion area of the other, so that these areas stand for both.
    """

    deletion: float
    insertion: float
    random: tuple[float, ...]

    @property
    def chance(self) -> float:
        """The mean area of the random maps."""
        return float(np.mean(self.random))

    @property
    def score(self) -> float:
        """``chance`` − ``deletion``, −1 to 1: above 0 the map is better than a random one."""
        return self.chance - self.deletion

    @property
    def insertion_score(self) -> float:
        """``insertion`` − ``chance``, −1 to 1: above 0 the map is better than a random one."""
        return self.insertion - self.chance

    @property
    def beaten(self) -> float:
        """The share of random maps whose deletion area is larger (worse) than the map's, 0 to 1."""
        return float(np.mean([area > self.deletion for area in self.random]))

    @property
    def explains(self) -> bool:
        """True if the map beats nine random ones in ten; a picture that does not may be pretty and mean nothing."""
        return self.beaten >= 0.9

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "deletion": self.deletion,
            "insertion": self.insertion,
            "random": list(self.random),
            "score": self.score,
            "insertion_score": self.insertion_score,
            "beaten": self.beaten,
            "explains": self.explains,
        }


def measure(
    predict: Predict,
    face: NDArray[np.float32],
    maps: NDArray[np.floating[Any]],
    classes: Sequence[int],
    *,
    baseline: Baseline = "blur",
    steps: int = STEPS,
    trials: int = TRIALS,
    seed: int = 0,
) -> tuple[Faithfulness, ...]:
    """Measure the maps of one face, each for its own class; they share the random maps.

    Args:
        face: network input, float32 (channels, S, S).
        maps: (K, S, S), higher is stronger.
        classes: K class indices.
        baseline: see ``hidden``.  Costs (2K + trials)·(steps − 1) + 2 forward passes. Deterministic for a ``seed``.

    Raises:
        OptionError: maps of another size, fewer than 2 steps, or trials that are not even and positive.
    """
    side = face.shape[-1]
    if maps.shape != (len(classes), side, side):
        raise OptionError(f"Maps of shape {maps.shape}: expected {(len(classes), side, side)}, one for each class.")
    if steps < 2 or trials < 2 or trials % 2:
        raise OptionError(f"steps = {steps}, trials = {trials}: expected 2 steps or more and an even number of trials.")
    half = random_maps(side, smoothness(maps), trials // 2, seed)
    areas = deletion_areas(predict, face, np.concatenate([maps, -maps, half, -half]), baseline, steps)
    count = len(maps)
    return tuple(
        Faithfulness(
            deletion=float(areas[row, index]),
            insertion=float(areas[count + row, index]),
            random=tuple(areas[2 * count :, index].tolist()),
        )
        for row, index in enumerate(classes)
    )


def deletion_areas(
    predict: Predict,
    face: NDArray[np.float32],
    maps: NDArray[np.floating[Any]],
    baseline: Baseline = "blur",
    steps: int = STEPS,
) -> NDArray[np.float64]:
    """Return (K, C): the area below each class's probability as pixels are deleted in the order of each of K maps.

    The insertion area of a map is the deletion area of its negative: the same pictures in reverse order.
    """
    blank = hidden(face, baseline)
    batch = np.empty((len(maps), steps - 1, *face.shape), np.float32)
    for row, one in enumerate(maps):
        ranks = _ranks(one)
        for step in range(1, steps):
            batch[row, step - 1] = np.where(ranks < ranks.size * step / steps, blank, face)
    inner = predict(batch.reshape(-1, *face.shape)).reshape(len(maps), steps - 1, -1)
    whole, nothing = predict(np.stack([face, blank]))
    # Trapezoid rule over equal parts: the two ends, which all maps share, count half.
    areas: NDArray[np.float64] = ((whole + nothing) / 2 + inner.sum(1)) / steps
    return areas


def hidden(face: NDArray[np.float32], baseline: Baseline = "blur") -> NDArray[np.float32]:
    """Return what stands where a face, float32 (channels, S, S), is deleted.

    ``blur`` (standard deviation S / 8) takes the expression and leaves light, shade and hair, so that a deleted place
    looks like an unsharp photo; ``mean`` is the face's mean grey, whose outline the network sees as an edge that no
    face has. Both are applied to the network's input: deleted in the photo, a dark place would change the brightness
    of all others through standardisation.

    Raises:
        OptionError: another word.
    """
    if baseline == "mean":
        return np.broadcast_to(face.mean((1, 2), keepdims=True), face.shape).astype(np.float32)
    if baseline != "blur":
        raise OptionError(f"baseline = {baseline!r}: expected blur or mean.")
    return np.stack([_blurred(plane, face.shape[-1] / _BLUR) for plane in face])


def random_maps(side: int, sigma: float, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return float32 (count, side, side): white noise behind a Gaussian filter of standard deviation ``sigma``."""
    noise = np.random.default_rng(seed).standard_normal((count, side, side), np.float32)
    return np.stack([_blurred(one, sigma) for one in noise])


def smoothness(maps: NDArray[np.floating[Any]]) -> float:
    """Return the standard deviation in pixels of the Gaussian filter whose noise is as smooth as ``maps`` (K, S, S).

    Filtered noise of variance v has squared gradients of mean v / sigma². Bounded to a quarter of the side; a map that
    is the same everywhere counts as smoothest.
    """
    centred = maps - maps.mean((1, 2), keepdims=True)
    slope = np.square(np.diff(centred, axis=1)).mean() + np.square(np.diff(centred, axis=2)).mean()
    limit = maps.shape[-1] / 4
    variance = float(np.square(centred).mean())
    return float(np.clip(np.sqrt(variance / slope), 0.5, limit)) if slope > 1e-12 * variance else limit


def _ranks(one: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Return each pixel's place in the order of deletion, 0 first.

    Equal pixels, such as all that a Grad-CAM cuts off at zero, come in a fixed random order: row by row, they would
    delete a face from the hair down.
    """
    chance = np.random.default_rng(0).permutation(one.size)
    order = np.lexsort((chance, -one.ravel()))
    ranks = np.empty(one.size, np.intp)
    ranks[order] = np.arange(one.size)
    return ranks.reshape(one.shape)


def _blurred(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    import cv2

    return cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)  # type: ignore[return-value]
