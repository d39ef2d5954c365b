"""AffectNet's faces of contempt, cleaned by hand and not masked: ``affectnet_contempt/12.webp``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from mien.datasets.formats.carved import split_of
from mien.datasets.formats.folders import is_image
from mien.datasets.rows import RESEARCH_ONLY, Item, Options, Problem, Row, Terms
from mien.datasets.sources.archive import Source

TERMS = Terms(
    "affectnet_contempt",
    "AffectNet, faces of contempt, cleaned by hand",
    f"as AffectNet: {RESEARCH_ONLY}",
    "a selection from AffectNet (Mollahosseini, Hasani and Mahoor 2017)",
)

CORPUS = "affectnet_contempt"
_NAME = re.compile(r"(?:(?:.*/)?affectnet_contempt/)?\d+\.\w+")


def evidence(source: Source, names: Sequence[str]) -> str | None:
    """Say which image lies in the folder of contempt."""
    named = source.path.name.split(".")[0] == CORPUS
    images = (name for name in names if is_image(name) and (named or f"{CORPUS}/" in name))
    match = next((name for name in images if _NAME.fullmatch(name)), None)
    return f"{match} is one of AffectNet's faces of contempt" if match else None


def rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield every image with the split that the package's list gives it: train, validation or test."""
    for name in source.members():
        if not _NAME.fullmatch(name):
            yield Problem(name, "is not named <number>.webp in affectnet_contempt/")
        elif not is_image(name):
            yield Problem(name, f"{PurePosixPath(name).suffix or 'no extension'} is not an image format")
        else:
            yield Row(name, "contempt", CORPUS, split_of(CORPUS, PurePosixPath(name).stem))
