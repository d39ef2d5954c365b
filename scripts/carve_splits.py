"""Draw the held-out images of RAF-DB, AffectNet-7, AffectNet's contempt and the Taiwanese corpora, and list them.

Usage: python scripts/carve_splits.py DATA OUT

DATA holds the corpora; OUT receives ``<corpus>.csv``. The lists that ship were drawn once by this
script; drawing others would put faces that published models were trained on into validation. It documents how they
came about.

Images with an exact, near or mirrored duplicate in their own corpus (AffectNet's two count as one) are never held out,
so none has a duplicate in its training part. Duplicates in other corpora are for ``mien data check``.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mien.datasets import compare, manifest
from mien.datasets.guard import LISTED
from mien.datasets.index import index
from mien.datasets.manifest import Manifest

SEED = 20261129
SHARES = {"rafdb": {"validation": 0.10}, "affectnet7": {"validation": 0.05},
          "affectnet_contempt": {"validation": 0.05, "test": 0.10}}  # fmt: skip
FAMILIES = (("rafdb",), ("affectnet7", "affectnet_contempt"))
SOURCES = ("rafdb_train.zip", "affectnet7.zip", "affectnet_contempt.zip", "taiwanese.zip")
PERFORMERS = {"validation": 3, "test": 3}
_CHUNK = 512


def main(data: Path, out: Path) -> None:
    """Index the corpora, draw, write."""
    with tempfile.TemporaryDirectory() as folder:
        made = index([data / name for name in SOURCES], Path(folder) / "all.parquet")
        rows = manifest.read(made.path)
        for family in FAMILIES:
            carve(rows, family, out)
        write(out / "taiwanese.csv", draw_performers(rows))


def carve(rows: Manifest, family: tuple[str, ...], out: Path) -> None:
    """Draw and write the lists of corpora that share a source; an image with a duplicate in any of them stays out."""
    kin = rows.where(np.isin(rows.array("dataset"), family))
    drawn = {corpus: draw(kin, corpus, sum(SHARES[corpus].values())) for corpus in family}
    repeated = duplicated(kin, np.array([row for order in drawn.values() for row, _ in order]))
    for corpus in family:
        write(out / f"{corpus}.csv", assign(kin, corpus, drawn[corpus], SHARES[corpus], repeated))


def draw(rows: Manifest, corpus: str, share: float) -> list[tuple[int, str]]:
    """Return (row, label) in random order within each class: a fifth more than are needed, none of them listed."""
    random = np.random.default_rng(SEED)
    mine, labels, members = in_training(rows, corpus), rows.array("label"), rows.array("member")
    free = ~np.logical_or.reduce([rows.flagged(flag) for flag in LISTED])
    drawn: list[tuple[int, str]] = []
    for label in sorted(set(labels[mine].tolist())):
        candidates = np.flatnonzero(mine & free & (labels == label))
        order = random.permutation(candidates[np.argsort(members[candidates])])
        count = int(1.2 * share * int((mine & (labels == label)).sum())) + 5
        drawn += [(row, label) for row in order[:count].tolist()]
    return drawn


def in_training(rows: Manifest, corpus: str) -> NDArray[np.bool_]:
    """Return bool (N,): the rows of a corpus that are not its official test images."""
    official_test = (corpus == "affectnet7") & (rows.array("split") == "test")
    return (rows.array("dataset") == corpus) & ~official_test


def duplicated(rows: Manifest, candidates: NDArray[np.intp]) -> set[int]:
    """Return the candidates that any other row equals, exactly, nearly or mirrored."""
    search, everything = compare.Search(rows), np.arange(len(rows))
    repeated: set[int] = set()
    for start in range(0, len(candidates), _CHUNK):
        chunk = candidates[start : start + _CHUNK]
        for variant in compare.QUICK:
            repeated |= {row for other, row, _ in search.near(everything, chunk, variant) if row != other}
        sys.stderr.write(f"{start + len(chunk)} of {len(candidates)} compared, {len(repeated)} with a duplicate\n")
    return repeated


def assign(
    rows: Manifest, corpus: str, drawn: list[tuple[int, str]], shares: dict[str, float], repeated: set[int]
) -> dict[str, str]:
    """Return key → split: of every class the first drawn images without a duplicate, each split its share."""
    mine, labels, members = in_training(rows, corpus), rows.array("label"), rows.column("member")
    splits: dict[str, str] = {}
    for label in sorted({label for _, label in drawn}):
        free = iter([row for row, name in drawn if name == label and row not in repeated])
        for split, share in shares.items():
            size = round(share * int((mine & (labels == label)).sum()))
            # next() without a default: running out of images without a duplicate ends the script.
            splits |= {key(corpus, members[next(free)]): split for _ in range(size)}
    return splits


def draw_performers(rows: Manifest) -> dict[str, str]:
    """Return performer → split: the first draw in which both held-out parts have two faces of every class at least."""
    mine = rows.where(rows.array("dataset") == "taiwanese")
    subjects, labels = mine.array("subject"), mine.array("label")
    random = np.random.default_rng(SEED)
    while True:
        order = random.permutation(np.unique(subjects)).tolist()
        parts = {split: [order.pop() for _ in range(size)] for split, size in PERFORMERS.items()}
        counts = [
            int((labels[np.isin(subjects, people)] == label).sum())
            for people in parts.values()
            for label in set(labels.tolist()) - {""}
        ]
        if min(counts) >= 2:
            return {performer: split for split, people in parts.items() for performer in people}


def key(corpus: str, member: str) -> str:
    """Return what the list calls an image: its stem, in AffectNet-7 its path, as numbers repeat there."""
    path = PurePosixPath(member).with_suffix("")
    return "/".join(path.parts[-3:]) if corpus == "affectnet7" else path.name.removesuffix("_aligned")


def write(path: Path, splits: dict[str, str]) -> None:
    """Write a list, sorted."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("key", "split"))
        table.writerows(sorted(splits.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
