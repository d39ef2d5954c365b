"""Resume an interrupted run so that its output is byte for byte that of an uninterrupted one.

OUT.run.json beside OUT records the settings that determine its contents. It is kept after the run, to document how the
results were made. The run resumes at the start of the last batch that was begun, because the last digits of a
probability may depend on which faces share a batch.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from mien import files
from mien.cli.writing.output import PHOTOS_A_PART, neutral
from mien.errors import OptionError
from mien.parquet import read_rows, settle, valid_text
from mien.recognition.folder import CHUNK, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """What is kept of an earlier output: the first ``photos``, up to byte ``end``, and the unreadable ones."""

    photos: int = 0
    end: int = 0
    unreadable: tuple[Unreadable, ...] = ()


def settings_file(out: Path) -> Path:
    """Return the path of the settings of ``out``."""
    return out.with_name(out.name + ".run.json")


def write_settings(out: Path, settings: dict[str, Any]) -> None:
    """Record the settings that determine the contents of ``out``."""
    files.write(settings_file(out), json.dumps(settings, indent=1) + "\n")


def take_up(out: Path, settings: dict[str, Any], sources: Sequence[str]) -> Kept:
    """Truncate ``out`` to its last complete batch and return what is kept; nothing if there is no ``out``.

    Raises ``OptionError``, leaving ``out`` unchanged, if it has other settings or other photos.
    """
    if not out.exists():
        return Kept()
    compare(out, settings)
    if settings["format"] == "parquet":
        return _scan_parts(out, sources)
    written = [str(neutral(source)) for source in sources] if settings.get("excel") else sources
    kept = _scan(out, str(settings["format"]), written)
    with out.open("r+b") as stream:
        stream.truncate(kept.end)
    return kept


def compare(out: Path, settings: dict[str, Any]) -> None:
    """Raise ``OptionError`` if ``out`` was written with other or unknown settings."""
    try:
        before = json.loads(settings_file(out).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        raise OptionError(f"--resume needs {str(settings_file(out))!r}, the settings of {str(out)!r}.") from None
    before = before if isinstance(before, dict) else {}
    other = [key for key in {**settings, **before} if before.get(key) != settings.get(key)]
    if other:
        raise OptionError(
            f"--resume: {str(out)!r} was made with another {', '.join(other)}. "
            "Repeat the options of that run, or start again without --resume."
        )


def _scan_parts(out: Path, sources: Sequence[str]) -> Kept:
    errors_by_source: dict[str, str] = {}
    sources = [valid_text(source) for source in sources]
    for row in read_rows(out):
        if row["source"] not in errors_by_source and (
            len(errors_by_source) == len(sources) or sources[len(errors_by_source)] != row["source"]
        ):
            raise _photos_differ(out, row["source"], sources, len(errors_by_source))
        errors_by_source.setdefault(row["source"], row["error"] or "")
    photos = settle(out, PHOTOS_A_PART)
    unreadable = [Unreadable(source, error) for source, error in islice(errors_by_source.items(), photos) if error]
    return Kept(photos, 0, tuple(unreadable))


def _photos_differ(out: Path, source: str, sources: Sequence[str], index: int) -> OptionError:
    return OptionError(
        f"--resume: {str(out)!r} holds {source!r} where this run comes to "
        f"{sources[index] if index < len(sources) else 'its end'!r}. "
        "Name the same photos, or choose another --out."
    )


def _scan(out: Path, form: str, sources: Sequence[str]) -> Kept:
    photos, kept, previous = 0, Kept(), None
    unreadable: list[Unreadable] = []
    with out.open("rb") as stream:
        for start, source, error in _read_entries(stream, form, out):
            if source == previous:
                continue  # a further face of the same photo
            if photos == len(sources) or source != sources[photos]:
                raise _photos_differ(out, source, sources, photos)
            if photos and photos % CHUNK == 0:
                kept = Kept(photos, start, tuple(unreadable))
            if error:
                unreadable.append(Unreadable(source, error))
            photos, previous = photos + 1, source
    return kept


def _read_entries(stream: BinaryIO, form: str, out: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (first byte, source, error) of each complete record, without a truncated last one."""
    records = _csv_records(stream) if form == "csv" else _complete_lines(stream)
    for start, record in records:
        try:
            yield (start, *(_csv_entry(record) if form == "csv" else _json_entry(record)))
        except (ValueError, LookupError, TypeError):
            raise OptionError(f"--resume: {str(out)!r} is damaged at byte {start}. Choose another --out.") from None


def _complete_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    start = 0
    for line in stream:
        if line.endswith(b"\n"):
            yield start, line
        start += len(line)


def _csv_records(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Join lines while a quote is open, as file names may have line breaks; skip the header."""
    start, record, first = 0, b"", True
    for _, line in _complete_lines(stream):
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
