"""``mien data prepare``: system A's Algorithm 1, once for the whole corpus: grey → CLAHE → face box → bicubic crop.

Division by 255 is left to ``preprocess``, which training and serving share. What has been cropped is written to a
journal line by line, so that a run that was cut off goes on where it stopped, and a second run redoes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mien.datasets import landmarks, sheets
from mien.datasets.manifest import Manifest
from mien.datasets.pixels import checksum, hashes
from mien.errors import DataError, OptionError
from mien.preprocess import PreprocessSpec, apply, equalise, grey
from mien.recognition.crop import CropSpec, cut
from mien.results import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.detect import Detection, Detector

    Watch = Callable[[Iterable[Any]], Iterable[Any]]

UNDETECTED = "no_detection"
"""Flag of a row whose whole image was taken because no face was found in it."""

BOX = CropSpec(scale=1.0, shift=0.0, align=False)
_SHOWN = 40


@dataclass(frozen=True)
class Settings:
    """detector: its name.  clahe: clip 2.0, 8 × 8 tiles.  size: side of a crop.  keep_undetected: take whole images.

    framed: the crop is what ``mien predict`` shows a network with this detector: found in colour, the detector's own
    framing, eyes level.  interpolation: as in ``PreprocessSpec``.
    """

    detector: str
    clahe: bool = True
    size: int = 48
    keep_undetected: bool = False
    framed: bool = False
    interpolation: Literal["area", "bicubic", "bilinear"] = "bicubic"


@dataclass(frozen=True)
class Prepared:
    """manifest: of the crops.  detected, undetected: rows.  fresh: images looked at in this run.  sheet: PNG."""

    manifest: Path
    detected: int
    undetected: int
    fresh: int
    sheet: Path
    listed: Path


def prepare(
    manifest: Manifest,
    out: str | Path,
    detector: Detector,
    *,
    clahe: bool = True,
    size: int = 48,
    keep_undetected: bool = False,
    framed: bool = False,
    interpolation: Literal["area", "bicubic", "bilinear"] = "bicubic",
    watch: Watch | None = None,
) -> Prepared:
    """Write ``crops/``, ``manifest.parquet``, ``undetected.csv`` and ``sheet.png`` into the folder ``out``.

    The crop is the square of the detector's largest box. Images without a face are listed and left out, or with
    ``keep_undetected`` taken whole and flagged ``no_detection``. The manifest says in columns of its own how large the
    box was in the photo (``box_width``, ``box_height``), and where the landmarks are in the crop, if the detector
    gives any (``right_eye_x`` and so on, see ``landmarks.py``); ``mien audit`` slices by them.
    framed: crop as ``mien predict`` does, see ``Settings``; without ``clahe``, and without columns of landmarks.
    watch: wraps the iterable of images still to do, for a progress bar.
    Raises ``OptionError`` if ``out`` holds crops made with other settings or ``framed`` comes with ``clahe``,
    ``DataError`` if a source has changed.
    """
    if framed and clahe:
        raise OptionError("framed = True goes with clahe = False: a served face is cut out before it is equalised.")
    folder = Path(out)
    settings = Settings(detector.name, clahe, size, keep_undetected, framed, interpolation)
    journal = _Journal(folder, settings)
    checksums = manifest.array("sha256")
    todo = np.flatnonzero(np.array([name not in journal.done for name in checksums.tolist()], bool))
    with journal:
        for batch in manifest.take(todo).images(watch=watch):
            for name, image in zip(batch.rows.array("sha256").tolist(), batch.pixels, strict=True):
                if name not in journal.done:
                    journal.add(name, *_one(image, detector, settings))
    entries = [journal.done[name] for name in checksums.tolist()]
    found = np.array([entry["box"] is not None for entry in entries], bool)
    listed = _list(manifest.where(~found), folder / "undetected.csv")
    crops = _manifest(manifest, entries, found, folder, settings)
    sheet = folder / "sheet.png"
    if len(todo) or not sheet.exists():
        sheets.save(_sheet(manifest, entries, found, settings), sheet)
    return Prepared(crops, int(found.sum()), int((~found).sum()), len(todo), sheet, listed)


def equalised(image: NDArray[np.uint8], *, clahe: bool) -> NDArray[np.uint8]:
    """Return luminance grey, uint8 (H, W), after CLAHE (clip 2.0, tiles 8 × 8) if asked for."""
    return equalise(grey(image), PreprocessSpec(clahe=clahe))


def _one(
    image: NDArray[np.uint8], detector: Detector, settings: Settings
) -> tuple[Detection | None, NDArray[np.uint8] | None]:
    flat = equalised(image, clahe=settings.clahe)
    shown = image if settings.framed and image.ndim == 3 else np.repeat(flat[:, :, None], 3, axis=2)
    faces = detector.detect(shown)
    if not faces and not settings.keep_undetected:
        return None, None
    side = float(min(flat.shape))
    left, top = (flat.shape[1] - side) / 2, (flat.shape[0] - side) / 2
    # A corpus photo shows one person; false alarms are small, and CLAHE gives the cascade some with a good score.
    face = max(faces, key=lambda one: one.box.width * one.box.height, default=None)
    if face and settings.framed:
        crop = cut(image, face.box, face.landmarks, detector.crop)  # grey comes after turning, as when it is served
    else:
        crop = cut(flat, face.box if face else Box(left, top, side, side), None, BOX)
    spec = PreprocessSpec(size=settings.size, interpolation=settings.interpolation, scale=1.0, standardise="none")
    return face, apply([crop], spec)[0, 0].astype(np.uint8)


class _Journal:
    """Which images are done, by their checksum, with box and crop; a line is written after its crop is."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.path = folder, folder / "journal.jsonl"
        self.done: dict[str, dict[str, Any]] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = list(self._lines())
        if lines and {**asdict(Settings(settings.detector)), **lines[0]} != asdict(settings):
            raise OptionError(
                f"{folder} holds crops made with {lines[0]}; this run asks for {asdict(settings)}. "
                "Give the same options, or another folder with --out."
            )
        self.done = {line["sha256"]: line for line in lines[1:]}
        self._settings, self._empty = settings, not lines

    def __enter__(self) -> _Journal:
        kept = [self._settings] if self._empty else []
        self._file = self.path.open("a", encoding="utf-8")
        for each in kept:
            self._write(asdict(each))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, name: str, face: Detection | None, crop: NDArray[np.uint8] | None) -> None:
        """Write the crop of the image ``name``, then its line."""
        entry: dict[str, Any] = {"sha256": name, "box": None, "score": 0.0, "landmarks": None}
        if face is not None:
            entry |= {"box": face.box.to_dict(), "score": face.score, "landmarks": face.landmarks}
        if crop is not None:
            from PIL import Image

            member = f"{name[:2]}/{name[:32]}.png"
            place = self.folder / "crops" / member
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop).save(place)
            entry |= {"member": member, "crop": checksum(crop), "phash": int(hashes([crop])[0])}
        self.done[name] = entry
        self._write(entry)

    def _write(self, value: dict[str, Any]) -> None:
        self._file.write(json.dumps(value) + "\n")
        self._file.flush()

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):  # a run was cut off in the middle of a line
            self.path.write_bytes(whole)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise DataError(f"{self.path}:{number} is no journal entry: {error}. Delete the folder.") from error


def _manifest(
    manifest: Manifest, entries: list[dict[str, Any]], found: NDArray[np.bool_], folder: Path, settings: Settings
) -> Path:
    kept = np.array(["member" in entry for entry in entries], bool)
    if not kept.any():
        raise DataError(f"No face was found in any of {len(entries)} images; try another --detector.")
    rows, chosen = manifest.where(kept), [entry for entry in entries if "member" in entry]
    size = settings.size
    old = rows.column("flags")
    flags = [
        each if seen else sorted({*each, UNDETECTED}) for each, seen in zip(old, found[kept].tolist(), strict=True)
    ]
    source = {"path": "crops", "reader": "prepare", "evidence": f"written by mien data prepare ({settings.detector})",
              "digest": "", "bytes": 0, "rows": len(rows)}  # fmt: skip
    made = (
        rows.with_column("source", ["crops"] * len(rows), sources=[source], prepared=asdict(settings))
        .with_column("member", [entry["member"] for entry in chosen])
        .with_column("width", [size] * len(rows))
        .with_column("height", [size] * len(rows))
        .with_column("sha256", [entry["crop"] for entry in chosen])
        .with_column("phash", [entry["phash"] for entry in chosen])
        .with_column("flags", flags)
    )
    for name, values in _measured(chosen, settings).items():
        made = made.with_own(name, values)
    record = {**made.info["prepared"], "from": manifest.info.get("sources", []), "undetected": int((~found).sum())}
    return Manifest(made.table, {**made.info, "prepared": record}, folder).write(folder / "manifest.parquet")


def _measured(entries: list[dict[str, Any]], settings: Settings) -> dict[str, list[float | None]]:
    """Return the boxes' sizes in pixels of the photos, and the landmarks in pixels of the crops; None if none."""
    boxes = [entry["box"] for entry in entries]
    found = {f"box_{name}": [box and box[name] for box in boxes] for name in ("width", "height")}
    points = [None if settings.framed else _in_crop(entry, settings.size) for entry in entries]
    if any(each is not None for each in points):
        for place, name in enumerate(landmarks.COLUMNS):
            found[name] = [None if each is None else each[place] for each in points]
    return found


def _in_crop(entry: dict[str, Any], size: int) -> list[float] | None:
    box, points = entry["box"], entry.get("landmarks")  # journals of Mien 0.1.0 have no landmarks
    if not points:
        return None
    side = (box["width"] * box["height"]) ** 0.5
    corner = box["left"] + (box["width"] - side) / 2, box["top"] + (box["height"] - side) / 2
    return [(value - start) * size / side for point in points for value, start in zip(point, corner, strict=True)]


def _list(missing: Manifest, path: Path) -> Path:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("id", "split", "label"))
        columns = (missing.array(name).tolist() for name in ("id", "split", "label"))
        table.writerows(zip(*columns, strict=True))
    return path


def _sheet(manifest: Manifest, entries: list[dict[str, Any]], found: NDArray[np.bool_], settings: Settings) -> Any:
    draw = np.random.default_rng(0)
    groups = []
    for seen, heading in ((True, "face found"), (False, "no face found")):
        places = np.flatnonzero(found == seen)
        shown = np.sort(draw.choice(places, min(_SHOWN, len(places)), replace=False))
        labels = manifest.array("label")[shown].tolist()
        images = [equalised(image, clahe=settings.clahe) for image in manifest.pixels(shown)]
        pictures = [_boxed(image, entries[at]["box"]) for image, at in zip(images, shown, strict=True)]
        told = f"{heading} by {settings.detector}: {len(places):,} of {len(found):,} images; {len(shown)} shown"
        groups.append((told, list(zip(pictures, labels, strict=True))))
    return sheets.sheet(groups)


def _boxed(image: NDArray[np.uint8], box: dict[str, float] | None) -> NDArray[np.uint8]:
    """Return the image at 192 pixels with the square that is cropped drawn into it."""
    from PIL import Image, ImageDraw

    factor = 192 / max(image.shape)
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    picture = Image.fromarray(image).convert("RGB").resize(size)
    if box:
        side = (box["width"] * box["height"]) ** 0.5
        left, top = box["left"] + (box["width"] - side) / 2, box["top"] + (box["height"] - side) / 2
        corners = [value * factor for value in (left, top, left + side, top + side)]
        ImageDraw.Draw(picture).rectangle(corners, outline="#E69F00", width=5)
    return np.asarray(picture, np.uint8)
