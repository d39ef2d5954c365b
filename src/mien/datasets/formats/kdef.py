"""KDEF (Lundqvist, Flykt & Öhman 1998): all annotations are in the file name, ``AF01ANS.JPG``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from mien.datasets.formats.folders import is_image, naming_evidence
from mien.datasets.rows import RESEARCH_ONLY, Item, Options, Problem, Row, Terms
from mien.datasets.sources.archive import Source
from mien.errors import OptionError
from mien.labels import canonical

TERMS = Terms(
    "kdef",
    "Karolinska Directed Emotional Faces (KDEF)",
    f"{RESEARCH_ONLY}, after registration; pictures may not be passed on",
    "Lundqvist, Flykt and Öhman 1998, Karolinska Institutet",
)

ANGLES = ("FL", "HL", "S", "HR", "FR")
"""Full left, half left, straight, half right, full right."""

_NAME = re.compile(rf"([AB])([FM]\d\d)(AN|DI|AF|HA|NE|SA|SU)({'|'.join(ANGLES)})", re.IGNORECASE)


def evidence(_: Source, names: Sequence[str]) -> str | None:
    """Give an example if most images follow KDEF's naming."""
    return naming_evidence(names, _NAME, "KDEF")


def rows(source: Source, options: Options) -> Iterator[Item]:
    """Yield the images at ``options.angles``; the name gives session A/B, subject (sex and number), emotion, angle."""
    wrong = set(options.angles) - set(ANGLES)
    if wrong:
        raise OptionError(f"No KDEF angle {', '.join(sorted(wrong))}; there are {', '.join(ANGLES)}.")
    for name in source.members():
        if not is_image(name):
            continue
        match = _NAME.fullmatch(PurePosixPath(name).stem)
        if match is None:
            yield Problem(name, "does not follow KDEF's naming: session, sex, number, emotion, angle (AF01ANS)")
        elif not options.angles or match[4].upper() in options.angles:
            session, subject, emotion, angle = (part.upper() for part in match.groups())
            yield Row(name, canonical(emotion), "kdef", subject=subject, session=session, pose=angle)
