"""Small generated corpora in the layouts of the real ones."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from mien.datasets.faces import FaceSet
from mien.labels import CKPLUS, FER2013, KDEF, LabelSet

FOLDER_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
SPLITS = ("Training", "PublicTest", "PrivateTest")


def bars(per_class: dict[str, int], seed: int = 0, classes: LabelSet = FER2013) -> FaceSet:
    """Noise pictures whose class is the place of a bright bar, so that a network can learn it in seconds."""
    draw = np.random.default_rng(seed)
    pixels, labels, splits = [], [], []
    step = 42 // len(classes)
    for split, count in per_class.items():
        for label in range(len(classes)):
            for _ in range(count):
                image = draw.integers(0, 90, (48, 48))
                image[:, 4 + step * label : 3 + step * (label + 1)] += 150
                pixels.append(image.astype(np.uint8))
                labels.append(label)
                splits.append(split)
    ids = tuple(f"{split}_{number}" for number, split in enumerate(splits))
    return FaceSet(classes, np.stack(pixels), np.array(labels, np.int64), np.array(splits), ids)


def png(pixels: np.ndarray) -> bytes:
    """Encode without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def members(faces: FaceSet) -> dict[str, bytes]:
    """The faces as the Kaggle folders hold them: path → file content."""
    found = {}
    for number, (pixels, label, split) in enumerate(zip(faces.pixels, faces.labels, faces.splits, strict=True)):
        part = "train" if split == "Training" else "test"
        found[f"{part}/{FOLDER_NAMES[label]}/{split}_{number:05d}.png"] = png(pixels)
    return found


def write_zip(faces: FaceSet, path: Path) -> Path:
    """Write the folder layout as a zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members(faces).items():
            archive.writestr(name, content)
    return path


def write_folder(faces: FaceSet, path: Path) -> Path:
    """Write the folder layout."""
    for name, content in members(faces).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_csv(faces: FaceSet, path: Path, header: str = "emotion,pixels,Usage") -> Path:
    """Write the layout of the original fer2013.csv."""
    lines = [header]
    for pixels, label, split in zip(faces.pixels, faces.labels, faces.splits, strict=True):
        lines.append(f"{label},{' '.join(map(str, pixels.ravel().tolist()))},{split}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def face(seed: int, side: int = 48) -> np.ndarray:
    """A picture with structure at all scales, unlike the one of any other seed; uint8 (side, side)."""
    draw = np.random.default_rng(seed)
    picture = np.zeros((side, side))
    for size in (4, 8, 16):
        coarse = Image.fromarray(draw.normal(0, 1, (size, size)).astype(np.float32))
        picture += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    low, high = picture.min(), picture.max()
    drawn: np.ndarray = ((picture - low) / (high - low) * 215 + 20).astype(np.uint8)
    return drawn


def plant(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def pack_zip(path: Path, files: Mapping[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write files as a zip."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def pack_tar(path: Path, files: Mapping[str, bytes | str], mode: str = "w:gz") -> Path:
    """Write files as a tar."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return path


def peaks(people: int) -> dict[str, bytes | str]:
    """CK+48's layout: one picture of each of its seven expressions for each person."""
    faces = bars({"": people}, classes=CKPLUS)
    names = [f"CK+48/{word}/S{person:03}_001_00000017.png" for word in CKPLUS.labels for person in range(people)]
    return dict(zip(names, map(png, faces.pixels), strict=True))


def photographs(people: int, angles: tuple[str, ...] = ("S",)) -> dict[str, bytes | str]:
    """KDEF's layout: a photograph of each of its seven expressions from each angle for each person."""
    codes = ("AN", "DI", "AF", "HA", "NE", "SA", "SU")
    pictures = map(png, bars({"": people}, seed=1, classes=KDEF).pixels)
    stems = [f"KDEF/AF{person:02}/AF{person:02}{code}" for code in codes for person in range(people)]
    return {f"{stem}{angle}.png": picture for stem, picture in zip(stems, pictures, strict=True) for angle in angles}
