"""A source → its blocks, in one order: the same source gives the same blocks, so that a run can be gone on with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mien.errors import FileMissingError, OptionError, nearest
from mien.formats import SUFFIXES
from mien.recognition.folder import CHUNK, find_images
from mien.scale.shards import Block, Broken, Photos, Rows, Shard, raise_if_of_the_disk
from mien.scale.storage import Store, remote

KINDS: dict[str, tuple[str, ...]] = {
    "photos": tuple(sorted(SUFFIXES)),
    "parquet": (".parquet",),
    "webdataset": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"),
}
"""What a source may hold → the endings of its files."""

PHOTOS_A_BLOCK = 4096
_COLUMNS = ("image", "bytes", "image_bytes", "content", "jpg", "png")
_LISTERS = 16  # waiting for a store, not computing


def plan(
    source: str,
    *,
    kind: str | None = None,
    size: int = PHOTOS_A_BLOCK,
    column: str | None = None,
    naming: str | None = None,
) -> list[Block]:
    """Return the blocks of a folder of photos, of Parquet files or of tar shards.

    source: a folder, a file, a pattern of photos, or the address of a folder or file in a store (shards only).
    kind:   of ``KINDS``; None if the source holds one kind only.
    size:   photos a block, a multiple of 16 so that faces share batches as in one process. Row groups of a Parquet
            file are never divided, and a tar shard is one block whatever it holds.
    column, naming: see ``Rows``; a column None is looked for.

    Raises ``FileMissingError``, ``OptionError``.
    """
    if size < 1 or size % CHUNK:
        raise OptionError(f"block = {size}: expected a multiple of {CHUNK}, whose faces share one batch.")
    place, names = _listed(source)
    kind = kind or _kind(source, names)
    if kind != "parquet" and (column or naming):
        raise OptionError(f"column and names are of Parquet files, and {source!r} is taken for {kind}.")
    if kind == "photos":
        return _photos(source, size)
    files = [name for name in names if _is(name, kind)]
    if place is None or not files:
        raise FileMissingError(f"No {kind} files in {source!r}; looked for {', '.join(KINDS[kind])}.")
    return [Shard(place, file) for file in files] if kind == "webdataset" else _rows(place, files, size, column, naming)


def digest(blocks: Iterable[Block]) -> str:
    """Return the SHA-256 of what the blocks are made of: names and places, not contents."""
    found = hashlib.sha256()
    for block in blocks:
        found.update(repr(block).encode("utf-8", "backslashreplace") + b"\n")
    return found.hexdigest()


def _listed(source: str) -> tuple[Store | None, list[str]]:
    """Return where the files are and their names; nothing for what ``find_images`` knows better: patterns, slips."""
    if remote(source):
        return _listed_far(source)
    if os.path.isdir(source):  # noqa: PTH112 - pathlib raises for names too long to exist
        place = Store.at(source)
        return place, place.names()
    if os.path.isfile(source):  # noqa: PTH113
        return Store.at(str(Path(source).parent)), [Path(source).name]
    return None, []


def _listed_far(source: str) -> tuple[Store, list[str]]:
    parent, _, name = source.rstrip("/").rpartition("/")
    if _is(name, "parquet") or _is(name, "webdataset"):
        return Store.at(parent), [name]
    place = Store.at(source)
    names = place.names()
    if not names:
        raise FileMissingError(f"{source!r} does not exist, or holds no file.")
    return place, names


def _kind(source: str, names: Sequence[str]) -> str:
    present = [kind for kind in KINDS if any(_is(name, kind) for name in names)]
    if len(present) > 1:
        raise OptionError(f"{source!r} holds {' and '.join(present)}: say which is meant with kind.")
    return present[0] if present else "photos"  # find_images has the words for a source without any


def _is(name: str, kind: str) -> bool:
    return name.lower().endswith(KINDS[kind])


def _photos(source: str, size: int) -> list[Block]:
    if remote(source):
        raise OptionError(
            f"{source!r} holds photos one by one, which are read from a disk that all machines share. "
            "Mount it as a folder, or pack the photos into Parquet files or tar shards."
        )
    paths = [str(path) for path in find_images([source])]
    return [Photos(str(Path.cwd()), tuple(paths[start : start + size])) for start in range(0, len(paths), size)]


def _rows(place: Store, files: Sequence[str], size: int, column: str | None, naming: str | None) -> list[Block]:
    with ThreadPoolExecutor(_LISTERS, "mien-list") as pool:
        footers = list(pool.map(lambda file: _footer(place, file), files))
    blocks: list[Block] = []
    for file, footer in zip(files, footers, strict=True):
        if isinstance(footer, Broken):
            blocks.append(footer)
            continue
        schema, groups = footer
        chosen = _column(file, schema, column)
        if naming is not None and naming not in schema.names:
            raise OptionError(f"{file} has no column {naming!r}; it has {', '.join(schema.names)}.")
        blocks += [Rows(place, file, *part, chosen, naming) for part in _joined(groups, size)]
    return blocks


def _footer(place: Store, file: str) -> tuple[pa.Schema, list[int]] | Broken:
    try:
        with place.open(file) as stream:
            found = parquet.ParquetFile(stream)
            return found.schema_arrow, [found.metadata.row_group(n).num_rows for n in range(found.num_row_groups)]
    except (pa.ArrowInvalid, OSError) as error:
        raise_if_of_the_disk(error)
        return Broken(file, f"It is no whole Parquet file ({error}). Get the file again.")


def _column(file: str, schema: pa.Schema, wanted: str | None) -> str:
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    if wanted is not None:
        if wanted in fitting:
            return wanted
        told = f"has no column {wanted!r}" if wanted not in schema.names else f"has no bytes in {wanted!r}"
        raise OptionError(f"{file} {told}; it has {', '.join(schema.names)}.{nearest(wanted, fitting)}")
    known = [name for name in _COLUMNS if name in fitting] or (fitting if len(fitting) == 1 else [])
    if not known:
        raise OptionError(
            f"{file} has the columns {', '.join(schema.names)}: which holds the pictures' bytes? Name it with column."
        )
    return known[0]


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(n).name == "bytes" and _holds_bytes(kind.field(n).type) for n in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _joined(groups: Sequence[int], size: int) -> list[tuple[tuple[int, ...], int, int]]:
    """Return (row groups, first row, rows) of each block: groups until there are ``size`` rows."""
    found, begun, first, rows = [], 0, 0, 0
    for number, count in enumerate(groups):
        rows += count
        if rows >= size or (number == len(groups) - 1 and rows):
            found.append((tuple(range(begun, number + 1)), first, rows))
            begun, first, rows = number + 1, first + rows, 0
    return found
