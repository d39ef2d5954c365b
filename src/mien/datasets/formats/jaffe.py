"""JAFFE (Lyons, Kamachi & Gyoba 1998): ten women, ``KA.AN1.39.tiff``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from mien.datasets.formats.folders import is_image, naming_evidence
from mien.datasets.rows import RESEARCH_ONLY, Item, Options, Problem, Row, Terms
from mien.datasets.sources.archive import Source
from mien.labels import canonical

TERMS = Terms(
    "jaffe",
    "Japanese Female Facial Expression (JAFFE)",
    f"{RESEARCH_ONLY}, by agreement with the owners",
    "Lyons et al. 1998, Coding Facial Expressions with Gabor Wavelets",
)

_NAME = re.compile(r"([A-Z]{2})[.-](AN|DI|FE|HA|NE|SA|SU)(\d)[.-](\d{1,3})", re.IGNORECASE)


def evidence(_: Source, names: Sequence[str]) -> str | None:
    """Give an example if most images follow JAFFE's naming."""
    return naming_evidence(names, _NAME, "JAFFE")


def rows(source: Source, _: Options) -> Iterator[Item]:
    """Yield every image; the name gives subject, emotion and take (kept as session)."""
    for name in source.members():
        if not is_image(name):
            continue
        match = _NAME.fullmatch(PurePosixPath(name).stem)
        if match is None:
            yield Problem(name, "does not follow JAFFE's naming: subject.emotion+take.number (KA.AN1.39)")
        else:
            subject, emotion, take, _number = (part.upper() for part in match.groups())
            yield Row(name, canonical(emotion), "jaffe", subject=subject, session=take)
