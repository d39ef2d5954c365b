"""Paths of outputs: formats by file extension, one file per photo, and never over an input photo."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from mien.errors import OptionError
from mien.files import LONGEST_NAME, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_ENDINGS = {
    ".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".txt": "table",
    "": "table",
}  # fmt: skip


def chosen_output(out: Path | None, form: str | None) -> tuple[str, Path | None]:
    """Return the format of an output, by the extension of ``out`` unless one is given, and the file; None for stdout.

    Raises:
        OptionError: an extension that is unknown or contradicts the format.
    """
    if out is None or str(out) == "-":
        return form or "table", None
    ending = out.suffix.lower()
    meant = _ENDINGS.get(ending)
    if form is None and meant is None:
        known = ", ".join(name for name in _ENDINGS if name)
        raise OptionError(
            f"--out {str(out)!r}: no format has the ending {ending}; expected {known}, or name one with --format."
        )
    if form is not None and meant not in (None, form) and ending:
        raise OptionError(
            f"--out {str(out)!r} would hold {form} under the ending of another format, {meant}. "
            f"Choose another name, or --format {meant}."
        )
    return form or str(meant), out


def check_output(out: Path, sources: Sequence[str], beside: str = "") -> None:
    """Raise ``OptionError`` if ``out`` is one of the photos, under any name, or its name is too long.

    ``beside`` is the suffix of the name of a file that will be written beside it.
    """
    if out.resolve() in {Path(source).resolve() for source in sources} or _identity(out) in _identities(sources):
        raise OptionError(f"--out {str(out)!r} is one of the photos; choose another file.")
    if len(os.fsencode(out.name + beside)) > LONGEST_NAME:
        raise OptionError(f"--out {str(out)!r}: the name is too long, with {beside!r} added; choose a shorter one.")


def mirrored(
    paths: Sequence[str],
    sources: Sequence[str],
    target: Path,
    option: str,
    rename: Callable[[Path], Path],
    *,
    longest: int = LONGEST_NAME,
) -> dict[str, Path]:
    """Map each source to a file below ``target``, keeping the folders below the photos' nearest common one.

    Names that are too long are shortened. Names that would collide, also on a case-insensitive file system, are
    numbered.

    Args:
        paths: as given by the user.
        sources: the photos in them.
        target: the output folder.
        option: its name in messages.
        rename: derives the name of an output from that of a photo.
        longest: maximum bytes of a name.

    Raises:
        OptionError: outputs would be among the photos, or the photos are on several drives.
    """
    folder = target.resolve()
    folders = [path for path in map(_absolute, paths) if path.is_dir()]
    files = [_absolute(source) for source in sources]
    base = _common([*folders, *(file.parent for file in files)], option)
    plain = [folder / file.relative_to(base) for file in files]
    wanted = [path.with_name(shortened(path.name, longest)) for path in map(rename, plain)]
    names = _distinct(wanted, [name == path for name, path in zip(wanted, plain, strict=True)], _case_blind(folder))
    # Outputs in an input folder would be inputs of the next run, or replace those of this one.
    among = {_identity(one) for one in (folder, *folder.parents)} & {_identity(one) for one in folders} - {None}
    over = {file.resolve() for file in files} & set(names) or _identities(sources) & _identities(names)
    if among or over or any(folder.is_relative_to(one.resolve()) for one in folders):
        raise OptionError(f"{option} {str(target)!r} lies among the photos; choose another.")
    return dict(zip(sources, names, strict=True))


def _distinct(names: Sequence[Path], kept: Sequence[bool], case_blind: bool) -> list[Path]:
    """Number names that are taken; photos that keep their own name have precedence."""
    chosen: dict[int, Path] = {}
    taken: set[str] = set()
    for at in sorted(range(len(names)), key=lambda at: not kept[at]):
        name, number = names[at], 1
        while _key(name, case_blind) in taken:
            number += 1
            name = names[at].with_name(shortened(f"{names[at].stem}.{number}{names[at].suffix}"))
        taken.add(_key(name, case_blind))
        chosen[at] = name
    return [chosen[at] for at in range(len(names))]


def _key(path: Path, case_blind: bool) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold() if case_blind else str(path)


def _case_blind(folder: Path) -> bool:
    """Check whether ``folder`` is, or will be, on a case-insensitive file system."""
    for path in (folder, *folder.parents):
        other = path.with_name(path.name.swapcase())
        if path.exists() and other != path:
            return other.exists() and other.samefile(path)
    return False


def _identities(paths: Iterable[str | Path]) -> set[tuple[int, int]]:
    """Return the identities of files, which do not depend on links or the case of names."""
    return {identity for identity in map(_identity, paths) if identity is not None}


def _identity(path: str | Path) -> tuple[int, int] | None:
    try:
        about = os.stat(path)  # noqa: PTH116 - pathlib raises for names too long to exist
    except (OSError, ValueError):
        return None
    return (about.st_dev, about.st_ino)


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() makes two links to a photo one name


def _common(folders: Sequence[Path], option: str) -> str:
    try:
        return os.path.commonpath(folders)
    except ValueError:
        raise OptionError(f"{option} needs photos that lie on one drive; call mien once for each.") from None
