"""``mien data prepare``: system A's Algorithm 1 for a whole corpus: grey → CLAHE → face box → bicubic crop.

Division by 255 is left to ``preprocess``, which training and serving share. Finished crops are recorded in a journal,
line by line, so that an interrupted run resumes where it stopped and a second run repeats nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mien.datasets import landmarks
from mien.datasets.framing import frame
from mien.datasets.journal import ARRAY, Journal, Settings
from mien.datasets.manifest import Manifest, Sources
from mien.errors import DataError, OptionError
from mien.files import appearing
from mien.preprocess import PreprocessSpec, apply, equalise, grey, rgb
from mien.recognition.crop import CropSpec, cut
from mien.reporting import sheets
from mien.results import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mien.recognition.detection.detect import Detection, Detector

    Watch = Callable[[Iterable[Any]], Iterable[Any]]

UNDETECTED = "no_detection"
"""Flag of a row whose image was kept whole because no face was detected in it."""

BOX = CropSpec(scale=1.0, shift=0.0, align=False)
_SHOWN = 40
_TASK = 32


@dataclass(frozen=True)
class Prepared:
    """What was written.

    Attributes:
        manifest: the manifest of the crops.
        detected, undetected: number of rows with and without a detection.
        fresh: number of images processed in this run.
        sheet: a PNG with examples.
        listed: the CSV of rows without a detection.
    """

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
    colour: bool = False,
    store: Literal["png", "array"] = "png",
    workers: int = 1,
    watch: Watch | None = None,
) -> Prepared:
    """Write ``crops/`` or ``crops.npy``, ``manifest.parquet``, ``undetected.csv`` and ``sheet.png`` into ``out``.

    The crop is the square of the detector's largest box. Images without a detection are listed and left out, or with
    ``keep_undetected`` kept whole and flagged ``no_detection``. The manifest gets columns with the size of the box in
    the photo (``box_width``, ``box_height``) and, if the detector provides them, the landmarks in the crop
    (``right_eye_x`` and so on, see ``landmarks.py``); ``mien audit`` slices by them.

    Args:
        manifest: the images.
        out: the folder to write to.
        detector: finds the faces.
        clahe, size, keep_undetected, interpolation, store: as in ``Settings``.
        framed: crop as ``mien predict`` does, see ``framing.py``; needs ``clahe=False``, adds no landmark columns.
        colour: RGB crops; needs ``clahe=False``. The channel of grey images is repeated three times.
        workers: number of processes; the result does not depend on it.
        watch: wraps the iterable of images still to crop, for a progress bar.

    Raises:
        OptionError: ``out`` holds crops made with other settings, or ``framed`` or ``colour`` is combined with
            ``clahe``.
        DataError: a source has changed.
    """
    if framed and clahe:
        raise OptionError("framed = True needs clahe = False, because predict crops a face before equalising it.")
    if colour and clahe:
        raise OptionError("colour = True needs clahe = False, because CLAHE before detection is defined for grey only.")
    if workers < 1:
        raise OptionError(f"workers = {workers}: expected at least 1.")
    folder = Path(out)
    settings = Settings(detector.name, clahe, size, keep_undetected, framed, interpolation, colour, store)
    journal = Journal(folder, settings)
    checksums = manifest.array("sha256")
    todo = _pending_rows(checksums, journal)
    cropped = _crop_rows(manifest, todo, detector, settings, workers)
    with journal, closing(cropped):
        for row, (face, crop) in zip(watch(todo.tolist()) if watch else todo.tolist(), cropped, strict=True):
            journal.add(str(checksums[row]), face, crop)
    entries = [journal.done[name] for name in checksums.tolist()]
    detected = np.array([entry["box"] is not None for entry in entries], bool)
    listed = _write_list(manifest.where(~detected), folder / "undetected.csv")
    crops = _write_manifest(manifest, entries, detected, folder, settings)
    sheet = folder / "sheet.png"
    if len(todo) or not sheet.exists():
        sheets.save(_draw_sheet(manifest, entries, detected, settings), sheet)
    return Prepared(crops, int(detected.sum()), int((~detected).sum()), len(todo), sheet, listed)


def to_equalised_grey(image: NDArray[np.uint8], *, clahe: bool) -> NDArray[np.uint8]:
    """Convert to luminance grey, uint8 (H, W), then apply CLAHE (clip 2.0, tiles 8 × 8) if requested."""
    return equalise(grey(image), PreprocessSpec(clahe=clahe))


def _crop_image(
    image: NDArray[np.uint8], detector: Detector, settings: Settings
) -> tuple[Detection | None, NDArray[np.uint8] | None]:
    if settings.framed:
        framed = frame(image, detector)
        face, crop = framed.face, framed.crop  # converted to grey after alignment, as in serving
    else:
        face, crop = _crop_box(image, detector, settings)
    if face is None and not settings.keep_undetected:
        return None, None
    return face, _resize_crop(crop, settings)


def _crop_box(
    image: NDArray[np.uint8], detector: Detector, settings: Settings
) -> tuple[Detection | None, NDArray[np.uint8]]:
    flat = to_equalised_grey(image, clahe=settings.clahe)
    side = float(min(flat.shape))
    left, top = (flat.shape[1] - side) / 2, (flat.shape[0] - side) / 2
    # A corpus photo shows one person. False detections are small, but after CLAHE the cascade scores some of them high.
    face = max(
        detector.detect(rgb(flat)), key=lambda detection: detection.box.width * detection.box.height, default=None
    )
    crop = cut(image if settings.colour else flat, face.box if face else Box(left, top, side, side), None, BOX)
    return face, crop


def _resize_crop(crop: NDArray[np.uint8], settings: Settings) -> NDArray[np.uint8]:
    spec = PreprocessSpec(
        grey=not settings.colour,
        channels=3 if settings.colour else 1,
        size=settings.size,
        interpolation=settings.interpolation,
        scale=1.0,
        standardise="none",
    )
    planes = apply([crop], spec)[0].astype(np.uint8)
    return np.ascontiguousarray(planes.transpose(1, 2, 0)) if settings.colour else planes[0]


def _pending_rows(checksums: NDArray[np.str_], journal: Journal) -> NDArray[np.intp]:
    """Return the rows still to crop, only the first of equal images."""
    first = np.sort(np.unique(checksums, return_index=True)[1])
    return first[[name not in journal.done for name in checksums[first].tolist()]]


_Crop = tuple["Detection | None", "NDArray[np.uint8] | None"]


class _Cropper:
    """Reads and crops rows of a manifest; sources stay open between calls."""

    def __init__(self, manifest: Manifest, detector: Detector, settings: Settings) -> None:
        self._read, self._detector, self._settings = Sources(manifest), detector, settings

    def __call__(self, names: list[tuple[str, str]]) -> list[_Crop]:
        return [_crop_image(self._read(source, member), self._detector, self._settings) for source, member in names]

    def close(self) -> None:
        self._read.close()


_cropper: _Cropper | None = None
"""The cropper of a worker process."""


def _start_worker(manifest: Manifest, detector: Detector, settings: Settings) -> None:
    import cv2

    global _cropper  # noqa: PLW0603 - the only way to pass objects from a pool's initializer to its tasks
    cv2.setNumThreads(1)
    _cropper = _Cropper(manifest, detector, settings)


def _run_task(names: list[tuple[str, str]]) -> list[_Crop]:
    if _cropper is None:
        raise RuntimeError("_start_worker must initialise the pool that runs _run_task")
    return _cropper(names)


def _crop_rows(
    manifest: Manifest, rows: NDArray[np.intp], detector: Detector, settings: Settings, workers: int
) -> Generator[_Crop]:
    """Yield the detection and crop of each row, in order."""
    part = manifest.take(rows)
    names = list(zip(part.column("source"), part.column("member"), strict=True))
    tasks = [names[start : start + _TASK] for start in range(0, len(names), _TASK)]
    if workers == 1 or len(tasks) < 2:
        with closing(_Cropper(manifest, detector, settings)) as crop:
            for task in tasks:
                yield from crop(task)
        return
    given = (manifest.take([]), detector, settings)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, given) as pool:
        yield from chain.from_iterable(_map_in_order(pool, tasks, 4 * workers))


def _map_in_order(pool: ProcessPoolExecutor, tasks: list[list[tuple[str, str]]], ahead: int) -> Iterator[list[_Crop]]:
    """Yield the tasks' results in order, with at most ``ahead`` tasks pending."""
    pending: deque[Future[list[_Crop]]] = deque()
    for task in tasks:
        if len(pending) == ahead:
            yield pending.popleft().result()
        pending.append(pool.submit(_run_task, task))
    while pending:
        yield pending.popleft().result()


def _write_manifest(
    manifest: Manifest, entries: list[dict[str, Any]], detected: NDArray[np.bool_], folder: Path, settings: Settings
) -> Path:
    kept = np.array(["member" in entry for entry in entries], bool)
    if not kept.any():
        raise DataError(f"No face was detected in any of {len(entries)} images; try another --detector.")
    rows, chosen = manifest.where(kept), [entry for entry in entries if "member" in entry]
    size = settings.size
    old = rows.column("flags")
    flags = [
        row if seen else sorted({*row, UNDETECTED}) for row, seen in zip(old, detected[kept].tolist(), strict=True)
    ]
    path = ARRAY if settings.store == "array" else "crops"
    source = {"path": path, "reader": "prepare", "evidence": f"written by mien data prepare ({settings.detector})",
              "digest": "", "bytes": 0, "rows": len(rows)}  # fmt: skip
    made = (
        rows.with_column("source", [path] * len(rows), sources=[source], prepared=asdict(settings))
        .with_column("member", [entry["member"] for entry in chosen])
        .with_column("width", [size] * len(rows))
        .with_column("height", [size] * len(rows))
        .with_column("sha256", [entry["crop"] for entry in chosen])
        .with_column("phash", [entry["phash"] for entry in chosen])
        .with_column("flags", flags)
    )
    for name, values in _measure(chosen, settings).items():
        made = made.with_own(name, values)
    record = {**made.info["prepared"], "from": manifest.info.get("sources", []), "undetected": int((~detected).sum())}
    return Manifest(made.table, {**made.info, "prepared": record}, folder).write(folder / "manifest.parquet")


def _measure(entries: list[dict[str, Any]], settings: Settings) -> dict[str, list[float | None]]:
    """Return box sizes in pixels of the photos and landmarks in pixels of the crops; None where missing."""
    boxes = [entry["box"] for entry in entries]
    columns = {f"box_{name}": [box and box[name] for box in boxes] for name in ("width", "height")}
    points = [None if settings.framed else _landmarks_in_crop(entry, settings.size) for entry in entries]
    if any(coordinates is not None for coordinates in points):
        for index, name in enumerate(landmarks.COLUMNS):
            columns[name] = [None if coordinates is None else coordinates[index] for coordinates in points]
    return columns


def _landmarks_in_crop(entry: dict[str, Any], size: int) -> list[float] | None:
    box, points = entry["box"], entry.get("landmarks")  # journals of Mien 0.1.0 have no landmarks
    if not points:
        return None
    side = (box["width"] * box["height"]) ** 0.5
    corner = box["left"] + (box["width"] - side) / 2, box["top"] + (box["height"] - side) / 2
    return [(value - start) * size / side for point in points for value, start in zip(point, corner, strict=True)]


def _write_list(missing: Manifest, path: Path) -> Path:
    import csv

    with appearing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("id", "split", "label"))
        columns = (missing.array(name).tolist() for name in ("id", "split", "label"))
        table.writerows(zip(*columns, strict=True))
    return path


def _draw_sheet(
    manifest: Manifest, entries: list[dict[str, Any]], detected: NDArray[np.bool_], settings: Settings
) -> Any:
    draw = np.random.default_rng(0)
    groups = []
    for has_face, heading in ((True, "face found"), (False, "no face found")):
        rows = np.flatnonzero(detected == has_face)
        shown = np.sort(draw.choice(rows, min(_SHOWN, len(rows)), replace=False))
        labels = manifest.array("label")[shown].tolist()
        images = [to_equalised_grey(image, clahe=settings.clahe) for image in manifest.pixels(shown)]
        pictures = [_draw_box(image, entries[at]["box"]) for image, at in zip(images, shown, strict=True)]
        title = f"{heading} by {settings.detector}: {len(rows):,} of {len(detected):,} images; {len(shown)} shown"
        groups.append((title, list(zip(pictures, labels, strict=True))))
    return sheets.draw_sheet(groups)


def _draw_box(image: NDArray[np.uint8], box: dict[str, float] | None) -> NDArray[np.uint8]:
    """Scale an image to 192 pixels and draw the crop's square on it."""
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
