"""Where in a face does the network look? Maps of what speaks for a class, by hiding one place after the other.

Occlusion (Zeiler & Fergus 2014, arXiv:1311.2901) needs nothing but the network's answers: it works for every model
file, without torch. Methods that need gradients are in ``mien.interpret.gradients`` and fit the same protocol.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mien import preprocess
from mien.errors import OptionError
from mien.interpret import faithfulness
from mien.interpret.faithfulness import Faithfulness
from mien.recognition.crop import corners, cut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from mien.images import ImageInput
    from mien.interpret.faithfulness import Predict
    from mien.recognition.crop import CropSpec
    from mien.recognition.recognizer import Recognizer
    from mien.results import ImageResult

GRID = 7
"""Places hidden along each side. Of 5, 7 and 9, in widths of 0.5, 0.7 and 1.0, chosen on PublicTest faces by deletion
area; 9 places half as wide were a little better at 1.6 times the cost."""

_WIDTH = 0.7  # standard deviation of a hidden place, in distances between places
_LEAST = 1e-6  # bounds log-odds where a probability is 0 or 1 in float64


@dataclass(frozen=True)
class Map:
    """What in one face speaks for one class.

    Attributes:
        values: float32 (S, S) in the network's input size, signed: above 0 speaks for the class, below 0 against it.
            The unit is the method's; occlusion has the fall of the class's log-odds in nats when the place is hidden.
        label, probability: the class, and what the network gives it, 0 to 1.
        method: what made the map.
        faithfulness: how far hiding what the map names changes the answer, against random maps.
    """

    label: str
    probability: float
    method: str
    values: NDArray[np.float32] = field(repr=False, compare=False)
    faithfulness: Faithfulness

    @property
    def strength(self) -> NDArray[np.float32]:
        """The part that speaks for the class, float32 (S, S) from 0 to 1 = the strongest place; all 0 if none does."""
        positive = np.maximum(self.values, 0)
        peak = float(positive.max())
        return (positive / (peak or 1.0)).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, the map as a list of rows."""
        return {
            "class": self.label,
            "probability": self.probability,
            "method": self.method,
            "faithfulness": self.faithfulness.to_dict(),
            "map": self.values.tolist(),
        }


@dataclass(frozen=True)
class Explanation:
    """One picture, its faces, and for each face its maps in the order of the classes asked for.

    Attributes:
        crop: how the detector's boxes became crops, so that maps can be laid onto the picture.
    """

    result: ImageResult
    maps: tuple[tuple[Map, ...], ...]
    crop: CropSpec

    def to_dict(self) -> dict[str, Any]:
        """Return ``ImageResult.to_dict()`` in which each face has its ``maps``, and ``corners`` to lay them there.

        The corners are the map's upper left, upper right and lower left ones as (x, y) in pixels of the picture.
        """
        content = self.result.to_dict()
        shape = (self.result.height, self.result.width)
        for entry, face, maps in zip(content["faces"], self.result.faces, self.maps, strict=True):
            entry["corners"] = [list(point) for point in corners(shape, face.box, face.landmarks, self.crop)]
            entry["maps"] = [one.to_dict() for one in maps]
        return content

    def draw(self) -> Image.Image:
        """Return one picture of all maps (see ``mien.interpret.overlay``).

        Raises:
            OptionError: without pixels.
        """
        from mien.interpret.overlay import sheet

        return sheet(self)


class Explainer(Protocol):
    """Anything that makes maps of one face."""

    @property
    def name(self) -> str:
        """The method's name, which maps carry."""
        ...

    def maps(self, face: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Return float32 (K, S, S), signed, for K class indices and a network input float32 (channels, S, S)."""
        ...


class Occlusion:
    """Hide ``grid`` × ``grid`` places one after the other behind a soft-edged blur; all in one batch.

    A pixel's value is the mean fall of the class's log-odds over the places that hid it, weighted by how far they did.
    Log-odds and not probabilities: near 0 and 1 these hardly move whatever is hidden. Costs grid² + 1 forward passes
    for all classes together. Raises ``OptionError`` for a grid below 2.
    """

    name = "occlusion"

    def __init__(self, predict: Predict, grid: int = GRID) -> None:
        if grid < 2:
            raise OptionError(f"grid = {grid}: expected at least 2 places along each side.")
        self.predict, self.grid = predict, grid

    def maps(self, face: NDArray[np.float32], classes: Sequence[int]) -> NDArray[np.float32]:
        """Return float32 (K, S, S), in nats, for K class indices and a network input float32 (channels, S, S)."""
        masks = _masks(face.shape[-1], self.grid)
        blank = faithfulness.hidden(face)
        covered = face + masks[:, None] * (blank - face)
        odds = _log_odds(self.predict(np.concatenate([face[None], covered])))[:, list(classes)]
        falls = (odds[0] - odds[1:]).astype(np.float32)
        weights = masks / masks.sum(0)
        maps: NDArray[np.float32] = np.tensordot(falls.T, weights, axes=1)
        return maps


def explain(
    recognizer: Recognizer,
    crop: NDArray[np.uint8],
    classes: Sequence[str] | int = 1,
    *,
    explainer: Explainer | None = None,
) -> tuple[Map, ...]:
    """Return one map for each class of one face crop, measured against random maps.

    Args:
        crop: uint8 (H, W, 3) RGB or (H, W) grey, as ``mien.recognition.crop.cut`` gives it.
        classes: words of the model's labels, or how many of the most probable ones.
        explainer: the method; None takes ``Occlusion``.

    Raises:
        DataError: a class that the model does not have.
        OptionError: a count that it does not have or a class named twice.
        ImageError: a crop of another dtype or shape.
    """
    face = preprocess.apply([crop], recognizer.bundle.preprocess)[0]
    probabilities = recognizer.classify_inputs(face[None])[0]
    chosen = class_indices(recognizer, classes, probabilities)
    method = explainer or Occlusion(recognizer.classify_inputs)
    maps = method.maps(face, chosen)
    measured = faithfulness.measure(recognizer.classify_inputs, face, maps, chosen)
    return tuple(
        Map(recognizer.labels[index], float(probabilities[index]), method.name, values, score)
        for index, values, score in zip(chosen, maps, measured, strict=True)
    )


def explain_image(
    recognizer: Recognizer,
    image: ImageInput,
    classes: Sequence[str] | int = 1,
    *,
    explainer: Explainer | None = None,
    max_pixels: int | None = None,
    face: int | None = None,
) -> Explanation:
    """Find the faces of a picture (see ``mien.images.load``) and explain each.

    A picture without a face is an explanation without maps. Arguments and errors as in ``explain``, and
    ``ImageError`` or ``FileMissingError`` for an image that cannot be read.

    Args:
        face: explain only the face at this index of the result, from 0; without such a face there are no maps.
    """
    (result,) = recognizer.decide([recognizer.find(image, max_pixels=max_pixels)])
    if face is not None:
        result = replace(result, faces=result.faces[face : face + 1])
    spec = recognizer.detector.crop
    pixels = result.pixels
    if pixels is None:
        raise OptionError("The recognizer returned no pixels: expected a picture to cut faces from.")
    crops = [cut(pixels, face.box, face.landmarks, spec) for face in result.faces]
    return Explanation(result, tuple(explain(recognizer, crop, classes, explainer=explainer) for crop in crops), spec)


def wanted(text: str) -> int | tuple[str, ...]:
    """Read ``top3`` as a number of classes and ``happiness,anger`` as their names. Raises ``OptionError``."""
    ranked = re.fullmatch(r"top([0-9]{1,4})", text.strip())
    if ranked:
        return int(ranked[1])
    names = tuple(word.strip() for word in text.split(","))
    if not all(names):
        raise OptionError(f"{text!r}: expected classes such as happiness,anger, or top3")
    return names


def class_indices(
    recognizer: Recognizer, classes: Sequence[str] | int, probabilities: NDArray[np.float64]
) -> tuple[int, ...]:
    """Return the indices of the named classes, or of the ``classes`` most probable ones, best first."""
    count = len(recognizer.labels)
    if isinstance(classes, int):
        if not 1 <= classes <= count:
            raise OptionError(f"The {classes} most probable classes: this model has {count}; give 1 to {count}.")
        return tuple(np.argsort(-probabilities, kind="stable")[:classes].tolist())
    own = recognizer.labels  # perhaps in another language than the model's
    indices = tuple(own.index(word) if word in own else recognizer.bundle.labels.index(word) for word in classes)
    if not indices or len(set(indices)) < len(indices):
        raise OptionError(f"Classes {', '.join(classes) or '(none)'}: name at least one, and each only once.")
    return indices


def _masks(side: int, grid: int) -> NDArray[np.float32]:
    """Return float32 (grid², side, side): how far, 0 to 1, each pixel is hidden; Gaussian bumps on a regular grid."""
    gap = side / grid
    centres = (np.arange(grid) + 0.5) * gap - 0.5
    bump = np.exp(-np.square(np.arange(side) - centres[:, None]) / (2 * (_WIDTH * gap) ** 2)).astype(np.float32)
    return (bump[:, None, :, None] * bump[None, :, None, :]).reshape(-1, side, side)


def _log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    safe = np.clip(probabilities, _LEAST, 1 - _LEAST)
    odds: NDArray[np.float64] = np.log(safe) - np.log1p(-safe)
    return odds
