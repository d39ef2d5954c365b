"""Faces of manifests whose pixels stay in their sources: labels and splits are read, images when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import lazy
from mien.datasets.arrow import pa, pc
from mien.datasets.fields import check_classes, check_sizes, vote_shares
from mien.datasets.manifest import Manifest
from mien.labels import Scheme, smallest

_CHUNK = 65_536
_COLUMNS = ("id", "label", "votes", "dataset", "split", "subject", "session", "pose")
_SIZE = ("width", "height")


def collect(
    manifests: Sequence[Manifest], scheme: Scheme | None, convert: lazy.Convert, *, channels: int, memory: float
) -> dict[str, Any] | None:
    """Return the fields of a ``FaceSet`` with ``LazyPixels`` and without the user's own columns.

    Returns None if all pixels fit into ``memory``, in GiB, or if a source cannot be read in any order.

    Raises:
        DataError: images of several sizes, or rows without a class.
    """
    scheme = scheme or smallest({label for one in manifests for label in _distinct(one.table["label"]) if label})
    kept = [_with_class(one, scheme) for one in manifests]
    check_classes(sum(map(len, kept)), sum(map(len, manifests)), scheme)
    sizes = {size for one in kept for size in _sizes(one)}
    if (None, None) in sizes or _gibibytes(kept, sizes, channels) <= memory:
        return None
    check_sizes(sizes)
    width, height = sizes.pop()
    images = lazy.Images([_slim(one) for one in kept], convert, (height, width, 3)[: 3 if channels == 3 else 2])
    if not images.are_random():
        images.close()
        return None
    table = pa.concat_tables([one.table.select(list(_COLUMNS)) for one in kept])
    labels = np.concatenate([_classes(one, scheme) for one in kept])
    return _assemble(table, labels, scheme, lazy.LazyPixels(images), sum(map(len, manifests)) - len(labels))


def _assemble(
    table: Any, labels: NDArray[np.int64], scheme: Scheme, pixels: lazy.LazyPixels, left: int
) -> dict[str, Any]:
    return {
        "label_set": scheme.classes,
        "pixels": pixels,
        "labels": labels,
        "splits": _strings(table["split"]),
        "ids": tuple(table["id"].to_pylist()),
        "left_out": left,
        "subjects": _subjects(table),
        "votes": _votes(table["votes"], scheme),
        "datasets": _strings(table["dataset"]),
        "columns": {name: _objects(table[name]) for name in ("session", "pose")},
    }


def _with_class(manifest: Manifest, scheme: Scheme) -> Manifest:
    """Keep the rows with a class, and the columns that are read: a table of all takes twice the memory."""
    needed = replace(manifest, table=manifest.table.select([*_COLUMNS, *_SIZE, *lazy.COLUMNS]))
    known = _classes(needed, scheme) >= 0
    return needed if known.all() else needed.where(known)


def _slim(manifest: Manifest) -> Manifest:
    """Keep what reading needs; checksums take half of it and are for rows of arrays only."""
    table = manifest.table.select(list(lazy.COLUMNS))
    if not pc.any(pc.match_substring(table["member"], ".npy:", ignore_case=True)).as_py():
        none = pa.nulls(len(table), pa.string())
        table = table.set_column(2, "sha256", none)
    return replace(manifest, table=table)


def _gibibytes(manifests: Sequence[Manifest], sizes: Iterable[tuple[int, int]], channels: int) -> float:
    side = max(width * height for width, height in sizes)
    return sum(map(len, manifests)) * side * channels / 2**30


def _sizes(manifest: Manifest) -> list[Any]:
    groups = manifest.table.select(list(_SIZE)).group_by(list(_SIZE)).aggregate([])
    return list(zip(groups["width"].to_pylist(), groups["height"].to_pylist(), strict=True))


def _classes(manifest: Manifest, scheme: Scheme) -> NDArray[np.int64]:
    """Return each row's index in the scheme's classes, int64 (N,); -1 without one."""
    indices = {word: index for index, word in enumerate(scheme.classes.labels)}
    (labels, label_of), (datasets, dataset_of) = _encode(manifest.table["label"]), _encode(manifest.table["dataset"])
    classes = [[indices.get(scheme.of(label, dataset or "") or "", -1) for dataset in datasets] for label in labels]
    return np.array(classes, np.int64).reshape(len(labels), len(datasets))[label_of, dataset_of]


def _distinct(column: Any) -> list[Any]:
    return list(_encode(column)[0])


def _encode(column: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """Return a column's values, None among them, and int64 (N,), the index of each row's value."""
    plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    whole = plain.combine_chunks().dictionary_encode(null_encoding="encode")
    return whole.dictionary.to_pylist(), whole.indices.to_numpy().astype(np.int64)


def _strings(column: Any) -> NDArray[np.str_]:
    values, index = _encode(column)
    return np.array([value or "" for value in values], str)[index]


def _subjects(table: Any) -> NDArray[np.str_] | None:
    (subjects, subject_of), (datasets, dataset_of) = _encode(table["subject"]), _encode(table["dataset"])
    pairs, index = np.unique(subject_of * len(datasets) + dataset_of, return_inverse=True)
    named = [(subjects[pair // len(datasets)], datasets[pair % len(datasets)]) for pair in pairs.tolist()]
    names = np.array([f"{dataset}/{subject}" if subject else "" for subject, dataset in named], str)
    return names[index] if (names != "").any() else None


def _objects(column: Any) -> NDArray[Any]:
    values, index = _encode(column)
    distinct = np.empty(len(values), object)
    distinct[:] = [value or None for value in values]
    return distinct[index]


def _votes(column: Any, scheme: Scheme) -> NDArray[np.float32] | None:
    if column.null_count == len(column):
        return None
    starts = range(0, len(column), _CHUNK)
    chunks = [column.slice(start, _CHUNK).to_pylist() for start in starts]
    return np.concatenate([vote_shares([tuple(row) if row else None for row in rows], scheme) for rows in chunks])


def release_tables() -> None:
    """Give the memory of tables that are no longer used back to the system; PyArrow would keep it for others."""
    pa.default_memory_pool().release_unused()
