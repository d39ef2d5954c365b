"""Taking up a run that was cut off, so that its output ends up equal to an uninterrupted one, byte for byte.

Beside OUT lies OUT.run.json with the settings that decide its contents. It stays when the run is done, as it
says what made the numbers. The run goes on at the start of the last batch that was begun, since the last
digits of a probability may depend on which faces share a batch.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from mien.cli.output import PHOTOS_A_PART, neutral
from mien.errors import OptionError
from mien.parquet import read_rows, settle, valid_text
from mien.recognition.folder import CHUNK, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """What stays of an earlier output: the first ``photos``, up to byte ``end``; those unreadable."""

    photos: int = 0
    end: int = 0
    unreadable: tuple[Unreadable, ...] = ()


def settings_file(out: Path) -> Path:
    """Return the path of the settings that lie beside ``out``."""
    return out.with_name(out.name + ".run.json")


def write_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write down what decides the contents of ``out``."""
    settings_file(out).write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def take_up(out: Path, settings: dict[str, Any], sources: Sequence[str]) -> Kept:
    """Shorten ``out`` to its last complete batch and return what is kept; a missing ``out`` keeps nothing.

    Raises ``OptionError``, and leaves ``out`` as it is, if it has other settings or other photos.
    """
    if not out.exists():
        return Kept()
    compare(out, settings)
    if settings["format"] == "parquet":
        return _kept_parts(out, sources)
    written = [str(neutral(source)) for source in sources] if settings.get("excel") else sources
    kept = _kept(out, str(settings["format"]), written)
    with out.open("r+b") as stream:
        stream.truncate(kept.end)
    return kept


def compare(out: Path, settings: dict[str, Any]) -> None:
    """Raise ``OptionError`` if ``out`` was written with other settings, or does not say with which."""
    try:
        before = json.loads(settings_file(out).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise OptionError(f"--resume needs {str(settings_file(out))!r}, which {str(out)!r} was written with.") from None
    before = before if isinstance(before, dict) else {}
    other = [key for key in {**settings, **before} if before.get(key) != settings.get(key)]
    if other:
        raise OptionError(
            f"--resume: {str(out)!r} was made with another {', '.join(other)}. "
            "Repeat the options of that run, or leave --resume out to start again."
        )


def _kept_parts(out: Path, sources: Sequence[str]) -> Kept:
    found: dict[str, str] = {}
    sources = [valid_text(source) for source in sources]
    for row in read_rows(out):
        if row["source"] not in found and (len(found) == len(sources) or sources[len(found)] != row["source"]):
            raise _other_photos(out, row["source"], sources, len(found))
        found.setdefault(row["source"], row["error"] or "")
    photos = settle(out, PHOTOS_A_PART)
    unreadable = [Unreadable(source, error) for source, error in islice(found.items(), photos) if error]
    return Kept(photos, 0, tuple(unreadable))


def _other_photos(out: Path, source: str, sources: Sequence[str], place: int) -> OptionError:
    return OptionError(
        f"--resume: {str(out)!r} holds {source!r} where this run comes to "
        f"{sources[place] if place < len(sources) else 'its end'!r}. "
        "Name the same photos, or choose another --out."
    )


def _kept(out: Path, form: str, sources: Sequence[str]) -> Kept:
    photos, kept, previous = 0, Kept(), None
    unreadable: list[Unreadable] = []
    with out.open("rb") as stream:
        for start, source, error in _entries(stream, form, out):
            if source == previous:
                continue  # a further face of the same photo
            if photos == len(sources) or source != sources[photos]:
                raise _other_photos(out, source, sources, photos)
            if photos and photos % CHUNK == 0:
                kept = Kept(photos, start, tuple(unreadable))
            if error:
                unreadable.append(Unreadable(source, error))
            photos, previous = photos + 1, source
    return kept


def _entries(stream: BinaryIO, form: str, out: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (first byte, source, error) of each whole record; a torn last one is left out."""
    records = _csv_records(stream) if form == "csv" else _lines(stream)
    for start, record in records:
        try:
            yield (start, *(_csv_entry(record) if form == "csv" else _json_entry(record)))
        except (ValueError, LookupError, TypeError):
            raise OptionError(f"--resume: {str(out)!r} is damaged at byte {start}. Choose another --out.") from None


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    start = 0
    for line in stream:
        if line.endswith(b"\n"):
            yield start, line
        start += len(line)


def _csv_records(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Join lines while a quote is open, as a file name may hold a line break; skip the column names."""
    start, record, first = 0, b"", True
    for _, line in _lines(stream):
        record += line
        if record.count(b'"') % 2:
            continue
        if not first:
            yield start, record
        start, record, first = start + len(record), b"", False


def _json_entry(record: bytes) -> tuple[str, str]:
    entry = json.loads(record)
    return entry["source"], entry.get("error", "")


def _csv_entry(record: bytes) -> tuple[str, str]:
    row = next(csv.reader([record.decode("utf-8", "surrogateescape")]))
    return row[0], row[-1]
