"""AffectNet (Mollahosseini et al. 2017): ``annotations/123_exp.npy`` beside ``images/123.jpg``, or its CSV lists.

Valence and arousal, from -1 to 1, become columns of the manifest where the corpus has them; -2 means none.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from mien.datasets.formats.folders import PARTS, is_image
from mien.datasets.rows import RESEARCH_ONLY, Item, Options, Problem, Row, Terms
from mien.datasets.sources import tables
from mien.datasets.sources.archive import Source, is_unsafe
from mien.errors import DataError
from mien.labels import AFFECTNET_CODES, AFFECTNET_FLAGS

TERMS = Terms(
    "affectnet",
    "AffectNet",
    f"{RESEARCH_ONLY}, by agreement with the owners",
    "Mollahosseini, Hasani and Mahoor 2017, AffectNet",
)

_ANNOTATION = re.compile(r"(.*/)?annotations/\d+_(exp|aro|val|lnd)\.npy")
_COLUMNS = ("subDirectory_filePath", "expression")
_AFFECT = {"valence": "val", "arousal": "aro"}
"""Column of the manifest and of the CSV lists → ending of the annotation file that holds it."""
_NO_AFFECT = -2.0
_FOLDERS = ("", "Manually_Annotated_Images/", "Automatically_Annotated_Images/", "Manually_Annotated/")


def evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say which annotation file or list is AffectNet's."""
    annotation = next((name for name in names if _ANNOTATION.fullmatch(name)), None)
    if annotation:
        return f"{annotation} is an AffectNet annotation"
    lists = _find_lists(source, names)
    return f"{lists[0]} has AffectNet's columns" if lists else None


def rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield every image with its expression; codes 8–10 (none, uncertain, no face) become a flag, not a label."""
    lists = _find_lists(source, [name for name in source.members() if name.lower().endswith(".csv")])
    if lists:
        for name in lists:
            yield from _read_list(source, name)
        return
    for name in source.members():
        path = PurePosixPath(name)
        if is_image(name) and path.parent.name == "images":
            yield _row_from_annotation(source, name, str(path.parent.parent / "annotations" / f"{path.stem}_exp.npy"))


def _row_from_annotation(source: Source, name: str, annotation: str) -> Item:
    stem = annotation.removesuffix("_exp.npy")
    values = {"exp": _read_annotation(source, annotation)} | {
        ending: _read_annotation(source, f"{stem}_{ending}.npy")
        for ending in _AFFECT.values()
        if f"{stem}_{ending}.npy" in source
    }
    problem = next((value for value in values.values() if isinstance(value, Exception)), None)
    if problem:
        return Problem(name, str(problem))
    cells = {column: str(values.get(ending, "")) for column, ending in _AFFECT.items()}
    return _build_row(name, name, str(values["exp"]), _find_split(name), cells)


def _read_annotation(source: Source, name: str) -> str | DataError:
    """Return the single value of an annotation file, or the error that prevents reading it."""
    try:
        return str(np.load(io.BytesIO(source.read(name)), allow_pickle=False).reshape(-1)[0])
    except (DataError, ValueError, EOFError, IndexError, tokenize.TokenError) as error:
        return DataError(f"its annotation cannot be read from {name}: {error}")


def _read_list(source: Source, name: str) -> Iterator[Item]:
    folder = PurePosixPath(name).parent
    for record in tables.records(source, name, _COLUMNS):
        if isinstance(record, Problem):
            yield record
            continue
        where, path = f"{name}:{record[0]}", record[1]["subDirectory_filePath"]
        if not path or is_unsafe(path):
            yield Problem(where, f"unsafe path {path!r}, not followed")
            continue
        candidates = [str(folder / prefix / path) for prefix in _FOLDERS]
        member = next((candidate for candidate in candidates if candidate in source), candidates[0])
        yield _build_row(where, member, record[1]["expression"], _find_split(PurePosixPath(name).stem), record[1])


def _build_row(where: str, member: str, code: str, split: str, cells: Mapping[str, str]) -> Item:
    """Build a row from an expression code and from the texts of valence and arousal in ``cells`` ('' for none)."""
    try:
        number = int(float(code))
    except ValueError:
        number = -1
    try:
        own = {column: _parse_affect(cells[column]) for column in _AFFECT if cells.get(column)}
    except ValueError as error:
        return Problem(where, f"{error}; expected valence and arousal from -1 to 1, or -2 for none")
    if number in AFFECTNET_FLAGS:
        return Row(member, None, "affectnet", split, flags=(AFFECTNET_FLAGS[number],), own=own or None)
    if not 0 <= number < len(AFFECTNET_CODES):
        return Problem(where, f"expression {code!r}; expected 0–10")
    return Row(member, AFFECTNET_CODES[number], "affectnet", split, own=own or None)


def _parse_affect(cell: str) -> float | None:
    value = float(cell)
    if value != _NO_AFFECT and not -1 <= value <= 1:
        raise ValueError(f"{cell!r} is out of range")
    return None if value == _NO_AFFECT else value


def _find_lists(source: Source, names: Sequence[str]) -> list[str]:
    csv_files = [name for name in names if name.lower().endswith(".csv")][:20]
    return [name for name in csv_files if set(_COLUMNS) <= set(tables.header(source, name))]


def _find_split(path: str) -> str:
    words = re.split(r"[/_]", path.lower())
    return next((PARTS[word] for word in words if word in PARTS), "")
