"""Which slice a face belongs to: bins of what is measured, and the values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import landmarks
from mien.datasets.faces import FaceSet
from mien.datasets.measures import MEASURES, of_image
from mien.errors import DataError, OptionError, nearest
from mien.evaluation.slices import Groups
from mien.preprocess import grey

BINS = 4
"""Measured numbers are cut into quarters: as many faces in each as equal numbers allow."""

FEW = 30
"""Numbers of a column with more different values than this are cut into quarters; up to it each value is a slice."""

MEASURED = ("brightness", "contrast", "sharpness")

UNKNOWN = "unknown"
"""The slice of the faces of which a column or a measurement says nothing."""

SIZE, TILT = "face size", "head tilt"


def measured(faces: FaceSet, points: NDArray[np.float64] | None = None) -> list[Groups]:
    """Return the slices by what can be measured on N face crops.

    points: float64 (N, 5, 2), the landmarks, NaN where unknown; None for no slices by head tilt. Slices by face size
    are there if the data have the columns ``box_width`` and ``box_height``.
    """
    values = {name: np.empty(len(faces)) for name in MEASURED}
    for row, image in enumerate(faces.pixels):
        found = of_image(grey(image))
        for name, column in values.items():
            column[row] = found[name]
    groups = [quarters(name, values[name], MEASURES[name]) for name in MEASURED]
    sides = _sides(faces)
    if sides is not None:
        groups.append(quarters(SIZE, sides, "side of the face's box in the photo, pixels"))
    if points is not None:
        groups.append(quarters(TILT, landmarks.tilt(points), "degrees by which the eyes are off level"))
    return groups


def _sides(faces: FaceSet) -> NDArray[np.float64] | None:
    if not {"box_width", "box_height"} <= set(faces.columns):
        return None
    width, height = (_numbers(faces.columns[f"box_{name}"], f"box_{name}") for name in ("width", "height"))
    sides: NDArray[np.float64] = np.sqrt(width * height)
    return None if np.isnan(sides).all() else sides


def _numbers(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    try:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"The column {name!r} should hold numbers, but {error}.") from error


def quarters(by: str, values: NDArray[np.float64], unit: str) -> Groups:
    """Cut numbers (N,) into ``BINS`` slices of about as many faces; NaN are a slice of their own, the last.

    Faces with the same number are in the same slice, so that there may be fewer, and unequal ones.
    """
    known = np.isfinite(values)
    inner = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1])) if known.any() else np.empty(0)
    bins = np.searchsorted(inner, values[known], side="left")
    names, places = list[str](), np.full(len(values), -1, np.int64)
    for place in np.unique(bins):
        chosen = values[known][bins == place]
        places[np.flatnonzero(known)[bins == place]] = len(names)
        names.append(_span(float(chosen.min()), float(chosen.max())))
    if known.all():
        return Groups(by, unit, tuple(names), places)
    places[~known] = len(names)
    return Groups(by, unit, (*names, UNKNOWN), places, len(names))


def _span(low: float, high: float) -> str:
    return _short(low) if low == high else f"{_short(low)} – {_short(high)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def by_column(faces: FaceSet, name: str) -> Groups:
    """Return the slices by the values of a column: ``sex``, ``session``, ``subject``, ``label``, or one of the user's.

    Numbers of more than ``FEW`` different values, such as ages, are cut into quarters.
    Raises ``OptionError`` naming the nearest column for an unknown one, and for a column that names nearly each face
    by itself, or says nothing.
    """
    values = _values(faces, name)
    known = [value for value in values if value is not None]
    different = set(known)
    if not different:
        raise OptionError(f"The column {name!r} says nothing of any of the {len(values)} faces; leave --by {name} out.")
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    measurement = numeric and any(isinstance(value, float) for value in known)
    if 2 * len(different) > len(values) > 1 and not measurement:
        raise OptionError(
            f"The column {name!r} has {len(different)} different values for {len(values)} faces: it is an identifier, "
            "and slices of one face show nothing. Slice by a column whose values many faces share."
        )
    if numeric and len(different) > FEW:
        return quarters(name, _numbers(np.array(values, object), name), f"{name}, quarters of the faces")
    return _as_they_are(name, values)


def _as_they_are(name: str, values: Sequence[Any]) -> Groups:
    ordered = sorted({value for value in values if value is not None}, key=lambda value: (str(type(value)), value))
    places = {value: place for place, value in enumerate(ordered)}
    names = [str(value) for value in ordered]
    rows = np.array([places.get(value, len(ordered)) for value in values], np.int64)
    if None not in values:
        return Groups(name, "", tuple(names), rows)
    names.append(UNKNOWN if UNKNOWN not in names else f"{UNKNOWN} (nothing said)")
    return Groups(name, "", tuple(names), rows, len(ordered))


def columns(faces: FaceSet) -> dict[str, Sequence[Any]]:
    """Return what faces can be sliced by: name → N values, None where unknown."""
    nouns = np.array(faces.label_set.labels)[faces.labels].tolist()
    found: dict[str, Sequence[Any]] = {"label": nouns, "id": faces.ids, "split": _texts(faces.splits)}
    if faces.datasets is not None:
        found["dataset"] = _texts(faces.datasets)
    if faces.subjects is not None:
        found["subject"] = _texts(faces.subjects)
    return found | {name: [_simple(value) for value in values] for name, values in faces.columns.items()}


def _texts(values: NDArray[np.str_]) -> list[str | None]:
    return [value or None for value in values.tolist()]


def _simple(value: Any) -> Any:
    """Return a value that can be put into an order: text and numbers as they are, anything else as text."""
    if value is None or value == "" or (isinstance(value, float) and isnan(value)):
        return None
    return value if isinstance(value, str | int | float) else str(value)


def _values(faces: FaceSet, name: str) -> Sequence[Any]:
    found = columns(faces)
    if name not in found:
        told = [each for each, values in found.items() if any(value is not None for value in values)]
        raise OptionError(
            f"No column {name!r} to slice by; this data has {', '.join(told)}.{nearest(name, told)} "
            "docs/audit.md shows how to add one to a manifest."
        )
    return found[name]
