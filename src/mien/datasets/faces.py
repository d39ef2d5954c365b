"""Labelled face crops for training and evaluation, from a manifest or directly from a corpus."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import sampling
from mien.datasets.fields import check_classes, check_sizes, vote_shares
from mien.datasets.lazy import Convert, LazyPixels, Pixels, check_row, digest
from mien.datasets.rows import Row, raise_problems
from mien.datasets.sources import packed
from mien.errors import DataError, ImageError, nearest
from mien.labels import LabelSet, Scheme, smallest
from mien.preprocess import grey

if TYPE_CHECKING:
    from mien.datasets.manifest import Batch, Manifest

Watch = Callable[[Iterable[Any]], Iterable[Any]]

SAME_PART = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
"""FER2013's names of its splits → the usual names."""


@dataclass(frozen=True)
class FaceSet:
    """N labelled face crops, of one corpus or of several.

    Attributes:
        label_set: the C classes.
        pixels: uint8 (N, H, W) grey or (N, H, W, 3) RGB, in memory or read when asked for.
        labels: int64 (N,), indices into ``label_set``.
        splits: (N,) strings, the corpus's own splits.
        ids: N names that point back to the source.
        left_out: number of rows without a class in ``label_set``.
        subjects: (N,) strings, corpus and person; '' where unknown; None if no subject is known.
        votes: float32 (N, C), the annotators' votes as shares that sum to 1, or zeros in rows without votes; None if
            no face has any.
        datasets: (N,) strings, the corpus of each face; None if unknown.
        columns: name → (N,) objects, further columns of the corpus or of the manifest: str, int, float, bool, or None
            for a missing value; ``session`` and ``pose`` are always present.
    """

    label_set: LabelSet
    pixels: Pixels
    labels: NDArray[np.int64]
    splits: NDArray[np.str_]
    ids: tuple[str, ...]
    left_out: int = 0
    subjects: NDArray[np.str_] | None = None
    votes: NDArray[np.float32] | None = None
    datasets: NDArray[np.str_] | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {len(self.pixels), len(self.labels), len(self.splits), len(self.ids)}
        lengths |= {len(values) for values in (self.subjects, self.votes, self.datasets) if values is not None}
        lengths |= {len(values) for values in self.columns.values()}
        if len(lengths) != 1 or not self._are_images() or self.pixels.dtype != np.uint8:
            raise DataError(
                f"FaceSet of pixels {self.pixels.shape} {self.pixels.dtype}, {len(self.labels)} labels, "
                f"{len(self.splits)} splits, {len(self.ids)} ids: expected uint8 (N, H, W[, 3]) and N of each."
            )

    def _are_images(self) -> bool:
        return self.pixels.ndim == 3 or (self.pixels.ndim == 4 and self.pixels.shape[3] == 3)

    def __len__(self) -> int:
        return len(self.labels)

    def split_named(self, split: str) -> str:
        """Return this data's name of a split: ``Training`` may be ``train``.

        Raises:
            DataError: there is none.
        """
        present = sorted(set(self.splits.tolist()))
        other = {theirs: ours for ours, theirs in SAME_PART.items()} | SAME_PART
        name = split if split in present else other.get(split, split)
        if name not in present:
            names = ", ".join(name or "no split at all" for name in present)
            hint = "" if split in other else nearest(split, present)  # the name of another corpus's split is not a typo
            raise DataError(f"No split {split!r}; this data has {names}.{hint}")
        return name

    def part(self, split: str) -> FaceSet:
        """Return one split's faces in the same order; equivalent names match, such as ``Training`` and ``train``.

        Raises:
            DataError: that lists the splits if there is none of that name.
        """
        return self.where(self.splits == self.split_named(split))

    def where(self, mask: NDArray[np.bool_]) -> FaceSet:
        """Return the faces for which ``mask``, bool (N,), is true."""
        return replace(
            self,
            pixels=self.pixels.select(mask) if isinstance(self.pixels, LazyPixels) else self.pixels[mask],
            labels=self.labels[mask],
            splits=self.splits[mask],
            ids=tuple(name for name, keep in zip(self.ids, mask, strict=True) if keep),
            left_out=0,
            subjects=None if self.subjects is None else self.subjects[mask],
            votes=None if self.votes is None else self.votes[mask],
            datasets=None if self.datasets is None else self.datasets[mask],
            columns={name: values[mask] for name, values in self.columns.items()},
        )

    def resplit(self, splits: Sequence[str] | NDArray[np.str_]) -> FaceSet:
        """Assign the faces to other splits; faces whose split is '' are left out."""
        moved = replace(self, splits=np.asarray(splits, str))
        return moved if (moved.splits != "").all() else moved.where(moved.splits != "")

    def counts(self) -> dict[str, int]:
        """Return the number of faces per class, classes in label order, empty ones included."""
        totals = np.bincount(self.labels, minlength=len(self.label_set))
        return dict(zip(self.label_set.labels, totals.tolist(), strict=True))

    @classmethod
    def from_manifest(
        cls, manifest: Manifest, scheme: Scheme | None = None, watch: Watch | None = None, *, colour: bool = False
    ) -> FaceSet:
        """Load the faces of a manifest that have a class in ``scheme``; the others are counted in ``left_out``.

        Args:
            manifest: the rows to load.
            scheme: None takes the smallest label set that contains all labels.
            watch: wraps the iterable of rows, for a progress bar.
            colour: as in ``load``.

        Raises:
            DataError: the images differ in size, or a source has changed.
        """
        return _collect(_manifest_rows(manifest, scheme, watch, _CONVERT[colour]), scheme)


def load(
    path: str | Path | Sequence[str | Path],
    scheme: Scheme | None = None,
    *,
    reader: str | None = None,
    watch: Watch | None = None,
    colour: bool = False,
    limit: int = 0,
    seed: int = 0,
    memory: float = math.inf,
) -> FaceSet:
    """Load one or more manifests or corpora.

    To skip broken rows, index the corpus (``mien data index``), which lists them, and load the manifest.

    Args:
        path: a manifest, or a corpus in any format that ``readers.detect`` recognises, or several of them.
        scheme: None takes the smallest label set that contains all labels.
        reader: the corpus format; None detects it.
        watch: wraps the iterable of rows, for a progress bar.
        colour: False converts colour to luminance grey, pixels (N, H, W). True keeps it, pixels (N, H, W, 3) RGB, with
            the channel of grey images repeated three times.
        limit: read at most so many faces of each corpus, split and label, drawn by name and ``seed``; 0 reads all.
        memory: GiB of pixels up to which they are kept in memory. Larger manifests get ``LazyPixels`` and no further
            columns than ``session`` and ``pose``, unless a source can only be read in order: a CSV, a compressed tar.

    Raises:
        FileMissingError: a path does not exist.
        DataError: a broken file or row, which the message names.
    """
    from mien.datasets import manifest

    sources = [path] if isinstance(path, str | Path) else path
    listed = {source: _list_faces(source, limit, seed) for source in sources if manifest.is_manifest(source)}
    if memory < math.inf and len(listed) == len(sources):
        from mien.datasets import large

        channels = 3 if colour else 1
        fields = large.collect(list(listed.values()), scheme, _CONVERT[colour], channels=channels, memory=memory)
        if fields is not None:
            listed.clear()
            large.release_tables()
            return FaceSet(**fields)
    rows: list[Row] = []
    for source in sources:
        if source in listed:
            rows += _manifest_rows(listed[source], scheme, watch, _CONVERT[colour])
        else:
            rows += _corpus_rows(source, reader, watch, _CONVERT[colour], limit=limit, seed=seed)
    return _collect(rows, scheme)


def _list_faces(path: str | Path, limit: int, seed: int) -> Manifest:
    """Read a manifest; with ``limit``, only the rows drawn."""
    from mien.datasets import manifest

    listed = manifest.read(path)
    columns = (listed.column(name) for name in ("id", "dataset", "split", "label"))
    return listed.take(_draw(list(zip(*columns, strict=True)), limit, seed)) if limit else listed


def _draw(rows: Sequence[tuple[str, ...]], limit: int, seed: int) -> NDArray[np.intp]:
    """Draw rows by name; rows are (name, corpus, split, label)."""
    return sampling.first_of_each([row[0] for row in rows], [row[1:] for row in rows], limit, seed)


def _repeat_channels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 (H, W, 3); a grey image becomes a view, which takes no memory."""
    return np.broadcast_to(image[:, :, None], (*image.shape, 3)) if image.ndim == 2 else image


_CONVERT: dict[bool, Convert] = {False: grey, True: _repeat_channels}


def _manifest_rows(manifest: Manifest, scheme: Scheme | None, watch: Watch | None, convert: Convert) -> list[Row]:
    """Return the rows of a manifest; pixels are read only for rows with a class in ``scheme``."""
    nouns, datasets = manifest.column("label"), manifest.column("dataset")
    known = [bool(noun) and (scheme is None or scheme.of(noun, dataset) is not None)
             for noun, dataset in zip(nouns, datasets, strict=True)]  # fmt: skip
    names = ("id", "label", "dataset", "split", "subject", "votes", "session", "pose")
    columns = zip(*(manifest.column(name) for name in names), _own_values(manifest), strict=True)
    images = manifest.where(np.array(known, bool)).images(watch=watch)
    pixels = (convert(image) for batch in images for image in _verify(batch))
    return [
        Row(
            name,
            noun,
            dataset,
            split or "",
            subject or "",
            session or "",
            pose or "",
            votes=tuple(votes) if votes else None,
            pixels=next(pixels) if has_class else None,
            own=own,
        )
        for has_class, (name, noun, dataset, split, subject, votes, session, pose, own) in zip(
            known, columns, strict=True
        )
    ]


def _verify(batch: Batch) -> Iterable[NDArray[np.uint8]]:
    """Return a batch's pixels.

    Raises:
        DataError: as ``check_row``.
    """
    members, checksums = batch.rows.column("member"), batch.rows.column("sha256")
    for member, expected, image in zip(members, checksums, batch.pixels, strict=True):
        if packed.parse(member):
            check_row(member, expected, image)
    return batch.pixels


def _own_values(manifest: Manifest) -> Iterable[Mapping[str, Any] | None]:
    """Return each row's values in the user's own columns."""
    names = manifest.own_columns
    if not names:
        return [None] * len(manifest)
    rows = zip(*(manifest.column(name) for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _corpus_rows(
    path: str | Path, reader: str | None, watch: Watch | None, convert: Convert, *, limit: int, seed: int
) -> list[Row]:
    from mien.datasets import index
    from mien.datasets.formats import readers
    from mien.datasets.pixels import PixelReader
    from mien.datasets.sources.archive import open_source

    rows = []
    with open_source(path) as source:
        items: Iterable[Row] = raise_problems(index.items(source, reader or readers.detect(source)[0]))
        if limit:
            listed = list(items)
            drawn = _draw([(row.member, row.dataset, row.split, row.label or "") for row in listed], limit, seed)
            items = [listed[row] for row in drawn.tolist()]
        read = PixelReader(source)
        for row in watch(items) if watch else items:
            try:
                rows.append(replace(row, pixels=convert(index.load(read, row)[0])))
            except (DataError, ImageError) as error:
                raise DataError(f"{path}: {row.member}: {error}") from error
    return rows


def _collect(rows: Sequence[Row], scheme: Scheme | None) -> FaceSet:
    scheme = scheme or smallest({row.label for row in rows if row.label})
    classes = [scheme.of(row.label, row.dataset) for row in rows]
    kept = [(row, word) for row, word in zip(rows, classes, strict=True) if word is not None]
    check_classes(len(kept), len(rows), scheme)
    images = [row.pixels for row, _ in kept if row.pixels is not None]
    check_sizes({(image.shape[1], image.shape[0]) for image in images})
    indices = {word: index for index, word in enumerate(scheme.classes.labels)}
    subjects = np.array([f"{row.dataset}/{row.subject}" if row.subject else "" for row, _ in kept], str)
    return FaceSet(
        scheme.classes,
        np.stack(images),
        np.array([indices[word] for _, word in kept], np.int64),
        np.array([row.split for row, _ in kept], str),
        tuple(row.member for row, _ in kept),
        len(rows) - len(kept),
        subjects if (subjects != "").any() else None,
        vote_shares([row.votes for row, _ in kept], scheme) if any(row.votes for row, _ in kept) else None,
        np.array([row.dataset for row, _ in kept], str),
        _collect_columns([row for row, _ in kept]),
    )


def _collect_columns(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    names = dict.fromkeys(name for row in rows for name in row.own or ())
    values_of = {"session": [row.session or None for row in rows], "pose": [row.pose or None for row in rows]}
    values_of |= {name: [(row.own or {}).get(name) for row in rows] for name in names}
    arrays = {}
    for name, values in values_of.items():
        arrays[name] = np.empty(len(rows), object)
        arrays[name][:] = values
    return arrays


def also_in(faces: FaceSet, others: FaceSet) -> NDArray[np.bool_]:
    """Return bool (N,): which of ``faces`` also occur, pixel for pixel, in ``others``.

    Blank images (all pixels of one value) do not count as duplicates of a face: FER2013's one blank PublicTest image
    equals eleven blank Training images, which explains 280 equal images but 279 duplicates.
    """
    # Digests instead of pixels: a second copy of 70,000 colour crops would take 2.6 GB.
    seen = others.pixels.digests if isinstance(others.pixels, LazyPixels) else set(map(digest, others.pixels))
    return np.fromiter((digest(image) in seen and bool(np.ptp(image)) for image in faces.pixels), bool, len(faces))
