"""Journal of the images that ``mien data prepare`` has finished: a line of JSON per image, written after its crop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mien import files
from mien.datasets.pixels import checksum, collapse_grey, compute_hashes
from mien.datasets.sources import packed
from mien.errors import DataError, OptionError
from mien.files import appearing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mien.recognition.detection.detect import Detection

ARRAY = "crops.npy"


@dataclass(frozen=True)
class Settings:
    """How crops are made.

    Attributes:
        detector: its name.
        clahe: apply CLAHE with clip 2.0 and 8 × 8 tiles.
        size: side of a crop in pixels.
        keep_undetected: keep images without a detection whole.
        framed: crop as ``mien predict`` does with this detector: detected in colour, the detector's own margins, eyes
            level.
        interpolation: as in ``PreprocessSpec``.
        colour: RGB crops instead of grey ones.
        store: ``png`` writes one file per crop to ``crops/``, ``array`` writes all to ``crops.npy``.
    """

    detector: str
    clahe: bool = True
    size: int = 48
    keep_undetected: bool = False
    framed: bool = False
    interpolation: Literal["area", "bicubic", "bilinear"] = "bicubic"
    colour: bool = False
    store: Literal["png", "array"] = "png"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a crop: (size, size) grey or (size, size, 3) RGB."""
        return (self.size, self.size, 3) if self.colour else (self.size, self.size)


class Journal:
    """The crops of a folder, by the checksum of the image they were cut from; used in ``with``, it accepts more.

    Attributes:
        done: checksum → box, score, landmarks, and for a kept crop its member, checksum and perceptual hash.

    Raises:
        OptionError: the folder holds crops made with other settings.
        DataError: the folder is damaged.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.path = folder, folder / "journal.jsonl"
        self.done: dict[str, dict[str, Any]] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = list(self._read_lines())
        if lines and {**asdict(Settings(settings.detector)), **lines[0]} != asdict(settings):
            raise OptionError(
                f"{folder} holds crops made with {lines[0]}; this run asks for {asdict(settings)}. "
                "Give the same options, or another folder with --out."
            )
        self.done = {line["sha256"]: line for line in lines[1:]}
        self._settings, self._empty = settings, not lines

    def __enter__(self) -> Journal:
        self._array = self._open_array() if self._settings.store == "array" else None
        self._file = self.path.open("a", encoding="utf-8")
        if self._empty:
            self._write(asdict(self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._array is not None:
            self._array.close()

    def add(self, name: str, face: Detection | None, crop: NDArray[np.uint8] | None) -> None:
        """Write the crop of the image ``name``, then its line."""
        entry: dict[str, Any] = {"sha256": name, "box": None, "score": 0.0, "landmarks": None}
        if face is not None:
            entry |= {"box": face.box.to_dict(), "score": face.score, "landmarks": face.landmarks}
        if crop is not None:
            entry |= self._save_crop(name, crop)
        self.done[name] = entry
        self._write(entry)

    def _save_crop(self, name: str, crop: NDArray[np.uint8]) -> dict[str, Any]:
        if self._array is not None:
            member = f"{ARRAY}:{self._array.add(crop)}"
        else:
            crop = collapse_grey(crop)  # as it will be decoded
            member = f"{name[:2]}/{name[:32]}.png"
            _save_png(crop, self.folder / "crops" / member)
        return {"member": member, "crop": checksum(crop), "phash": int(compute_hashes([crop])[0])}

    def _open_array(self) -> packed.Writer:
        kept = sum("member" in entry for entry in self.done.values())
        path = self.folder / ARRAY
        if kept and not path.exists():
            raise DataError(f"{path} is missing, but {self.path} lists {kept} crops in it. Delete the folder.")
        return packed.Writer(path, self._settings.shape, kept)

    def _write(self, value: dict[str, Any]) -> None:
        self._file.write(json.dumps(value) + "\n")
        self._file.flush()

    def _read_lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):  # a run was interrupted in the middle of a line
            files.write(self.path, whole)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise DataError(f"{self.path}:{number} is not a journal entry: {error}. Delete the folder.") from error


def _save_png(crop: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as draft:
        Image.fromarray(crop).save(draft, "PNG")
