"""FER2013 (Goodfellow et al. 2013): as the original CSV, or as the folders people download, zipped or not.

Both hold the official parts Training (28,709), PublicTest and PrivateTest (3,589 each). The folder layout keeps
them in its file names (``test/angry/PrivateTest_123.png``), which is why files are read by name and the folder
``test`` is never taken for one part (it is PublicTest and PrivateTest together; system D scores on both).
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mien.datasets.faces import FaceSet
from mien.errors import DataError, FileMissingError
from mien.labels import FER2013, canonical

SPLITS = ("Training", "PublicTest", "PrivateTest")
SIDE = 48
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}

Row = tuple[str, int, str, NDArray[np.uint8]]  # id, label, split, pixels
Watch = Callable[[Iterable[Row]], Iterable[Row]]


def read(path: str | Path, watch: Watch | None = None) -> FaceSet:
    """Read FER2013 from ``fer2013.csv``, a folder or a zip of class folders, the format found by itself.

    path:  the CSV, folder or zip.
    watch: wraps the iterable of rows, for a progress bar.
    Returns grey 48×48 crops in file order (folders: sorted by name). Raises ``FileMissingError`` and
    ``DataError``; the latter names the file and row, and nothing is dropped silently.
    """
    source = Path(path)
    if not source.exists():
        raise FileMissingError(f"{source} does not exist; expected fer2013.csv, a folder or a zip of class folders.")
    rows = _rows(source)
    return _collect(watch(rows) if watch else rows, source)


def _rows(source: Path) -> Iterator[Row]:
    if source.is_dir():
        return _folder_rows(source)
    if zipfile.is_zipfile(source):
        return _zip_rows(source)
    return _csv_rows(source)


def _collect(rows: Iterable[Row], source: Path) -> FaceSet:
    ids, labels, splits, pixels = [], [], [], []
    for name, label, split, image in rows:
        ids.append(name)
        labels.append(label)
        splits.append(split)
        pixels.append(image)
    if not ids:
        raise DataError(f"{source} holds no FER2013 rows; expected images named like train/angry/Training_1.png.")
    return FaceSet(FER2013, np.stack(pixels), np.array(labels, np.int64), np.array(splits), tuple(ids))


def _csv_rows(source: Path) -> Iterator[Row]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)  # icml_face_data.csv has blanks in its header
            header = {name.strip(): name for name in reader.fieldnames or ()}
            missing = {"emotion", "pixels", "Usage"} - set(header)
            if missing:
                raise DataError(f"{source} lacks the columns {sorted(missing)}; expected emotion, pixels, Usage.")
            for number, row in enumerate(reader):
                values = [row[header[name]] or "" for name in ("emotion", "pixels", "Usage")]
                yield _csv_row(f"{source.name}:{number + 2}", *values)
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not a text file: {error}. Expected fer2013.csv, a folder or a zip.") from error


def _csv_row(name: str, emotion: str, pixels: str, usage: str) -> Row:
    try:
        values = np.array(pixels.split(), np.int64)
        label = int(emotion)
    except ValueError as error:
        raise DataError(f"{name}: {error}; expected emotion 0–6 and {SIDE * SIDE} whole numbers.") from error
    if len(values) != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        raise DataError(f"{name}: {len(values)} pixel values; expected {SIDE * SIDE} from 0 to 255.")
    if not 0 <= label < len(FER2013) or usage.strip() not in SPLITS:
        raise DataError(f"{name}: emotion {emotion!r}, Usage {usage!r}; expected 0–6 and one of {', '.join(SPLITS)}.")
    return name, label, usage.strip(), values.astype(np.uint8).reshape(SIDE, SIDE)


def _folder_rows(source: Path) -> Iterator[Row]:
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in _SUFFIXES:
            yield _image_row(PurePosixPath(path.relative_to(source).as_posix()), path.read_bytes(), source)


def _zip_rows(source: Path) -> Iterator[Row]:
    with zipfile.ZipFile(source) as archive:
        for member in sorted(archive.namelist()):
            if PurePosixPath(member).suffix.lower() in _SUFFIXES:
                yield _image_row(PurePosixPath(member), archive.read(member), source)


def _image_row(member: PurePosixPath, content: bytes, source: Path) -> Row:
    split = member.name.partition("_")[0]
    if split not in SPLITS:
        raise DataError(
            f"{source}: {member} does not start with {', '.join(SPLITS)}; without that the official part is "
            "unknown. Use the original CSV or the folders that keep these names."
        )
    return (
        str(member),
        FER2013.index(canonical(member.parent.name)),
        split,
        _decode(content, f"{source}: {member}"),
    )


def _decode(content: bytes, name: str) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert("L"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DataError(f"{name} is not a readable image: {error}") from error
    if pixels.shape != (SIDE, SIDE):
        raise DataError(f"{name} is {pixels.shape[1]}×{pixels.shape[0]} pixels; expected {SIDE}×{SIDE}.")
    return pixels
