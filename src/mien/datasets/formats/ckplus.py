"""CK+ (Lucey et al. 2010): the official sequences with their emotion files, and CK+48, its peak frames."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import PurePosixPath

from mien.datasets.formats.folders import is_image, labelled, noun
from mien.datasets.rows import RESEARCH_ONLY, Item, Options, Problem, Row, Terms
from mien.datasets.sources.archive import Source
from mien.errors import DataError
from mien.labels import CKPLUS_CODES

TERMS = Terms(
    "ckplus",
    "Extended Cohn-Kanade (CK+)",
    f"{RESEARCH_ONLY}, by agreement with the owners",
    "Lucey et al. 2010, The Extended Cohn-Kanade Dataset",
)

_FRAME = re.compile(r"(.*cohn-kanade-images/)(S\d{3})/(\d{3})/\2_\3_(\d{8})\.(png|tiff?|jpe?g)", re.IGNORECASE)
_EMOTION = re.compile(r"(.*/)?Emotion(_labels)?/(S\d{3})/(\d{3})/[^/]+_emotion\.txt")
PEAKS = 3
"""Frames of each sequence in CK+48; other copies may have more."""

_PEAK = re.compile(r"(S?\d{2,3})_(\d{3})_(\d{8})")


def evidence(_: Source, names: Sequence[str]) -> str | None:
    """Say which member follows CK+'s official layout."""
    member = next((name for name in names if _FRAME.fullmatch(name) or _EMOTION.fullmatch(name)), None)
    return f"{member} follows CK+'s official layout" if member else None


def rows(source: Source, options: Options) -> Iterator[Item]:
    """Yield the last ``options.last`` frames of each labelled sequence, and its first as neutral if requested.

    327 of the official 593 sequences have an emotion; the others yield only their neutral first frame.
    """
    labels: dict[tuple[str, str], str] = {}
    for name in source.members():
        match = _EMOTION.fullmatch(name)
        if match:
            label = _read_emotion(source, name)
            if isinstance(label, Problem):
                yield label
            else:
                labels[match[3], match[4]] = label
    frames = (match for match in map(_FRAME.fullmatch, source.members()) if match)
    for key, sequence in groupby(frames, lambda match: (match[2], match[3])):
        yield from _select_frames([match[0] for match in sequence], labels.pop(key, None), key, options)
    for subject, session in labels:
        yield Problem(f"Emotion/{subject}/{session}", "has an emotion but no frames in cohn-kanade-images")


def _read_emotion(source: Source, name: str) -> str | Problem:
    try:
        code = float(source.read(name).decode("ascii"))
        return CKPLUS_CODES[{float(index): index for index in range(len(CKPLUS_CODES))}[code]]
    except (DataError, ValueError, KeyError) as error:
        return Problem(name, f"holds no emotion code 0–{len(CKPLUS_CODES) - 1}: {error}")


def _select_frames(frames: list[str], label: str | None, key: tuple[str, str], options: Options) -> Iterator[Row]:
    row = Row(frames[0], "neutral", "ckplus", subject=key[0], session=key[1])
    if options.neutral:
        yield replace(row, flags=("first_frame",))
    if label:
        # The neutral first frame of a short sequence must not count as its apex too.
        yield from (replace(row, member=name, label=label) for name in frames[1:][-options.last :])


def peak_evidence(_: Source, names: Sequence[str]) -> str | None:
    """Say which image of a class folder is named subject_sequence_frame, as CK+48's are."""
    stems = [PurePosixPath(name).stem for name in names if is_image(name) and noun(PurePosixPath(name).parent.name)]
    peaks = [stem for stem in stems if _PEAK.fullmatch(stem)]
    return f"files such as {peaks[0]} are CK+ peak frames" if len(peaks) * 2 > len(stems) else None


def peak_rows(source: Source, options: Options) -> Iterator[Item]:
    """Yield CK+48 and similar copies: class folders with ``S010_004_00000017.png``, subject and sequence from the name.

    CK+48 has three frames of each sequence. All are yielded, or only the last ``options.last`` for one or two.
    Some copies keep only the last digits of the subject. Subjects whose numbers end alike then count as one person,
    which is safe for a subject-wise split; such rows carry the flag ``subject_truncated``.
    """
    items = [item if isinstance(item, Problem) else _parse_peak(item) for item in labelled(source, "ckplus")]
    if options.last >= PEAKS:
        yield from items
        return
    late = _find_last([item for item in items if isinstance(item, Row)], options.last)
    yield from (item for item in items if isinstance(item, Problem) or item.member in late)


def _find_last(rows: Sequence[Row], count: int) -> set[str]:
    """Return the members of the last ``count`` frames of each sequence, by frame number."""
    sequences: dict[tuple[str, str, str | None], list[str]] = {}
    for row in rows:
        sequences.setdefault((row.subject, row.session, row.label), []).append(row.member)
    return {member for members in sequences.values() for member in sorted(members, key=_frame_number)[-count:]}


def _frame_number(member: str) -> tuple[int, str]:
    return int(PurePosixPath(member).stem.rpartition("_")[2]), member


def _parse_peak(row: Row) -> Item:
    match = _PEAK.fullmatch(PurePosixPath(row.member).stem)
    if match is None:
        return Problem(row.member, "is not named subject_sequence_frame, such as S010_004_00000017.png")
    flags = () if match[1].startswith("S") else ("subject_truncated",)
    return replace(row, subject=match[1], session=match[2], flags=flags)
