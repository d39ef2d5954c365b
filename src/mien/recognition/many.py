"""The results of several photos: a list that also is a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mien import tables
from mien.drawing import saving
from mien.results import ImageResult

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

    from mien.recognition.folder import Unreadable


class ImageResults(list[ImageResult]):
    """A list of results, in the order of the photos.

    Args:
        labels: class names, in the order of the model file.
        unreadable: the files of a folder that are no usable pictures, each with its reason.
    """

    def __init__(
        self, results: Iterable[ImageResult] = (), *, labels: Sequence[str] = (), unreadable: Iterable[Unreadable] = ()
    ) -> None:
        super().__init__(results)
        self.labels, self.unreadable = tuple(labels), tuple(unreadable)

    def to_json(self, indent: int | None = None) -> str:
        """Return the list that ``mien predict --format json`` writes: all photos, then the unreadable files."""
        entries = [entry.to_dict() for entry in (*self, *self.unreadable)]
        return json.dumps(entries, ensure_ascii=False, indent=indent)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a face of all photos, with the columns of the CSV output except ``error``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return tables.frame(self, self.labels)

    def save(self, path: str | PathLike[str]) -> None:
        """Write ``to_json`` into a file whose name ends in ``.json``.

        Raises:
            OptionError: another ending or where the file cannot be written.
            FileMissingError: the folder does not exist.
        """
        saving.check_ending(path, (".json",))
        saving.write(Path(path), (self.to_json(indent=2) + "\n").encode())
