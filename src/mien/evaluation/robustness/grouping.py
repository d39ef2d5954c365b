"""Group faces into slices: bins of measured properties, or the values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import landmarks
from mien.datasets.faces import FaceSet
from mien.datasets.quality.measures import MEASURES, of_image
from mien.errors import DataError, OptionError, nearest
from mien.evaluation.robustness.slices import Groups
from mien.preprocess import grey

BINS = 4
"""Measured values are cut at their quartiles: equally many faces in each bin, as far as ties allow."""

FEW = 30
"""A numeric column with more distinct values than this is cut at its quartiles; otherwise each value is a slice."""

MEASURED = ("brightness", "contrast", "sharpness")

UNKNOWN = "unknown"
"""The slice of faces without a value."""

SIZE, TILT = "face size", "head tilt"


def group_by_measures(faces: FaceSet, points: NDArray[np.float64] | None = None) -> list[Groups]:
    """Group N face crops by what can be measured on them.

    Args:
        points: float64 (N, 5, 2), landmarks, NaN where unknown; None for no slices by head tilt. There are slices by
            face size if the data have the columns ``box_width`` and ``box_height``.
    """
    values = {name: np.empty(len(faces)) for name in MEASURED}
    for row, image in enumerate(faces.pixels):
        measures = of_image(grey(image))
        for name, column in values.items():
            column[row] = measures[name]
    groups = [split_into_quarters(name, values[name], MEASURES[name]) for name in MEASURED]
    sides = _compute_sides(faces)
    if sides is not None:
        groups.append(split_into_quarters(SIZE, sides, "side of the face's box in the photo, pixels"))
    if points is not None:
        groups.append(split_into_quarters(TILT, landmarks.tilt(points), "degrees by which the eyes are off level"))
    return groups


def _compute_sides(faces: FaceSet) -> NDArray[np.float64] | None:
    if not {"box_width", "box_height"} <= set(faces.columns):
        return None
    width, height = (_to_numbers(faces.columns[f"box_{name}"], f"box_{name}") for name in ("width", "height"))
    sides: NDArray[np.float64] = np.sqrt(width * height)
    return None if np.isnan(sides).all() else sides


def _to_numbers(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    try:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Column {name!r} must contain numbers: {error}.") from error


def split_into_quarters(by: str, values: NDArray[np.float64], unit: str) -> Groups:
    """Cut values (N,) into ``BINS`` slices of about equal size; NaN form a slice of their own, the last.

    Equal values share a slice, so there may be fewer slices, or of unequal sizes.
    """
    known = np.isfinite(values)
    inner = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1])) if known.any() else np.empty(0)
    bins = np.searchsorted(inner, values[known], side="left")
    names, indices = list[str](), np.full(len(values), -1, np.int64)
    for quarter in np.unique(bins):
        chosen = values[known][bins == quarter]
        indices[np.flatnonzero(known)[bins == quarter]] = len(names)
        names.append(_format_span(float(chosen.min()), float(chosen.max())))
    if known.all():
        return Groups(by, unit, tuple(names), indices)
    indices[~known] = len(names)
    return Groups(by, unit, (*names, UNKNOWN), indices, len(names))


def _format_span(low: float, high: float) -> str:
    return _format_number(low) if low == high else f"{_format_number(low)} – {_format_number(high)}"


def _format_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def group_by_column(faces: FaceSet, name: str) -> Groups:
    """Group faces by a column: ``sex``, ``session``, ``subject``, ``label``, or one of the user's own.

    Numbers with more than ``FEW`` distinct values, such as ages, are cut at their quartiles.

    Raises:
        OptionError: an unknown column, with the closest match, and for a column that is empty or has a different value
            for almost every face.
    """
    values = _get_column(faces, name)
    known = [value for value in values if value is not None]
    different = set(known)
    if not different:
        raise OptionError(f"Column {name!r} is empty for all {len(values)} faces; remove --by {name}.")
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    measurement = numeric and any(isinstance(value, float) for value in known)
    if 2 * len(different) > len(values) > 1 and not measurement:
        raise OptionError(
            f"Column {name!r} has {len(different)} distinct values for {len(values)} faces, so it looks like an "
            "identifier. Slice by a column whose values many faces share."
        )
    if numeric and len(different) > FEW:
        return split_into_quarters(name, _to_numbers(np.array(values, object), name), f"{name}, quarters of the faces")
    return _group_by_value(name, values)


def _group_by_value(name: str, values: Sequence[Any]) -> Groups:
    ordered = sorted({value for value in values if value is not None}, key=lambda value: (str(type(value)), value))
    index_of = {value: index for index, value in enumerate(ordered)}
    names = _name_values(ordered)
    rows = np.array([index_of.get(value, len(ordered)) for value in values], np.int64)
    if None not in values:
        return Groups(name, "", tuple(names), rows)
    names.append(UNKNOWN if UNKNOWN not in names else f"{UNKNOWN} (nothing said)")
    return Groups(name, "", tuple(names), rows, len(ordered))


def _name_values(values: Sequence[Any]) -> list[str]:
    """Return values as text; decimal numbers rounded, unless two would then look alike."""
    rounded = [_format_number(value) if isinstance(value, float) else str(value) for value in values]
    return rounded if len(set(rounded)) == len(rounded) else [str(value) for value in values]


def list_columns(faces: FaceSet) -> dict[str, Sequence[Any]]:
    """Return the columns that faces can be sliced by: name → N values, None where unknown."""
    labels = np.array(faces.label_set.labels)[faces.labels].tolist()
    by_name: dict[str, Sequence[Any]] = {"label": labels, "id": faces.ids, "split": _to_texts(faces.splits)}
    if faces.datasets is not None:
        by_name["dataset"] = _to_texts(faces.datasets)
    if faces.subjects is not None:
        by_name["subject"] = _to_texts(faces.subjects)
    return by_name | {name: [_simplify(value) for value in values] for name, values in faces.columns.items()}


def _to_texts(values: NDArray[np.str_]) -> list[str | None]:
    return [value or None for value in values.tolist()]


def _simplify(value: Any) -> Any:
    """Return a sortable value: text and numbers unchanged, anything else as text, None if missing."""
    if value is None or value == "" or (isinstance(value, float) and isnan(value)):
        return None
    return value if isinstance(value, str | int | float) else str(value)


def _get_column(faces: FaceSet, name: str) -> Sequence[Any]:
    by_name = list_columns(faces)
    if name not in by_name:
        filled = [column for column, values in by_name.items() if any(value is not None for value in values)]
        raise OptionError(
            f"No column {name!r} to slice by; the data has {', '.join(filled)}.{nearest(name, filled)} "
            "docs/audit.md shows how to add one to a manifest."
        )
    return by_name[name]
