"""The readers, by name, and how the right one is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mien.datasets import (
    affectnet,
    affectnet7,
    affectnet_contempt,
    ckplus,
    fer2013,
    ferplus,
    folders,
    jaffe,
    kdef,
    rafdb,
    taiwanese,
)
from mien.datasets.archive import Source, open_source
from mien.datasets.rows import Item, Options
from mien.errors import DataError, OptionError, nearest

SAMPLE = 5000


@dataclass(frozen=True)
class Reader:
    """evidence: what in a source speaks for this reader, None for nothing.  rows: the items of a source."""

    evidence: Callable[[Source, Sequence[str]], str | None]
    rows: Callable[[Source, Options], Iterator[Item]]
    general: bool = False


READERS: dict[str, Reader] = {
    "fer2013-csv": Reader(fer2013.csv_evidence, fer2013.csv_rows),
    "fer2013-folders": Reader(fer2013.folder_evidence, fer2013.folder_rows),
    "ferplus": Reader(ferplus.evidence, ferplus.rows),
    "ckplus": Reader(ckplus.evidence, ckplus.rows),
    "ckplus48": Reader(ckplus.peak_evidence, ckplus.peak_rows),
    "kdef": Reader(kdef.evidence, kdef.rows),
    "jaffe": Reader(jaffe.evidence, jaffe.rows),
    "rafdb": Reader(rafdb.evidence, rafdb.rows),
    "rafdb-folders": Reader(rafdb.folder_evidence, rafdb.folder_rows),
    "affectnet": Reader(affectnet.evidence, affectnet.rows),
    "affectnet7": Reader(affectnet7.evidence, affectnet7.rows),
    "affectnet-contempt": Reader(affectnet_contempt.evidence, affectnet_contempt.rows),
    "taiwanese": Reader(taiwanese.evidence, taiwanese.rows),
    "csv": Reader(folders.csv_evidence, folders.csv_rows, general=True),
    "folders": Reader(folders.evidence, folders.rows, general=True),
}
"""Name → reader. A ``general`` one is taken only where no other has evidence, the first of them before the others."""


def get(name: str) -> Reader:
    """Return a reader by its name. Raises ``OptionError`` naming the nearest."""
    if name not in READERS:
        raise OptionError(f"No format {name!r}; there are {', '.join(READERS)}.{nearest(name, tuple(READERS))}")
    return READERS[name]


def detect(path: str | Path | Source) -> tuple[str, str]:
    """Return the name of the reader that fits a corpus, and the evidence for it.

    Raises ``DataError`` if none fits or if two do; the message holds the evidence of both.
    """
    if isinstance(path, Source):
        return _detect(path)
    with open_source(path) as source:
        return _detect(source)


def detect_own(source: Source) -> tuple[str, str]:
    """Return the reader of a corpus with own classes, and why: ``csv`` if it has a list, else ``folders``."""
    listed = folders.csv_evidence(source, list(islice(source.members(), SAMPLE)))
    return ("csv", listed) if listed else ("folders", "each folder is a class")


def _detect(source: Source) -> tuple[str, str]:
    names = list(islice(source.members(), SAMPLE))
    found = {name: reader.evidence(source, names) for name, reader in READERS.items() if not reader.general}
    found = {name: evidence for name, evidence in found.items() if evidence}
    if len(found) > 1:
        told = "; ".join(f"{name} ({evidence})" for name, evidence in found.items())
        raise DataError(f"{source.path} could be {told}. Name the one you mean with --format.")
    for name, evidence in found.items():
        return name, str(evidence)
    for name, reader in READERS.items():
        general = reader.evidence(source, names) if reader.general else None
        if general:
            return name, general
    sample = ", ".join(names[:3]) or "nothing"
    raise DataError(
        f"{source.path} has the layout of no known corpus (it holds {sample}). Expected one of {', '.join(READERS)}: "
        "for instance class folders such as happy/ with images in them, or a CSV with the columns path and label."
    )
