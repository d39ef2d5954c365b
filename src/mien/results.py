"""What a recognizer returns: frozen values with one JSON shape for Python, command line and web.

Nothing is rounded here; rounding is for display.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import FileMissingError, MissingExtraError, OptionError, nearest
from mien.files import appearing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from PIL import Image

Point = tuple[float, float]

_FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF",
    ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright picture; it may lie partly outside."""

    left: float
    top: float
    width: float
    height: float

    def to_dict(self) -> dict[str, float]:
        """Return ``{"left", "top", "width", "height"}``."""
        return asdict(self)


@dataclass(frozen=True)
class Quality:
    """How well a photo shows a face (``recognition.quality`` measures it and has the limits).

    size:      of the face in the photo: the root of width × height of its box, pixels.
    sharpness: detail at the size that networks see; about 0.1 for a blurred face, 0.3 and more for a sharp one.
    turn:      degrees by which the face looks aside, roughly, 0 to 90; None without landmarks.
    inside:    share of the face that lies in the photo, 0 to 1.
    reasons:   what is wrong, of ``tiny``, ``blurred``, ``turned``, ``cut off``; empty for a good face.
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

    score:     how sure the detector is that this is a face, 0 to 1.
    landmarks: right eye, left eye, nose, right and left mouth corner as (x, y) pixels, where right is the person's
               right (the picture's left); None where the detector gives none.
    labels:    class names, in the order of the model file.
    values:    probability per label, sum 1.
    uncertain: True if ``confidence`` is below the threshold of the model file.
    quality:   how well the photo shows the face, and what is wrong if something is; None if nobody has measured it.
    """

    box: Box
    score: float
    landmarks: tuple[Point, ...] | None
    labels: tuple[str, ...]
    values: tuple[float, ...]
    uncertain: bool
    quality: Quality | None = None

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
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class ImageResult:
    """All faces of one picture, best detection first; a picture without a face has an empty tuple.

    source:   path as it was given; None for pixels that came without one.
    width, height: of the upright picture.
    model, detector: names of what produced the result.
    pixels:   uint8 (H, W, 3) RGB of the upright picture, or None (``keep_pixels=False``); not part of equality.
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

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a face: source, position, box, score, emotion, confidence, uncertain, quality (its
        reasons), then a column a label.

        Raises ``MissingExtraError`` where pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError("to_pandas() needs pandas. Run: pip install pandas") from None
        fixed = [
            "source",
            "face",
            "left",
            "top",
            "width",
            "height",
            "score",
            "emotion",
            "confidence",
            "uncertain",
            "quality",
        ]
        rows = [self._row(index, face) for index, face in enumerate(self.faces)]
        return pd.DataFrame(rows, columns=None if rows else fixed)

    def _row(self, index: int, face: Face) -> dict[str, Any]:
        about = {
            "score": face.score,
            "emotion": face.emotion,
            "confidence": face.confidence,
            "uncertain": face.uncertain,
            "quality": None if face.quality is None else ";".join(face.quality.reasons),
        }
        return {"source": self.source, "face": index, **face.box.to_dict(), **about, **face.probabilities}

    def draw(self, *, blur: bool = False, labels: str = "auto") -> Image.Image:
        """Return a copy of the picture with boxes and emotions; ``blur`` hides the faces that were found.

        labels: ``"names"``, ``"numbers"`` (positions in ``faces``) or ``"auto"``, which takes numbers for crowds.
        Raises ``OptionError`` without pixels, or for other labels.
        """
        if self.pixels is None:
            raise OptionError("This result holds no pixels to draw on. Read the picture with keep_pixels=True.")
        from mien.draw import draw, hidden

        return draw(hidden(self.pixels, self.faces) if blur else self.pixels, self.faces, labels=labels)

    def save(self, path: str | PathLike[str], *, blur: bool = False, labels: str = "auto") -> None:
        """Write the annotated picture, or for a name ending in ``.json`` the values of ``to_dict``.

        ``blur`` hides the faces that were found in coarse blocks; ``labels`` as in ``draw``.
        Nothing of the original file's metadata is kept.

        Raises ``OptionError`` for another ending, without pixels, or where the file cannot be written;
        ``FileMissingError`` if the folder does not exist.
        """
        suffix = Path(path).suffix.lower()
        if suffix == ".json":
            content = (json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n").encode()
        elif suffix in _FORMATS:
            content = _encode(self.draw(blur=blur, labels=labels), suffix)
        else:
            allowed = (*_FORMATS, ".json")
            raise OptionError(
                f"Cannot save as {fspath(path)!r}: expected a name ending in {', '.join(allowed)}."
                f"{nearest(suffix, allowed)}"
            )
        _write(Path(path), content)

    def _repr_png_(self) -> bytes | None:
        """Show the annotated picture in a notebook; None lets it fall back to the text."""
        return None if self.pixels is None else _encode(self.draw(), ".png")


@dataclass(frozen=True)
class Person:
    """One face of a frame, followed through time.

    id:        from 1 up, in order of appearance; never given to another face of the same run.
    box:       where ``seen`` is False, the place that the tracker expects.
    seen:      True if the detector found the face in this very frame.
    score:     how sure the detector is that this is a face, 0 to 1; None if not ``seen``.
    labels:    class names, in the order of the model file.
    raw:       probability per label in this frame alone, sum 1; None if not ``seen``.
    values:    probability per label smoothed over this frame and earlier ones of the same person, sum 1.
    uncertain: True if ``confidence`` is below the threshold of the model file.
    quality:   how well this very frame shows the face; None if not ``seen``.
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
            "probabilities": self.probabilities,
            "raw": None if self.raw is None else dict(zip(self.labels, self.raw, strict=True)),
        }


@dataclass(frozen=True)
class FrameResult:
    """The people of one frame, best detection first; a frame without a face has an empty tuple.

    frame:   the frame's number in the film, from 0.
    seconds: its time in the film.
    width, height: of the upright frame.
    missing: people who were there a moment ago and were not found in this frame, where the tracker expects them.
    pixels:  uint8 (H, W, 3) RGB of the upright frame, or None (``keep_pixels=False``); not part of equality.
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
        """Return a copy of the frame with boxes, ids and emotions. Raises ``OptionError`` without pixels."""
        if self.pixels is None:
            raise OptionError("This result holds no pixels to draw on. Stream with keep_pixels=True.")
        from mien.draw import draw

        return draw(self.pixels, self.people)


def _encode(picture: Image.Image, suffix: str) -> bytes:
    buffer = io.BytesIO()
    options = {"quality": 92} if _FORMATS[suffix] in ("JPEG", "WEBP") else {}
    picture.save(buffer, format=_FORMATS[suffix], **options)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    try:
        with appearing(path) as draft:
            draft.write_bytes(content)
    except FileNotFoundError:
        raise FileMissingError(
            f"No such folder: {str(path.parent)!r}. Create it before saving {path.name!r} there."
        ) from None
    except (OSError, ValueError) as error:
        raise OptionError(
            f"Cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}. Choose a file name in a folder "
            "you may write to, on a disk with room."
        ) from None
