"""Photo → faces → emotions: detect, crop, preprocess, classify; all faces in one batch."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from mien import images, preprocess
from mien.errors import ImageError, OptionError
from mien.recognition import bundle as bundles
from mien.recognition import turned
from mien.recognition import views as several
from mien.recognition.crop import cut
from mien.recognition.detect import Detection, Detector, get_detector
from mien.recognition.quality import measure
from mien.recognition.session import OnnxSession, Session, softmax
from mien.results import Face, ImageResult, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.images import ImageInput
    from mien.recognition.bundle import Bundle
    from mien.recognition.corpus import Corpus
    from mien.recognition.stream import Frame
    from mien.results import FrameResult

# Bounds the memory of one run; larger batches are no faster on a CPU.
_BATCH = 256


def load(
    model: str | PathLike[str] = "default",
    *,
    detector: str | Detector = "yunet",
    classes: str | Sequence[str] | None = None,
    views: str = "single",
    threads: int | None = None,
    max_faces: int | None = None,
    min_size: float | None = None,
    threshold: float | None = None,
    accept_truncated: bool = False,
) -> Recognizer:
    """Load a model and a face detector.

    model:     a model inside the package by its name or alias, or the path of a model file or of a run folder.
    detector:  ``"yunet"``, ``"haar"``, ``"mtcnn"``, ``"whole"`` (the picture is the face), or a ``Detector``.
    classes:   which of the model's classes are told apart: a label set such as ``"fer2013"`` (seven, no contempt), or
               emotions such as ``["happiness", "sadness"]``; the others' probability is divided among them. None: all.
    views:     ``"single"``, ``"flip"`` (mean of a face and its mirror image) or ``"crops"`` (of ten views), which cost
               two and ten times the network's time.
    threads:   CPU threads for the network; None for all cores.
    accept_truncated: read JPEG files that are cut off as far as they go; by default they are errors.
    max_faces, min_size, threshold: see ``mien.recognition.detect.Limits``; only with a detector given by name.

    Raises ``FileMissingError``, ``ModelError``, ``OptionError`` or ``MissingExtraError``.
    """
    if not isinstance(detector, str) and (threshold, min_size, max_faces) != (None, None, None):
        raise OptionError(
            "threshold, min_size and max_faces were given with a detector object: set them on that object."
        )
    # Hashing the file and building the session leave Python's lock; what the first picture needs is loaded meanwhile.
    warm_up = threading.Thread(target=images.warm_up)
    warm_up.start()
    bundle, session = _network(model, threads)
    if classes is not None:
        bundle, session = _some(bundle, session, classes)
    if isinstance(detector, str):
        detector = get_detector(detector, threshold=threshold, min_size=min_size, max_faces=max_faces)
    warm_up.join()
    return Recognizer(bundle, session, detector, views, accept_truncated=accept_truncated)


def _network(model: str | PathLike[str], threads: int | None) -> tuple[Bundle, Session]:
    bundle = bundles.read(model)
    spec = bundle.preprocess
    inputs = (spec.channels, spec.size, spec.size)
    return bundle, OnnxSession(bundle.graph, threads, inputs=inputs, classes=len(bundle.labels))


def _some(bundle: Bundle, session: Session, wanted: str | Sequence[str]) -> tuple[Bundle, Session]:
    from mien.recognition import view

    chosen = view.classes(wanted, bundle.labels.labels)
    return replace(bundle, labels=chosen), view.narrowed(session, bundle.labels, chosen)


@dataclass(frozen=True)
class Found:
    """A picture whose faces are found and not yet read: the result without them, each face's crop and its quality."""

    blank: ImageResult
    detections: tuple[Detection, ...]
    crops: tuple[NDArray[np.uint8], ...]
    qualities: tuple[Quality, ...]


class Recognizer:
    """A model and a detector, ready to read pictures; may be shared by threads."""

    def __init__(
        self,
        bundle: Bundle,
        session: Session,
        detector: Detector,
        views: str = "single",
        *,
        accept_truncated: bool = False,
    ) -> None:
        self.bundle = bundle
        self.detector = detector
        self.views = several.check(views)
        self.accept_truncated = accept_truncated
        self._session = session

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of ``classify``."""
        return self.bundle.labels.labels

    @property
    def name(self) -> str:
        """The model's public name, as results carry it."""
        return self.bundle.name

    @property
    def trained_on(self) -> tuple[Corpus, ...]:
        """The corpora that the model learned from, with their terms; empty where its file does not say."""
        return self.bundle.trained_on

    def with_detector(self, detector: Detector) -> Recognizer:
        """Return a recognizer of the same network, shared and not copied, behind another detector."""
        return Recognizer(self.bundle, self._session, detector, self.views, accept_truncated=self.accept_truncated)

    def renamed(self, name: str) -> Recognizer:
        """Return a recognizer of the same network, shared and not copied, whose results carry another model name."""
        return Recognizer(
            replace(self.bundle, name=name),
            self._session,
            self.detector,
            self.views,
            accept_truncated=self.accept_truncated,
        )

    def read(self, image: ImageInput, *, keep_pixels: bool = True, max_pixels: int = images.MAX_PIXELS) -> ImageResult:
        """Find all faces of one picture (see ``mien.images.load``) and what they show.

        ``keep_pixels=False`` saves memory; the result can then not be drawn. Raises ``ImageError`` or
        ``FileMissingError``; a picture without a face is a result without faces.
        """
        return self.decide([self.find(image, keep_pixels=keep_pixels, max_pixels=max_pixels)])[0]

    def read_many(self, images: Iterable[ImageInput], *, keep_pixels: bool = True) -> list[ImageResult]:
        """Read several pictures; the faces of all of them go through the network together.

        Same results as ``read`` on each, with probabilities equal to 1e-5. Raises as ``read`` does, naming the
        picture; no result is returned then.
        """
        if isinstance(images, (str, bytes, np.ndarray)) or not isinstance(images, Iterable):
            raise ImageError(
                f"read_many got one {type(images).__name__}: expected a list of pictures. Use read for one."
            )
        return self.decide([self.find(image, keep_pixels=keep_pixels) for image in images])

    def find(self, image: ImageInput, *, keep_pixels: bool = True, max_pixels: int = images.MAX_PIXELS) -> Found:
        """Do the first half of ``read``: decode, find the faces and cut them out. Raises as ``read`` does."""
        if self.accept_truncated:
            pixels, truncated = images.load_partly(image, max_pixels=max_pixels)
        else:
            pixels, truncated = images.load(image, max_pixels=max_pixels), False
        detections = turned.detect(self.detector, pixels)
        crops = tuple(cut(pixels, one.box, one.landmarks, self.detector.crop) for one in detections)
        height, width = pixels.shape[:2]
        pairs = zip(detections, crops, strict=True)
        qualities = tuple(measure((height, width), detection, crop) for detection, crop in pairs)
        kept = pixels if keep_pixels else None
        source = images.source_name(image)
        blank = ImageResult(source, width, height, (), self.bundle.name, self.detector.name, kept, truncated)
        return Found(blank, detections, crops, qualities)

    def decide(self, found: Sequence[Found]) -> list[ImageResult]:
        """Do the second half of ``read_many``: the faces of all pictures go through the network together."""
        rows = iter(self._probabilities([crop for each in found for crop in each.crops]))
        return [self._filled(each, rows) for each in found]

    def stream(
        self,
        frames: Iterable[Frame | tuple[float, ImageInput] | ImageInput],
        *,
        detect_every: int = 1,
        bridge: float | None = None,
        smooth: float | None = None,
        keep_pixels: bool = False,
    ) -> Iterator[FrameResult]:
        """Yield a result for each frame of a film, a camera or a program: people with ids, emotions smoothed in time.

        frames: what ``mien.Film`` gives, pairs of seconds and a picture, or pictures, which are timed as they arrive.
        detect_every, bridge, smooth: see ``mien.recognition.stream.Following``; None takes its default.
        ``keep_pixels=True`` lets each result be drawn. Holds one frame at a time.

        Raises ``OptionError``, ``MissingExtraError`` (extra ``video``); ``ImageError`` for a picture as ``read`` does.
        """
        from mien.recognition.stream import Following, stream

        chosen = {"detect_every": detect_every, "bridge": bridge, "smooth": smooth}
        following = Following(**{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]
        return stream(self, frames, following, keep_pixels=keep_pixels)

    def classify(self, crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (N, C) probabilities, each row with sum 1, of N ready-made face crops.

        crops: uint8 arrays, (H, W, 3) RGB or (H, W) grey, of any sizes; or one array (N, H, W[, 3]). N may be 0.
        Raises ``ImageError`` for another dtype or shape.
        """
        if isinstance(crops, np.ndarray) and (crops.ndim < 3 or (crops.ndim == 3 and crops.shape[2] == 3)):
            raise ImageError(f"classify got one crop of shape {crops.shape}: expected a list of crops. Pass [crop].")
        return self._probabilities(crops).astype(np.float32)

    def classify_inputs(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64 (N, C) probabilities of N network inputs, as ``preprocess.apply`` gives them.

        batch: float32 (N, channels, size, size). Raises ``ModelError`` for another shape.
        """
        logits = [self._session.logits(batch[start : start + _BATCH]) for start in range(0, max(len(batch), 1), _BATCH)]
        return softmax(np.concatenate(logits), self.bundle.temperature)

    def _filled(self, found: Found, rows: Iterator[NDArray[np.float64]]) -> ImageResult:
        faces = zip(found.detections, found.qualities, rows, strict=False)  # rows go on to the next picture's faces
        return replace(found.blank, faces=tuple(self._face(*each) for each in faces))

    def _face(self, detection: Detection, quality: Quality, row: NDArray[np.float64]) -> Face:
        values = tuple(row.tolist())
        uncertain = max(values) < self.bundle.uncertain_below
        return Face(detection.box, detection.score, detection.landmarks, self.labels, values, uncertain, quality)

    def _probabilities(self, crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float64]:
        count = several.KINDS[self.views]
        rows = np.empty((len(crops), len(self.labels)), np.float64)
        step = max(_BATCH // count, 1)
        for start in range(0, len(crops), step):
            shown = [view for crop in crops[start : start + step] for view in several.of(crop, self.views)]
            logits = self._session.logits(preprocess.apply(shown, self.bundle.preprocess))
            found = softmax(logits, self.bundle.temperature).reshape(-1, count, rows.shape[1])
            rows[start : start + len(found)] = found.mean(1)
        return rows
