"""The registry of corpus readers, and the detection of a corpus's format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mien.datasets.formats import (
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
from mien.datasets.rows import Item, Options, Terms
from mien.datasets.sources.archive import Source, open_source
from mien.errors import DataError, OptionError, nearest

SAMPLE = 5000


@dataclass(frozen=True)
class Reader:
    """A corpus format.

    Attributes:
        evidence: returns what in a source indicates this format, None for nothing.
        rows: yields the items of a source.
        terms: terms of use of the corpus; None for the user's own data.
        general: used only if no other reader has evidence.
    """

    evidence: Callable[[Source, Sequence[str]], str | None]
    rows: Callable[[Source, Options], Iterator[Item]]
    terms: Terms | None = None
    general: bool = False


READERS: dict[str, Reader] = {
    "fer2013-csv": Reader(fer2013.csv_evidence, fer2013.csv_rows, fer2013.TERMS),
    "fer2013-folders": Reader(fer2013.folder_evidence, fer2013.folder_rows, fer2013.TERMS),
    "ferplus": Reader(ferplus.evidence, ferplus.rows, ferplus.TERMS),
    "ckplus": Reader(ckplus.evidence, ckplus.rows, ckplus.TERMS),
    "ckplus48": Reader(ckplus.peak_evidence, ckplus.peak_rows, ckplus.TERMS),
    "kdef": Reader(kdef.evidence, kdef.rows, kdef.TERMS),
    "jaffe": Reader(jaffe.evidence, jaffe.rows, jaffe.TERMS),
    "rafdb": Reader(rafdb.evidence, rafdb.rows, rafdb.TERMS),
    "rafdb-folders": Reader(rafdb.folder_evidence, rafdb.folder_rows, rafdb.TERMS),
    "affectnet": Reader(affectnet.evidence, affectnet.rows, affectnet.TERMS),
    "affectnet7": Reader(affectnet7.evidence, affectnet7.rows, affectnet7.TERMS),
    "affectnet-contempt": Reader(affectnet_contempt.evidence, affectnet_contempt.rows, affectnet_contempt.TERMS),
    "taiwanese": Reader(taiwanese.evidence, taiwanese.rows, taiwanese.TERMS),
    "csv": Reader(folders.csv_evidence, folders.csv_rows, general=True),
    "folders": Reader(folders.evidence, folders.rows, general=True),
}
"""Name → reader. General readers are tried only if no other has evidence, in this order."""


def get(name: str) -> Reader:
    """Return a reader by its name.

    Raises:
        OptionError: that suggests the nearest name.
    """
    if name not in READERS:
        raise OptionError(f"No format {name!r}; there are {', '.join(READERS)}.{nearest(name, tuple(READERS))}")
    return READERS[name]


def detect(path: str | Path | Source) -> tuple[str, str]:
    """Detect a corpus's format: return the name of its reader and the evidence for it.

    Raises:
        DataError: no reader matches or several do; the message gives the evidence.
    """
    if isinstance(path, Source):
        return _detect(path)
    with open_source(path) as source:
        return _detect(source)


def detect_own(source: Source) -> tuple[str, str]:
    """Return the reader of a corpus with the user's own classes, and the evidence: ``csv`` or ``folders``."""
    listed = folders.csv_evidence(source, list(islice(source.members(), SAMPLE)))
    return ("csv", listed) if listed else ("folders", "each folder is a class")


def _detect(source: Source) -> tuple[str, str]:
    names = list(islice(source.members(), SAMPLE))
    matches = {name: reader.evidence(source, names) for name, reader in READERS.items() if not reader.general}
    matches = {name: evidence for name, evidence in matches.items() if evidence}
    if len(matches) > 1:
        candidates = "; ".join(f"{name} ({evidence})" for name, evidence in matches.items())
        raise DataError(f"{source.path} could be {candidates}. Name the one you mean with --format.")
    for name, evidence in matches.items():
        return name, str(evidence)
    for name, reader in READERS.items():
        general = reader.evidence(source, names) if reader.general else None
        if general:
            return name, general
    sample = ", ".join(names[:3]) or "nothing"
    raise DataError(
        f"{source.path} does not have the layout of a known corpus (it holds {sample}). Expected {', '.join(READERS)}: "
        "for instance class folders such as happy/ with images in them, or a CSV with the columns path and label."
    )
