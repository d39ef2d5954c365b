"""Faces as rows of a table: the columns of the CSV output, of Parquet files and of data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from mien.pose import Pose
    from mien.results import Face, ImageResult

ANGLES = ("yaw", "pitch", "roll")
"""Columns of the head pose in degrees, empty without landmarks; ``mien.pose.Pose`` says what they count from."""


def columns(labels: Sequence[str]) -> list[str]:
    """Return the columns of a face in the CSV output and in data frames, for a model with these ``labels``."""
    box = ["left", "top", "width", "height"]
    fixed = ["source", "face", *box, "score", "emotion", "confidence", "uncertain", "quality", *ANGLES]
    return [*fixed, *[f"p_{label}" for label in labels]]


def cells(face: Face) -> list[Any]:
    """Return the values of a face in ``columns``, from ``left`` on."""
    box = [face.box.left, face.box.top, face.box.width, face.box.height]
    faults = ";".join(face.quality.reasons) if face.quality else ""
    return [*box, face.score, face.emotion, face.confidence, face.uncertain, faults, *angles(face.pose), *face.values]


def angles(pose: Pose | None) -> tuple[float | None, float | None, float | None]:
    """Return the values of ``ANGLES``."""
    return (None, None, None) if pose is None else (pose.yaw, pose.pitch, pose.roll)


def frame(results: Iterable[ImageResult], labels: Sequence[str]) -> pd.DataFrame:
    """Return the faces of several pictures as rows of ``columns``.

    Raises:
        MissingExtraError: without pandas.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError("to_pandas() needs pandas. Run: pip install pandas") from None
    rows = [[result.source, at, *cells(face)] for result in results for at, face in enumerate(result.faces)]
    return pd.DataFrame(rows, columns=columns(labels))
