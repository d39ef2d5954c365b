"""The corpora of ``mien evaluate --suite``, asked of a peer: the same faces, labels, metrics and table.

Pictures are given as PNG, which every peer reads. Where a peer finds no face, it is asked for the whole picture as a
crop of 48 × 48 grey pixels, as it is for rows in the corpus's own frame. Peers have no ``uncertain``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien import images
from mien.datasets import protocol
from mien.datasets.protocol import Frame, Material
from mien.errors import DataError
from mien.evaluation.protocol.suite import Row, Subject, make_row, select_classes, select_samples
from mien.evaluation.protocol.suite_tables import Result
from mien.labels import canonical
from mien.preprocess import PreprocessSpec, apply
from peers.catalogue import Peer

CROP = PreprocessSpec(size=48, scale=1.0, standardise="none")
"""What peers are given as a crop: grey, 48 × 48."""


class Asks(Protocol):
    """A peer's process, as ``referee.Worker`` is."""

    def ask(self, what: str, **given: Any) -> dict[str, Any]:
        """Ask and wait."""
        ...


@dataclass(frozen=True)
class Asked:
    """One corpus on disk.

    material: its samples.  paths: each as a PNG.  crops: uint8 (N, 48, 48), each whole.  folder: for files of the run.
    """

    material: Material
    paths: tuple[str, ...]
    crops: NDArray[np.uint8]
    folder: Path


def prepare(data: Path, folder: Path, corpora: str | None, limit: int | None) -> list[Asked]:
    """Write the pictures of all corpora that are there below ``folder``; say on stderr which are not."""
    asked = []
    for entry in protocol.select_entries(corpora):
        missing = [name for name in (entry.file, entry.votes) if name and not (data / name).exists()]
        if missing:
            print(f"{entry.title}: {', '.join(missing)} is not in {data}", file=sys.stderr)
            continue
        material = protocol.read(entry, data, entry.test, limit)
        asked.append(_written(material, folder / entry.name))
    return asked


def _written(material: Material, folder: Path) -> Asked:
    folder.mkdir()
    paths, crops = [], []
    for number, sample in enumerate(material.samples):
        pixels = images.load(sample.image)
        paths.append(str(folder / f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1], compress_level=1)
        crops.append(apply([pixels], CROP)[0, 0].round().astype(np.uint8))
    return Asked(material, tuple(paths), np.stack(crops), folder)


def result(
    peer: Peer, worker: Asks, words: Sequence[str], asked: Sequence[Asked], *, version: str, limit: int | None
) -> Result:
    """Return a peer's rows on all corpora. words: the peer's own for its scores. Raises ``PeerError``."""
    subject = Subject(f"{peer.name} {version}".strip())
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    for corpus in asked:
        frames: list[Frame] = [one for one in corpus.material.entry.frames if one == "own" or peer.detects]
        try:
            rows += [_row(worker, subject, words, corpus, frame) for frame in frames]
        except DataError as error:
            skipped[corpus.material.entry.title] = str(error)
    return Result(subject, "its own detector" if peer.detects else "none", tuple(rows), skipped, limit)


def _row(worker: Asks, subject: Subject, words: Sequence[str], corpus: Asked, frame: Frame) -> Row:
    labels = [canonical(word) for word in words]
    material, classes = select_samples(corpus.material, labels), select_classes(corpus.material.entry, labels)
    kept = [number for number, sample in enumerate(corpus.material.samples) if sample.label in classes]
    scores: list[Any] = [None] * len(kept)
    if frame == "detector":
        scores = worker.ask("photos", paths=[corpus.paths[number] for number in kept])["rows"]
    detected = np.array([row is not None for row in scores], bool)
    whole = np.flatnonzero(~detected)
    if len(whole):
        file = corpus.folder / "crops.npy"
        np.save(file, corpus.crops[np.array(kept)[whole]])
        for place, row in zip(whole, worker.ask("crops", file=str(file))["rows"], strict=True):
            scores[place] = row
    columns = [labels.index(label) for label in classes]
    answered = probabilities(scores, columns)
    return make_row(material, frame, subject, classes=classes, probabilities=answered, detected=detected)


def probabilities(scores: Sequence[Sequence[float]], columns: Sequence[int]) -> NDArray[np.float64]:
    """Return float64 (N, C) shares of 1 of the peer's scores in ``columns``; equal ones where all of them are 0.

    Scores below 0 count as 0: some peers round, none gives logits.
    """
    chosen = np.maximum(np.asarray(scores, np.float64)[:, list(columns)], 0)
    totals = chosen.sum(1, keepdims=True)
    even = np.full_like(chosen, 1 / len(columns))
    np.divide(chosen, totals, out=even, where=totals > 0)
    return even
