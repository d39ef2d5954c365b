"""A worker: reads a block, writes a Parquet file, and lists unreadable photos beside it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

from mien import run_files
from mien.errors import OptionError
from mien.parquet import table
from mien.recognition.columns import kinds, rows
from mien.recognition.folder import Picture, Unreadable, read_pictures
from mien.recognition.recognizer import load
from mien.scale.shards import Block, Pictures
from mien.scale.storage import Store

if TYPE_CHECKING:
    from mien.recognition.recognizer import Recognizer

_SET_ASIDE = "_unreadable"  # pandas, DuckDB and Spark ignore names that begin with an underscore
_READING = "_reading"


@dataclass(frozen=True)
class Work:
    """Settings shared by all workers.

    Attributes:
        model: as for ``mien.load``; for a path, ``content`` is sent along, as the file may exist on one machine only.
        options: further arguments of ``mien.load``.
        gpus: GPUs for each worker, 0 for none.
    """

    out: Store
    model: str
    content: bytes | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    gpus: float = 0


@dataclass(frozen=True)
class Done:
    """A finished block: its number, and its counts of photos, faces and unreadable photos."""

    number: int
    photos: int
    faces: int
    unreadable: int


class Reader:
    """One worker: holds a recognizer and reads a block at a time. ``cluster`` runs it as a Ray actor."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._recognizer: Recognizer

    def ready(self) -> None:
        """Load the model. Raises what ``mien.load`` raises, and ``OptionError`` for a GPU that cannot be used."""
        # Not in __init__, whose errors Ray reports as the worker's death.
        if self._work.gpus:
            _check_gpu()
        if self._work.content is None:
            self._recognizer = load(self._work.model, **self._work.options)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / run_files.MODEL
            file.write_bytes(self._work.content)
            self._recognizer = load(file, **self._work.options)

    def read(
        self, number: int, block: Block, *, wait: float = 0, careful: bool = False, fatal: frozenset[str] = frozenset()
    ) -> Done:
        """Read a block and write its files; the Parquet file comes last and thus marks the block as done.

        Args:
            wait: seconds to wait before starting, to let the disk or network recover.
            careful: record each photo before reading it, so that ``read_note`` can identify one that crashes the
                process.
            fatal: photos that crashed a process before, which are skipped as unreadable.
        """
        time.sleep(wait)
        pictures = _skip_fatal(block.pictures(), fatal)
        if careful:
            pictures = self._noted(number, pictures)
        entries = list(read_pictures(self._recognizer, pictures, ahead=not careful))
        unreadable = [entry for entry in entries if isinstance(entry, Unreadable)]
        if unreadable:
            lines = [json.dumps(entry.to_dict()) + "\n" for entry in unreadable]
            self._work.out.write(unreadable_name(number), "".join(lines).encode())
        cells = [row for entry in entries for row in rows(entry)]
        self._work.out.write(
            part_name(number), _encode_table(table(cells, kinds(self._recognizer.labels), len(entries)))
        )
        return Done(number, len(entries), sum(row.get("face") is not None for row in cells), len(unreadable))

    def _noted(self, number: int, pictures: Pictures) -> Iterator[Picture | Unreadable]:
        for picture in pictures:
            self._work.out.write(_note_name(number), picture.source.encode("utf-8", "surrogateescape"))
            yield picture


def part_name(number: int) -> str:
    """Return the name of a block's Parquet file."""
    return f"part-{number:08}.parquet"


def unreadable_name(number: int) -> str:
    """Return the file name for a block's unreadable photos: JSON lines of ``source`` and ``error``."""
    return f"{_SET_ASIDE}/part-{number:08}.jsonl"


def is_unreadable_name(name: str) -> bool:
    """Return whether an output file is such a list."""
    return name.startswith(f"{_SET_ASIDE}/")


def read_note(out: Store, number: int) -> str | None:
    """Return the last photo of a block that a careful worker started to read; None if there was none."""
    try:
        return out.read(_note_name(number)).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def remove_note(out: Store, number: int) -> None:
    """Remove the note that ``read_note`` reads."""
    out.remove(_note_name(number))


def _note_name(number: int) -> str:
    return f"{_READING}/{number:08}"


def _skip_fatal(pictures: Pictures, fatal: frozenset[str]) -> Iterator[Picture | Unreadable]:
    for picture in pictures:
        deadly = isinstance(picture, Picture) and picture.source in fatal
        yield Unreadable(picture.source, "It crashed the process that read it.") if deadly else picture


def _encode_table(contents: pa.Table) -> bytes:
    stream = pa.BufferOutputStream()
    parquet.write_table(contents, stream)
    return bytes(stream.getvalue())


def _check_gpu() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise OptionError(
            "A worker has a GPU that its ONNX Runtime cannot use. On all machines run: "
            "pip uninstall onnxruntime && pip install onnxruntime-gpu. Or leave gpus out."
        )
