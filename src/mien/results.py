"""What a recognizer returns: frozen values, not rounded, with one JSON shape for Python, command line and web."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, overload

from mien import foreign, tables
from mien.box import Box, Edges, Extent
from mien.drawing import saving
from mien.drawing.percents import percent
from mien.errors import OptionError, nearest
from mien.pose import Pose, estimate

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL import Image

__all__ = [
    "Box", "Edges", "Extent", "Face", "FrameResult", "ImageResult", "Person", "Point", "Pose", "Quality",
]  # fmt: skip

Point = tuple[float, float]

_PREVIEW = 1200  # pixels of the long side in a notebook, where a photo of 24 megapixels took 9 MB and 6.8 s
_ORDERS: dict[str, Callable[[Face], float]] = {
    "size": lambda face: -_size(face),
    "position": lambda face: face.box.left + face.box.width / 2,
    "score": lambda face: -face.score,
    "confidence": lambda face: -face.confidence,
}


class Photo(Protocol):
    """The photo that a face was found in, from which it can be cut out."""

    def crop(self, face: Face, size: int | None, margin: float) -> NDArray[np.uint8]:
        """Return the face as ``Face.crop`` does."""
        ...


@dataclass(frozen=True)
class Quality:
    """How well a photo shows a face (``recognition.quality`` measures it and has the limits).

    Attributes:
        size: of the face in the photo: the root of width × height of its box, pixels.
        sharpness: detail at the size that networks see; about 0.1 for a blurred face, 0.3 and more for a sharp one.
        turn: degrees by which the face looks aside, roughly, 0 to 90; None without landmarks.
        inside: share of the face that lies in the photo, 0 to 1.
        reasons: what is wrong, of ``tiny``, ``blurred``, ``turned``, ``cut off``; empty for a good face.
    """

    size: float
    sharpness: float
    turn: float | None
    inside: float
    reasons: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**asdict(self), "reasons": list(self.reasons), "good": self.good}


@dataclass(frozen=True)
class Face:
    """One face and what it shows.

    Attributes:
        score: how sure the detector is that this is a face, 0 to 1.
        landmarks: right eye, left eye, nose, right and left mouth corner as (x, y) pixels, where right is the person's
            right (the picture's left); None where the detector gives none.
        labels: class names, in the order of the model file.
        values: probability per label, sum 1.
        uncertain: True if ``confidence`` is below the threshold of the model file.
        quality: how well the photo shows the face, and what is wrong if something is; None if nobody has measured it.
        photo: what ``crop`` cuts from; None without pixels; not part of equality.
    """

    box: Box
    score: float
    landmarks: tuple[Point, ...] | None
    labels: tuple[str, ...]
    values: tuple[float, ...]
    uncertain: bool
    quality: Quality | None = None
    photo: Photo | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        left, top, width, height = self.box.xywh
        return f"<Face {_shown(self)}, {width}×{height} at {left},{top}>"

    def __getitem__(self, key: object) -> NoReturn:
        """Raise ``OptionError``: a face has fields, no items."""
        call = foreign.FACE.get(str(key), f"face.{key}" if key in self.to_dict() else "")
        raise OptionError(f"A face has no item {key!r}. {f'Write: {call}' if call else 'See face.to_dict().'}")

    if not TYPE_CHECKING:  # a type checker would take every name for known

        def __getattr__(self, name: str) -> NoReturn:
            raise foreign.attribute_error("A face", name, foreign.FACE)

    @property
    def emotion(self) -> str:
        """The most probable label; of equal ones the first."""
        return self.labels[self.values.index(max(self.values))]

    @property
    def confidence(self) -> float:
        """The probability of ``emotion``."""
        return max(self.values)

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability by label."""
        return dict(zip(self.labels, self.values, strict=True))

    @property
    def pose(self) -> Pose | None:
        """Where the face looks, estimated from the landmarks; None without them."""
        return None if self.landmarks is None else estimate(self.landmarks)

    def crop(self, size: int | None = None, *, margin: float = 0.0) -> NDArray[np.uint8]:
        """Cut the face out, turned so that the eyes are level: uint8 (size, size, 3) RGB.

        Args:
            size: pixels of each side; None takes the photo's own resolution.
            margin: how much more of the photo is shown around what the network sees, as a share of it.  Outside the
                photo its border is repeated.

        Raises:
            OptionError: without pixels, for a size below 1, a margin below 0.
        """
        if self.photo is None:
            raise OptionError("This face holds no pixels to cut from. Read the picture with keep_pixels=True.")
        return self.photo.crop(self, size, margin)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "box": self.box.to_dict(),
            "score": self.score,
            "landmarks": None if self.landmarks is None else [list(point) for point in self.landmarks],
            "emotion": self.emotion,
            "confidence": self.confidence,
            "uncertain": self.uncertain,
            "quality": None if self.quality is None else self.quality.to_dict(),
            "pose": None if (pose := self.pose) is None else pose.to_dict(),
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class ImageResult:
    """All faces of one picture, best detection first; a picture without a face has an empty tuple.

    Attributes:
        source: path as it was given; None for pixels that came without one.
        width, height: of the upright picture.
        model, detector: names of what produced the result.
        pixels: uint8 (H, W, 3) RGB of the upright picture, or None (``keep_pixels=False``); not part of equality.
        truncated: True for a JPEG file that is cut off and was read as far as it goes (``accept_truncated=True``).
    """

    source: str | None
    width: int
    height: int
    faces: tuple[Face, ...]
    model: str
    detector: str
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)
    truncated: bool = False

    def __repr__(self) -> str:
        faces = ", ".join(map(_shown, self.faces[:4])) + (", …" if len(self.faces) > 4 else "")
        count = f"{len(self.faces)} {'face' if len(self.faces) == 1 else 'faces'}"
        return f"<ImageResult {self.source or 'array'} {self.width}×{self.height}, {count}{': ' * bool(faces)}{faces}>"

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    @overload
    def __getitem__(self, index: int) -> Face: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Face, ...]: ...

    def __getitem__(self, index: int | slice) -> Face | tuple[Face, ...]:
        """Return a face by its position in ``faces``, or several."""
        if isinstance(index, str):
            raise OptionError(f"A result has no item {index!r}. Write: {foreign.RESULT.get(index, f'result.{index}')}")
        return self.faces[index]

    if not TYPE_CHECKING:  # a type checker would take every name for known

        def __getattr__(self, name: str) -> NoReturn:
            raise foreign.attribute_error("A result", name, foreign.RESULT)

    @property
    def largest(self) -> Face | None:
        """The face with the largest box; None without faces."""
        return max(self.faces, key=_size, default=None)

    def sorted(self, by: str = "size") -> ImageResult:
        """Return the same result with its faces in another order.

        Args:
            by: ``"size"`` and ``"score"`` (of the detector), ``"confidence"``, each from the highest down, or
                ``"position"``, from left to right.  Raises ``OptionError`` for another.
        """
        if by not in _ORDERS:
            raise OptionError(f"sorted({by!r}): expected one of {', '.join(_ORDERS)}.{nearest(by, tuple(_ORDERS))}")
        return replace(self, faces=tuple(sorted(self.faces, key=_ORDERS[by])))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, pixels left out; ``truncated`` stands there only where it is true."""
        return {
            **({"truncated": True} if self.truncated else {}),
            "source": self.source,
            "width": self.width,
            "height": self.height,
            "model": self.model,
            "detector": self.detector,
            "faces": [face.to_dict() for face in self.faces],
        }

    def to_json(self, indent: int | None = None) -> str:
        """Return ``to_dict`` as JSON text, in one line or indented."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=indent)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a face, with the columns of the CSV output except ``error``; no row for no face.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return tables.frame([self], self.faces[0].labels if self.faces else ())

    def draw(self, *, blur: bool = False, labels: str = "auto") -> Image.Image:
        """Return a copy of the picture with boxes and emotions; ``blur`` hides the faces that were found.

        Args:
            labels: ``"names"``, ``"numbers"`` (positions in ``faces``) or ``"auto"``, which takes numbers for crowds.
                Others, and results without pixels, raise ``OptionError``.
        """
        if self.pixels is None:
            raise OptionError("This result holds no pixels to draw on. Read the picture with keep_pixels=True.")
        from mien.drawing.draw import draw, hidden

        return draw(hidden(self.pixels, self.faces) if blur else self.pixels, self.faces, labels=labels)

    def plot(self, *, blur: bool = False, labels: str = "auto") -> NDArray[np.uint8]:
        """Return the picture of ``draw`` as uint8 (H, W, 3) RGB; for OpenCV ``result.plot()[:, :, ::-1]``."""
        import numpy as np

        return np.asarray(self.draw(blur=blur, labels=labels))

    def show(self, *, blur: bool = False, labels: str = "auto") -> None:
        """Show the picture of ``draw`` in the notebook, or in the system's viewer.

        Raises:
            OptionError: as ``draw`` does, and where nothing shows pictures.
        """
        saving.show(self._preview(blur=blur, labels=labels) or self.draw())

    def save(self, path: str | PathLike[str], *, blur: bool = False, labels: str = "auto") -> None:
        """Write the annotated picture, or for a name ending in ``.json`` the values of ``to_dict``.

        ``blur`` hides the faces in coarse blocks; ``labels`` as in ``draw``. No metadata of the original file is kept.

        Raises ``OptionError`` (another ending, no pixels, not writable), ``FileMissingError`` (no such folder).
        """
        suffix = saving.check_ending(path, (*saving.FORMATS, ".json"))
        if suffix == ".json":
            content = (self.to_json(indent=2) + "\n").encode()
        else:
            content = saving.encode(self.draw(blur=blur, labels=labels), suffix)
        saving.write(Path(path), content)

    def _repr_png_(self) -> bytes | None:
        """Show the annotated picture in a notebook, 1,200 pixels at most; None lets it fall back to the text."""
        picture = self._preview()
        return None if picture is None else saving.encode(picture, ".png")

    def _preview(self, **options: Any) -> Image.Image | None:
        """Return the picture of ``draw``, small enough for a screen; None without pixels."""
        if self.pixels is None:
            return None
        from mien.drawing.draw import shrunk

        pixels, faces = shrunk(self.pixels, self.faces, _PREVIEW)
        return replace(self, pixels=pixels, faces=faces).draw(**options)


@dataclass(frozen=True)
class Person:
    """One face of a frame, followed through time.

    Attributes:
        id: from 1 up, in order of appearance; never given to another face of the same run.
        box: where ``seen`` is False, the place that the tracker expects.
        seen: True if the detector found the face in this very frame.
        score: how sure the detector is that this is a face, 0 to 1; None if not ``seen``.
        labels: class names, in the order of the model file.
        raw: probability per label in this frame alone, sum 1; None if not ``seen``.
        values: probability per label smoothed over this frame and earlier ones of the same person, sum 1.
        uncertain: True if ``confidence`` is below the threshold of the model file.
        quality: how well this very frame shows the face; None if not ``seen``.
        pose: where the face looks in this very frame; None if not ``seen``, or without landmarks.
    """

    id: int
    box: Box
    seen: bool
    score: float | None
    labels: tuple[str, ...]
    raw: tuple[float, ...] | None
    values: tuple[float, ...]
    uncertain: bool
    quality: Quality | None = None
    pose: Pose | None = None

    @property
    def emotion(self) -> str:
        """The most probable label after smoothing; of equal ones the first."""
        return self.labels[self.values.index(max(self.values))]

    @property
    def confidence(self) -> float:
        """The smoothed probability of ``emotion``."""
        return max(self.values)

    @property
    def probabilities(self) -> dict[str, float]:
        """Smoothed probability by label."""
        return dict(zip(self.labels, self.values, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "id": self.id,
            "box": self.box.to_dict(),
            "seen": self.seen,
            "score": self.score,
            "emotion": self.emotion,
            "confidence": self.confidence,
            "uncertain": self.uncertain,
            "quality": None if self.quality is None else self.quality.to_dict(),
            "pose": None if self.pose is None else self.pose.to_dict(),
            "probabilities": self.probabilities,
            "raw": None if self.raw is None else dict(zip(self.labels, self.raw, strict=True)),
        }


@dataclass(frozen=True)
class FrameResult:
    """The people of one frame, best detection first; a frame without a face has an empty tuple.

    Attributes:
        frame: the frame's number in the film, from 0.
        seconds: its time in the film.
        width, height: of the upright frame.
        missing: people who were there a moment ago and were not found in this frame, where the tracker expects them.
        pixels: uint8 (H, W, 3) RGB of the upright frame, or None (``keep_pixels=False``); not part of equality.
    """

    frame: int
    seconds: float
    width: int
    height: int
    people: tuple[Person, ...]
    missing: tuple[Person, ...] = ()
    pixels: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values, ``missing`` and pixels left out."""
        return {
            "frame": self.frame,
            "seconds": self.seconds,
            "width": self.width,
            "height": self.height,
            "people": [person.to_dict() for person in self.people],
        }

    def draw(self) -> Image.Image:
        """Return a copy of the frame with boxes, ids and emotions.

        Raises:
            OptionError: without pixels.
        """
        if self.pixels is None:
            raise OptionError("This result holds no pixels to draw on. Stream with keep_pixels=True.")
        from mien.drawing.draw import draw

        return draw(self.pixels, self.people)


def _shown(face: Face) -> str:
    return f"{face.emotion}{'?' if face.uncertain else ''} {percent(face.confidence)}"


def _size(face: Face) -> float:
    return face.box.width * face.box.height
