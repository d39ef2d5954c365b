"""What learning consumes: face crops with labels and splits, in memory, from a manifest or straight from a corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.datasets import packed
from mien.datasets.pixels import checksum
from mien.datasets.rows import Row, strictly
from mien.errors import DataError, ImageError, nearest
from mien.labels import FERPLUS, LabelSet, Scheme, distribution, smallest
from mien.preprocess import grey

if TYPE_CHECKING:
    from mien.datasets.manifest import Batch, Manifest

Watch = Callable[[Iterable[Any]], Iterable[Any]]
Turn = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

SAME_PART = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
"""FER2013's words for its parts, and what other corpora's parts of the same role are called."""


@dataclass(frozen=True)
class FaceSet:
    """N labelled face crops, of one corpus or of several.

    pixels: uint8 (N, H, W) grey or (N, H, W, 3) RGB.  labels: int64 (N,), index into ``label_set``.
    splits: (N,) strings, the corpus's own parts.  ids: N names that point back to the source.
    subjects: (N,) strings, corpus and person; '' where unknown; None if nobody is known.
    votes: float32 (N, C), each row the people's votes as shares of 1, or zeros where there are none; None if no face
    has any.  left_out: how many rows had no class in ``label_set``.  datasets: (N,) strings, the corpus of each face;
    None where it is not known.  columns: name → (N,) objects, what the corpus and the user's own columns of a manifest
    say of each face: str, int, float, bool, or None where nothing is known; ``session`` and ``pose`` are always there.
    """

    label_set: LabelSet
    pixels: NDArray[np.uint8]
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
        lengths |= {len(each) for each in (self.subjects, self.votes, self.datasets) if each is not None}
        lengths |= {len(each) for each in self.columns.values()}
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
        """Return what this data calls a split: ``Training`` may be ``train``. Raises ``DataError`` if it has none."""
        present = sorted(set(self.splits.tolist()))
        other = {theirs: ours for ours, theirs in SAME_PART.items()} | SAME_PART
        name = split if split in present else other.get(split, split)
        if name not in present:
            told = ", ".join(name or "no split at all" for name in present)
            hint = "" if split in other else nearest(split, present)  # a part's own name is no slip of the pen
            raise DataError(f"No split {split!r}; this data has {told}.{hint}")
        return name

    def part(self, split: str) -> FaceSet:
        """Return one split's faces in the same order; ``Training`` also finds ``train`` and the reverse, and so on.

        Raises ``DataError`` naming the splits there are.
        """
        return self.where(self.splits == self.split_named(split))

    def where(self, mask: NDArray[np.bool_]) -> FaceSet:
        """Return the faces for which ``mask``, bool (N,), is true."""
        return replace(
            self,
            pixels=self.pixels[mask],
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
        """Return the same faces in other parts; a face whose part is '' is left out."""
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
        """Return the faces of a manifest that have a class in ``scheme``; the others are counted in ``left_out``.

        scheme: None takes the smallest label set that holds all labels.  colour: as in ``load``.
        Raises ``DataError`` if the images differ in size, or a source has changed.
        """
        return _collect(_manifest_rows(manifest, scheme, watch, _TURN[colour]), scheme)


def load(
    path: str | Path | Sequence[str | Path],
    scheme: Scheme | None = None,
    *,
    reader: str | None = None,
    watch: Watch | None = None,
    colour: bool = False,
) -> FaceSet:
    """Read a manifest, or any corpus that ``readers.detect`` knows, or several of them, into memory.

    scheme: None takes the smallest label set that holds all labels.  reader: None finds the format by itself.
    watch:  wraps the iterable of rows, for a progress bar.
    colour: False turns colour into luminance grey, pixels (N, H, W); True keeps it, pixels (N, H, W, 3) RGB in which
            grey images stand three times.
    Raises ``FileMissingError`` and ``DataError``; the latter names file and row of the first thing that is broken.
    To go on without broken rows, index the corpus (``mien data index``), which lists them, and load the manifest.
    """
    from mien.datasets import manifest

    rows: list[Row] = []
    for each in [path] if isinstance(path, str | Path) else path:
        if manifest.is_manifest(each):
            rows += _manifest_rows(manifest.read(each), scheme, watch, _TURN[colour])
        else:
            rows += _corpus_rows(each, reader, watch, _TURN[colour])
    return _collect(rows, scheme)


def _repeated(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 (H, W, 3); of a grey image a view, which takes no memory of its own."""
    return np.broadcast_to(image[:, :, None], (*image.shape, 3)) if image.ndim == 2 else image


_TURN: dict[bool, Turn] = {False: grey, True: _repeated}


def _manifest_rows(manifest: Manifest, scheme: Scheme | None, watch: Watch | None, turn: Turn) -> list[Row]:
    """Return the rows of a manifest; those without a class in ``scheme`` keep no pixels, which are not even read."""
    nouns, datasets = manifest.column("label"), manifest.column("dataset")
    known = [bool(noun) and (scheme is None or scheme.of(noun, dataset) is not None)
             for noun, dataset in zip(nouns, datasets, strict=True)]  # fmt: skip
    names = ("id", "label", "dataset", "split", "subject", "votes", "session", "pose")
    columns = zip(*(manifest.column(name) for name in names), _own(manifest), strict=True)
    images = manifest.where(np.array(known, bool)).images(watch=watch)
    pixels = (turn(image) for batch in images for image in _verified(batch))
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


def _verified(batch: Batch) -> Iterable[NDArray[np.uint8]]:
    """Return a batch's pixels. Raises ``DataError`` where a row of an array is not the crop that the manifest lists.

    A row has no name of its own in the array, so that only its checksum tells it from its neighbours.
    """
    members, checksums = batch.rows.column("member"), batch.rows.column("sha256")
    for member, expected, image in zip(members, checksums, batch.pixels, strict=True):
        if packed.parse(member) and checksum(image) != expected:
            raise DataError(
                f"{member} is not the crop that the manifest lists, by its sha256. "
                "Delete the folder and run mien data prepare again."
            )
    return batch.pixels


def _own(manifest: Manifest) -> Iterable[Mapping[str, Any] | None]:
    """Return each row's values in the user's own columns."""
    names = manifest.own_columns
    if not names:
        return [None] * len(manifest)
    rows = zip(*(manifest.column(name) for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


def _corpus_rows(path: str | Path, reader: str | None, watch: Watch | None, turn: Turn) -> list[Row]:
    from mien.datasets import index, readers
    from mien.datasets.archive import open_source
    from mien.datasets.pixels import PixelReader

    rows = []
    with open_source(path) as source:
        found = strictly(index.items(source, reader or readers.detect(source)[0]))
        read = PixelReader(source)
        for row in watch(found) if watch else found:
            try:
                rows.append(replace(row, pixels=turn(index.load(read, row)[0])))
            except (DataError, ImageError) as error:
                raise DataError(f"{path}: {row.member}: {error}") from error
    return rows


def _collect(rows: Sequence[Row], scheme: Scheme | None) -> FaceSet:
    scheme = scheme or smallest({row.label for row in rows if row.label})
    classes = [scheme.of(row.label, row.dataset) for row in rows]
    kept = [(row, word) for row, word in zip(rows, classes, strict=True) if word is not None]
    if not kept:
        raise DataError(f"The data holds no row with a class of {scheme.classes.name}; {len(rows)} rows have none.")
    images = [row.pixels for row, _ in kept if row.pixels is not None]
    shapes = sorted({image.shape[:2] for image in images})
    if len(shapes) > 1:
        sizes = ", ".join(f"{shape[1]}×{shape[0]}" for shape in shapes[:4])
        raise DataError(f"Images of {len(shapes)} sizes ({sizes}); expected one. Crop them with mien data prepare.")
    places = {word: place for place, word in enumerate(scheme.classes.labels)}
    subjects = np.array([f"{row.dataset}/{row.subject}" if row.subject else "" for row, _ in kept], str)
    return FaceSet(
        scheme.classes,
        np.stack(images),
        np.array([places[word] for _, word in kept], np.int64),
        np.array([row.split for row, _ in kept], str),
        tuple(row.member for row, _ in kept),
        len(rows) - len(kept),
        subjects if (subjects != "").any() else None,
        _shares([row.votes for row, _ in kept], scheme) if any(row.votes for row, _ in kept) else None,
        np.array([row.dataset for row, _ in kept], str),
        _columns([row for row, _ in kept]),
    )


def _columns(rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    names = dict.fromkeys(name for row in rows for name in row.own or ())
    found = {"session": [row.session or None for row in rows], "pose": [row.pose or None for row in rows]}
    found |= {name: [(row.own or {}).get(name) for row in rows] for name in names}
    columns = {}
    for name, values in found.items():
        columns[name] = np.empty(len(rows), object)
        columns[name][:] = values
    return columns


def _shares(votes: Sequence[tuple[int, ...] | None], scheme: Scheme) -> NDArray[np.float32]:
    """Return float32 (N, C): FER+ votes as shares of the scheme's classes; zeros where no vote is for one of them."""
    classes = [scheme.of(noun) for noun in FERPLUS.labels]
    turn = np.array([[word == name for name in scheme.classes.labels] for word in classes], np.float32)
    found = np.zeros((len(votes), len(scheme.classes)), np.float32)
    for place, counts in enumerate(votes):
        shares = distribution(counts) if counts else None
        if shares:
            found[place] = np.asarray(shares, np.float32) @ turn
    totals = found.sum(axis=1, keepdims=True)
    shares_of_one: NDArray[np.float32] = np.divide(found, totals, out=np.zeros_like(found), where=totals > 0)
    return shares_of_one


def also_in(faces: FaceSet, others: FaceSet) -> NDArray[np.bool_]:
    """Return bool (N,): which of ``faces`` stand pixel for pixel in ``others`` too (exact copies only).

    Blank images, all pixels of one value, are no copies of a face: FER2013's one blank PublicTest image equals
    eleven blank Training images, and is the difference between 280 equal images and 279 copies.
    """
    # Digests, not the pixels: 70,000 colour crops would be kept a second time, 2.6 GB.
    seen = {_digest(image) for image in others.pixels}
    return np.fromiter((_digest(image) in seen and bool(np.ptp(image)) for image in faces.pixels), bool, len(faces))


def _digest(image: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()
