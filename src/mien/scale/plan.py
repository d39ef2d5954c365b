"""Split a source into blocks, deterministically: the same source gives the same blocks, so a run can be resumed."""

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
from mien.scale.shards import Block, Broken, Photos, Rows, Shard, raise_system_error
from mien.scale.storage import Store, is_remote

KINDS: dict[str, tuple[str, ...]] = {
    "photos": tuple(sorted(SUFFIXES)),
    "parquet": (".parquet",),
    "webdataset": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"),
}
"""Kind of source → file extensions."""

PHOTOS_A_BLOCK = 4096
_COLUMNS = ("image", "bytes", "image_bytes", "content", "jpg", "png")
_LISTERS = 16  # threads, which wait for the store rather than compute


def plan(
    source: str,
    *,
    kind: str | None = None,
    size: int = PHOTOS_A_BLOCK,
    column: str | None = None,
    naming: str | None = None,
) -> list[Block]:
    """Split a folder of photos, Parquet files or tar shards into blocks.

    Raises ``FileMissingError``, ``OptionError``.

    Args:
        source: a folder, a file, a glob pattern of photos, or the address of a folder or file in a store (shards only).
        kind: of ``KINDS``; None if the source holds one kind only.
        size: photos in a block, a multiple of 16 so that batches are the same as in one process. Row groups of a
            Parquet file are never split, and a tar shard is one block whatever its size.
        column, naming: see ``Rows``; None detects the column.
    """
    if size < 1 or size % CHUNK:
        raise OptionError(f"block = {size}: expected a multiple of {CHUNK}, the size of a batch of photos.")
    store, names = _list_files(source)
    kind = kind or _detect_kind(source, names)
    if kind != "parquet" and (column or naming):
        raise OptionError(f"column and names apply to Parquet files only, but {source!r} holds {kind}.")
    if kind == "photos":
        return _plan_photos(source, size)
    files = [name for name in names if _is_kind(name, kind)]
    if store is None or not files:
        raise FileMissingError(f"No {kind} files in {source!r}; looked for {', '.join(KINDS[kind])}.")
    return (
        [Shard(store, file) for file in files]
        if kind == "webdataset"
        else _plan_rows(store, files, size, column, naming)
    )


def digest(blocks: Iterable[Block]) -> str:
    """Return the SHA-256 of the blocks' definitions: names and positions, not contents."""
    sha = hashlib.sha256()
    for block in blocks:
        sha.update(repr(block).encode("utf-8", "backslashreplace") + b"\n")
    return sha.hexdigest()


def _list_files(source: str) -> tuple[Store | None, list[str]]:
    """Return the store and its file names; None and [] for patterns and typos, which ``find_images`` handles."""
    if is_remote(source):
        return _list_remote(source)
    if os.path.isdir(source):  # noqa: PTH112 - pathlib raises for names too long to exist
        store = Store.at(source)
        return store, store.names()
    if os.path.isfile(source):  # noqa: PTH113
        return Store.at(str(Path(source).parent)), [Path(source).name]
    return None, []


def _list_remote(source: str) -> tuple[Store, list[str]]:
    parent, _, name = source.rstrip("/").rpartition("/")
    if _is_kind(name, "parquet") or _is_kind(name, "webdataset"):
        return Store.at(parent), [name]
    store = Store.at(source)
    names = store.names()
    if not names:
        raise FileMissingError(f"{source!r} does not exist, or has no files.")
    return store, names


def _detect_kind(source: str, names: Sequence[str]) -> str:
    present = [kind for kind in KINDS if any(_is_kind(name, kind) for name in names)]
    if len(present) > 1:
        raise OptionError(f"{source!r} holds {' and '.join(present)}: choose one with kind.")
    return present[0] if present else "photos"  # find_images reports a source without any


def _is_kind(name: str, kind: str) -> bool:
    return name.lower().endswith(KINDS[kind])


def _plan_photos(source: str, size: int) -> list[Block]:
    if is_remote(source):
        raise OptionError(
            f"{source!r} holds single photos, which must be on a disk that all machines share. "
            "Mount it as a folder, or pack the photos into Parquet files or tar shards."
        )
    paths = [str(path) for path in find_images([source])]
    return [Photos(str(Path.cwd()), tuple(paths[start : start + size])) for start in range(0, len(paths), size)]


def _plan_rows(store: Store, files: Sequence[str], size: int, column: str | None, naming: str | None) -> list[Block]:
    with ThreadPoolExecutor(_LISTERS, "mien-list") as pool:
        footers = list(pool.map(lambda file: _read_footer(store, file), files))
    blocks: list[Block] = []
    for file, footer in zip(files, footers, strict=True):
        if isinstance(footer, Broken):
            blocks.append(footer)
            continue
        schema, groups = footer
        chosen = _choose_column(file, schema, column)
        if naming is not None and naming not in schema.names:
            raise OptionError(f"{file} has no column {naming!r}; it has {', '.join(schema.names)}.")
        blocks += [Rows(store, file, *part, chosen, naming) for part in _join_groups(groups, size)]
    return blocks


def _read_footer(store: Store, file: str) -> tuple[pa.Schema, list[int]] | Broken:
    try:
        with store.open(file) as stream:
            table = parquet.ParquetFile(stream)
            return table.schema_arrow, [table.metadata.row_group(n).num_rows for n in range(table.num_row_groups)]
    except (pa.ArrowInvalid, OSError) as error:
        raise_system_error(error)
        return Broken(file, f"Damaged or not a Parquet file ({error}). Download or copy it again.")


def _choose_column(file: str, schema: pa.Schema, wanted: str | None) -> str:
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    if wanted is not None:
        if wanted in fitting:
            return wanted
        problem = f"has no column {wanted!r}" if wanted not in schema.names else f"has no bytes in {wanted!r}"
        raise OptionError(f"{file} {problem}; it has {', '.join(schema.names)}.{nearest(wanted, fitting)}")
    known = [name for name in _COLUMNS if name in fitting] or (fitting if len(fitting) == 1 else [])
    if not known:
        raise OptionError(
            f"{file} has the columns {', '.join(schema.names)}: name the one with the image bytes with column."
        )
    return known[0]


def _holds_bytes(kind: Any) -> bool:
    if pa.types.is_struct(kind):
        return any(kind.field(n).name == "bytes" and _holds_bytes(kind.field(n).type) for n in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _join_groups(groups: Sequence[int], size: int) -> list[tuple[tuple[int, ...], int, int]]:
    """Return (row groups, first row, rows) of each block; groups are added until a block has ``size`` rows."""
    blocks, begun, first, rows = [], 0, 0, 0
    for number, count in enumerate(groups):
        rows += count
        if rows >= size or (number == len(groups) - 1 and rows):
            blocks.append((tuple(range(begun, number + 1)), first, rows))
            begun, first, rows = number + 1, first + rows, 0
    return blocks
