"""Photo → faces → emotions: detect, crop, preprocess, classify; all faces in one batch."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import IO, TYPE_CHECKING, Any, Never, NoReturn, Self, overload

import numpy as np

from mien import foreign, images
from mien.drawing import languages
from mien.errors import ImageError, OptionError
from mien.labels import choose
from mien.recognition import devices, memory, sources
from mien.recognition import views as several
from mien.recognition.classifier import Classifier
from mien.recognition.crop import cut
from mien.recognition.detection import turned
from mien.recognition.detection.detect import Detection, Detector, Limits, get_detector
from mien.recognition.many import ImageResults
from mien.recognition.model_files import bundle as bundles
from mien.recognition.portrait import Portraits
from mien.recognition.quality import measure
from mien.recognition.steps import Decoded, Found, largest
from mien.results import Face, ImageResult, Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from mien.images import ImageInput
    from mien.recognition.model_files.bundle import Bundle
    from mien.recognition.model_files.card import ModelCard
    from mien.recognition.model_files.corpus import Corpus
    from mien.recognition.session import Session
    from mien.results import FrameResult
    from mien.tracking.stream import Frame


def load(
    model: str | PathLike[str] = "default",
    *,
    detector: str | Detector = "yunet",
    classes: str | Sequence[str] | None = None,
    views: str = "single",
    threads: int | None = None,
    device: str = devices.AUTO,
    max_faces: int | None = None,
    min_size: float | None = None,
    threshold: float | None = None,
    accept_truncated: bool = False,
    max_pixels: int = images.MAX_PIXELS,
    labels: str | None = None,
    allow_urls: bool = False,
    **others: Never,
) -> Recognizer:
    """Load a model and a face detector.

    Raises ``FileMissingError``, ``ModelError``, ``OptionError`` or ``MissingExtraError``.

    Args:
        model: a model inside the package by its name or alias, or the path of a model file or of a run folder.
        detector: ``"yunet"``, ``"haar"``, ``"mtcnn"``, ``"whole"`` (the picture is the face), or a ``Detector``.
        classes: which of the model's classes are told apart: a label set such as ``"fer2013"`` (seven, no contempt), or
            emotions such as ``["happiness", "sadness"]``; the others' probability is divided among them. None: all.
        views: ``"single"``, ``"flip"`` (mean of a face and its mirror image) or ``"crops"`` (of ten views), which cost
            two and ten times the network's time.
        threads: CPU threads for the network and for YuNet; None for the cores that the process may use.
        device: where both run: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"coreml"``, ``"directml"``, ``"openvino"``.
        accept_truncated: read JPEG files that are cut off as far as they go; by default they are errors.
        max_faces: how many faces of each picture are kept, the largest; None keeps all.
        min_size, threshold: see ``mien.recognition.detection.detect.Limits``.  These three only for a named detector.
        max_pixels: width × height above which a picture is refused.
        labels: a language for the names of the classes, such as ``"de"``; None leaves them as the model has them.
        allow_urls: read pictures at addresses (``https://…``), which ``mien.recognition.remote`` fetches within limits.
    """
    if others:
        raise foreign.keyword_error("mien.load", others, foreign.LOAD)
    if not isinstance(detector, str) and (threshold, min_size, max_faces) != (None, None, None):
        raise OptionError(
            "threshold, min_size and max_faces were given with a detector object: set them on that object."
        )
    # Hashing the file and building the session leave Python's lock; what the first picture needs is loaded meanwhile.
    warm_up = threading.Thread(target=images.warm_up)
    warm_up.start()
    bundle = whole = bundles.read(model)
    classifier = Classifier.open(bundle, threads, device=device)
    if classes is not None:
        classifier = classifier.narrow(choose(classes, bundle.labels.labels))
        bundle = replace(bundle, labels=classifier.label_set)
    if isinstance(detector, str):
        Limits(0, max_faces=max_faces)  # raises; the detector keeps all, of which the largest are taken
        detector = get_detector(detector, threshold=threshold, min_size=min_size, device=device, threads=threads)
    warm_up.join()
    recognizer = Recognizer(
        bundle,
        classifier.session,
        detector,
        views,
        accept_truncated=accept_truncated,
        max_faces=max_faces,
        max_pixels=max_pixels,
        language=labels,
        allow_urls=allow_urls,
    )
    recognizer._read_as = (model, whole)
    return recognizer


class Recognizer:
    """A model and a detector, ready to read pictures; may be shared by threads, called, and used with ``with``."""

    def __init__(
        self,
        bundle: Bundle,
        session: Session,
        detector: Detector,
        views: str = "single",
        *,
        accept_truncated: bool = False,
        max_faces: int | None = None,
        max_pixels: int = images.MAX_PIXELS,
        language: str | None = None,
        allow_urls: bool = False,
    ) -> None:
        self.bundle = bundle
        self.detector = detector
        self.views = several.check(views)
        self.accept_truncated = accept_truncated
        self.max_faces, self.max_pixels, self.allow_urls = max_faces, max_pixels, allow_urls
        own = bundle.labels.labels
        self._labels = own if language is None else languages.translate(own, language)
        self._classifier = Classifier.of(bundle, session)
        self._read_as: tuple[str | PathLike[str], Bundle] = ("", bundle)

    def __repr__(self) -> str:
        return f"<Recognizer {self.name}, detector {self.detector.name}: {', '.join(self.labels)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: its memory is freed with the recognizer itself."""

    if not TYPE_CHECKING:  # a type checker would take every name for known

        def __getattr__(self, name: str) -> NoReturn:
            raise foreign.attribute_error("A recognizer", name, foreign.RECOGNIZER)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of ``classify``."""
        return self._labels

    @property
    def name(self) -> str:
        """The model's public name, as results carry it."""
        return self.bundle.name

    @property
    def card(self) -> ModelCard:
        """What the model file says of itself: classes, size, measured accuracy, corpora and terms. ``print`` it."""
        from mien.recognition.model_files.card import ModelCard

        return ModelCard.of(*self._read_as)

    @property
    def trained_on(self) -> tuple[Corpus, ...]:
        """The corpora that the model learned from, with their terms; empty where its file does not say."""
        return self.bundle.trained_on

    def with_detector(self, detector: Detector) -> Recognizer:
        """Return a recognizer of the same network, shared and not copied, behind another detector."""
        other = copy.copy(self)
        other.detector = detector
        return other

    def renamed(self, name: str) -> Recognizer:
        """Return a recognizer of the same network, shared and not copied, whose results carry another model name."""
        other = copy.copy(self)
        other.bundle = replace(self.bundle, name=name)
        return other

    @overload
    def predict(  # type: ignore[overload-overlap]
        self,
        source: bytes | IO[bytes] | Image.Image | NDArray[np.uint8],
        *,
        keep_pixels: bool | None = None,
        max_pixels: int | None = None,
        batch: int = 16,
    ) -> ImageResult: ...

    @overload
    def predict(  # type: ignore[overload-overlap]
        self,
        source: str | PathLike[str],
        *,
        keep_pixels: bool | None = None,
        max_pixels: int | None = None,
        batch: int = 16,
    ) -> ImageResult | Any: ...

    @overload
    def predict(
        self,
        source: Iterable[ImageInput],
        *,
        keep_pixels: bool | None = None,
        max_pixels: int | None = None,
        batch: int = 16,
    ) -> ImageResults: ...

    def predict(
        self,
        source: ImageInput | Iterable[ImageInput],
        *,
        keep_pixels: bool | None = None,
        max_pixels: int | None = None,
        batch: int = 16,
        **others: Never,
    ) -> ImageResult | ImageResults:
        """Find all faces of a picture, or of several, and what they show.

        A picture without a face is a result without faces. Files of a folder that cannot be used stand in
        ``unreadable``. Raises ``ImageError`` or ``FileMissingError``, also for one picture of a list.

        Args:
            source: one picture (see ``mien.images.load``), which gives an ``ImageResult``; or a list of pictures, an
                array (N, H, W, 3), a folder or a glob pattern, which give an ``ImageResults``.
            keep_pixels: whether results can be drawn and faces cut out, at 3 bytes a pixel; None keeps those of
                pictures and lists, not those of folders.
            max_pixels: width × height above which a picture is refused; None takes that of ``load``.
            batch: pictures whose faces go through the network together.
        """
        if others:
            raise foreign.keyword_error("predict", others, foreign.PREDICT)
        if (photos := sources.folder(source)) is not None:
            return self._folder(photos, batch, keep_pixels=bool(keep_pixels), max_pixels=max_pixels)
        keep = keep_pixels is None or keep_pixels
        if batch < 1:
            raise OptionError(f"batch = {batch}: expected 1 or more pictures.")
        if (pictures := sources.several(source)) is None:
            return self.decide([self.find(source, keep_pixels=keep, max_pixels=max_pixels)])[0]  # type: ignore[arg-type]
        results = ImageResults(labels=self.labels)
        for start in range(0, len(pictures), batch):
            part = pictures[start : start + batch]
            results += self.decide([self.find(one, keep_pixels=keep, max_pixels=max_pixels) for one in part])
        return results

    __call__ = predict

    def read(self, image: ImageInput, *, keep_pixels: bool = True, max_pixels: int | None = None) -> ImageResult:
        """Do what ``predict`` does for one picture. Deprecated."""
        warnings.warn("Recognizer.read is deprecated. Write: predict", DeprecationWarning, stacklevel=2)
        return self.decide([self.find(image, keep_pixels=keep_pixels, max_pixels=max_pixels)])[0]

    def read_many(self, images: Iterable[ImageInput], *, keep_pixels: bool = True) -> list[ImageResult]:
        """Do what ``predict`` does for several pictures. Deprecated."""
        warnings.warn("Recognizer.read_many is deprecated. Write: predict", DeprecationWarning, stacklevel=2)
        if isinstance(images, (str, bytes, np.ndarray)) or not isinstance(images, Iterable):
            raise ImageError(f"read_many got one {type(images).__name__}: expected a list of pictures. Use predict.")
        return self.predict(list(images), keep_pixels=keep_pixels)

    def find(self, image: ImageInput, *, keep_pixels: bool = True, max_pixels: int | None = None) -> Found:
        """Do the first two steps of ``predict``: ``decode`` and ``search``. Raises as ``predict`` does."""
        return self.search(self.decode(image, max_pixels=max_pixels), keep_pixels=keep_pixels)

    def decode(self, image: ImageInput, *, max_pixels: int | None = None) -> Decoded:
        """Do the first step of ``predict``: read the pixels. Raises as ``predict`` does."""
        pixels, truncated = self._pixels(image, self.max_pixels if max_pixels is None else max_pixels)
        return Decoded(images.source_name(image), pixels, truncated)

    def search(self, photo: Decoded, *, keep_pixels: bool = True) -> Found:
        """Do the second step of ``predict``: detect the faces and cut them out."""
        height, width = photo.pixels.shape[:2]
        with memory.named(f"to find faces in {width}×{height} pixels"):
            detections = largest(turned.detect(self.detector, photo.pixels), self.max_faces)
            return self.cut_out(photo, detections, keep_pixels=keep_pixels)

    def cut_out(self, photo: Decoded, detections: tuple[Detection, ...], *, keep_pixels: bool = True) -> Found:
        """Cut the detected faces out of a photo, as the network expects them, and measure their quality."""
        pixels, (height, width) = photo.pixels, photo.pixels.shape[:2]
        crops = tuple(cut(pixels, one.box, one.landmarks, self.detector.crop) for one in detections)
        pairs = zip(detections, crops, strict=True)
        qualities = tuple(measure((height, width), detection, crop) for detection, crop in pairs)
        kept, names = pixels if keep_pixels else None, (self.bundle.name, self.detector.name)
        blank = ImageResult(photo.source, width, height, (), *names, kept, photo.truncated)
        return Found(blank, detections, crops, qualities)

    def decide(self, pictures: Sequence[Found]) -> list[ImageResult]:
        """Do the third step of ``predict``: the faces of all pictures go through the network together."""
        rows = iter(self._classifier.classify([crop for one in pictures for crop in one.crops], self.views))
        return [self._filled(one, rows) for one in pictures]

    def stream(
        self,
        frames: Iterable[Frame | tuple[float, ImageInput] | ImageInput],
        *,
        detect_every: int = 1,
        bridge: float | None = None,
        smooth: float | None = None,
        full_every: float | None = None,
        keep_pixels: bool = False,
    ) -> Iterator[FrameResult]:
        """Yield a result for each frame of a film, a camera or a program: people with ids, emotions smoothed in time.

        Raises ``OptionError``, ``MissingExtraError`` (extra ``video``); ``ImageError`` for a picture as
        ``predict`` does.

        Args:
            frames: what ``mien.Film`` gives, pairs of seconds and a picture, or pictures, which are timed as they
                arrive.
            detect_every, bridge, smooth, full_every: see ``mien.tracking.stream.Following``; None takes its default.
                ``keep_pixels=True`` lets each result be drawn. Holds one frame at a time.
        """
        from mien.tracking.stream import Following, stream

        chosen = {"detect_every": detect_every, "bridge": bridge, "smooth": smooth, "full_every": full_every}
        following = Following(**{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]
        return stream(self, frames, following, keep_pixels=keep_pixels)

    def classify(self, crops: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (N, C) probabilities, each row with sum 1, of N ready-made face crops.

        Args:
            crops: uint8 arrays, (H, W, 3) RGB or (H, W) grey, of any sizes; or one array (N, H, W[, 3]). N may be 0.

        Raises:
            ImageError: another dtype or shape.
        """
        if isinstance(crops, np.ndarray) and (crops.ndim < 3 or (crops.ndim == 3 and crops.shape[2] == 3)):
            raise ImageError(f"classify got one crop of shape {crops.shape}: expected a list of crops. Pass [crop].")
        return self._classifier.classify(crops, self.views).astype(np.float32)

    def classify_inputs(self, batch: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return float64 (N, C) probabilities of N network inputs, as ``preprocess.apply`` gives them.

        Args:
            batch: float32 (N, channels, size, size).

        Raises:
            ModelError: another shape.
        """
        return self._classifier.classify_inputs(batch)

    def _folder(
        self, photos: Sequence[str | PathLike[str]], batch: int, *, keep_pixels: bool, max_pixels: int | None
    ) -> ImageResults:
        from mien.recognition.folder import Unreadable, read_folder

        reader = copy.copy(self)
        reader.max_pixels = self.max_pixels if max_pixels is None else max_pixels
        entries = list(read_folder(reader, [str(path) for path in photos], chunk=batch, keep_pixels=keep_pixels))
        results = [entry for entry in entries if not isinstance(entry, Unreadable)]
        unreadable = [entry for entry in entries if isinstance(entry, Unreadable)]
        return ImageResults(results, labels=self.labels, unreadable=unreadable)

    def _pixels(self, image: ImageInput, max_pixels: int) -> tuple[NDArray[np.uint8], bool]:
        """Return the pixels of a picture, and whether its file is cut off."""
        sources.check(image)
        if sources.is_address(image):
            from mien.recognition import remote

            image = remote.fetch(str(image), allowed=self.allow_urls)
        if self.accept_truncated:
            return images.load_partly(image, max_pixels=max_pixels)
        return images.load(image, max_pixels=max_pixels), False

    def _filled(self, picture: Found, rows: Iterator[NDArray[np.float64]]) -> ImageResult:
        pixels = picture.blank.pixels
        photo = None if pixels is None else Portraits(pixels, self.detector.crop)
        faces = zip(picture.detections, picture.qualities, rows, strict=False)  # rows go on to the next picture's faces
        return replace(picture.blank, faces=tuple(replace(self._face(*parts), photo=photo) for parts in faces))

    def _face(self, detection: Detection, quality: Quality, row: NDArray[np.float64]) -> Face:
        values = tuple(row.tolist())
        uncertain = max(values) < self.bundle.uncertain_below
        return Face(detection.box, detection.score, detection.landmarks, self.labels, values, uncertain, quality)
