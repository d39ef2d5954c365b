"""Draw the pictures of docs/gallery anew: what the commands write of a picture in the public domain.

    python scripts/gallery.py

Needs the extras train and video. The faces are those of examples/astronaut.jpg; curves and confusions are those of the
runs in docs/runs. Look at each picture before it is committed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import mien
from mien.evaluation.reports import plots
from mien.reporting import figures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "astronaut.jpg"
OUT = ROOT / "docs" / "gallery"
RUN = ROOT / "docs" / "runs" / "fer8"


def main() -> None:
    """Write all pictures."""
    OUT.mkdir(exist_ok=True)
    photo = np.asarray(Image.open(PHOTO).convert("RGB"))
    recognizer = mien.load()
    result = recognizer.predict(photo)
    save(result.draw(), "predict")
    save(result.draw(blur=True), "blur")
    save(worse(recognizer, photo), "worse")
    with tempfile.TemporaryDirectory() as folder:
        explain(Path(folder))
        film(Path(folder), photo)
    confusion = json.loads((RUN / "metrics.json").read_text(encoding="utf-8"))["private_test"]["confusion"]
    matrix = plots.draw_confusion(confusion, recognizer.labels, normalised=True)
    (OUT / "confusion.png").write_bytes(figures.render(matrix, "png"))


def save(picture: Image.Image, name: str) -> None:
    """Write a photo no wider than a page, without the metadata of the original."""
    picture.thumbnail((1100, 1100))
    picture.convert("RGB").save(OUT / f"{name}.jpg", quality=85, optimize=True)


def explain(folder: Path) -> None:
    """Keep the picture of ``mien explain``."""
    call("explain", PHOTO, "--classes", "top3", "--out", folder)
    (picture,) = folder.glob("*.png")
    save(Image.open(picture), "explain")


def film(folder: Path, photo: Pixels) -> None:
    """Keep the figure of ``mien video --summary`` and a frame of ``--annotated``."""
    source = folder / "film.mp4"
    write_film(source, photo)
    call(
        "video", source, "--summary", folder / "page", "--annotated", folder / "drawn.mp4", "--out", folder / "film.csv"
    )
    (timeline,) = (folder / "page").rglob("*.png")
    (OUT / "timeline.png").write_bytes(timeline.read_bytes())
    frames = [frame.pixels for frame in mien.Film(folder / "drawn.mp4")]
    save(Image.fromarray(np.vstack([frames[place] for place in (10, 60)])), "video")


def write_film(path: Path, photo: Pixels) -> None:
    """Write five seconds in which the photo gets darker, its mirror image beside it blurred, and both come back."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=20, options={"crf": "18"})
        track.width, track.height, track.pix_fmt = 640, 320, "yuv420p"
        for picture in scenes(photo):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(track.encode())


def scenes(photo: Pixels) -> Iterator[Pixels]:
    """Yield uint8 (320, 640, 3): the left face in failing light, the right one out of focus."""
    small = cv2.resize(photo[:400, 20:420], (320, 320), interpolation=cv2.INTER_AREA)
    for step in range(100):
        fade = np.sin(np.pi * step / 99)
        light = cv2.convertScaleAbs(small, alpha=1 - 0.85 * fade)
        focus = cv2.GaussianBlur(np.ascontiguousarray(small[:, ::-1]), (0, 0), 0.1 + 6 * fade)
        yield np.hstack([light, focus])


def worse(recognizer: mien.Recognizer, photo: Pixels) -> Image.Image:
    """Return the photo nine times, eight of them made worse, with what is read and which faces are called bad."""
    noise = np.random.default_rng(0).normal(0, 60, photo.shape)
    (face,) = recognizer.predict(photo).faces
    shown = {
        "as it is": photo,
        "dark": cv2.convertScaleAbs(photo, alpha=0.12),
        "noise": np.clip(photo + noise, 0, 255).astype(np.uint8),
        "blurred": cv2.GaussianBlur(photo, (0, 0), 7),
        "small": cv2.resize(photo, (104, 104), interpolation=cv2.INTER_AREA),
        "cut off": np.ascontiguousarray(photo[:, 228:]),
        "tilted": np.asarray(Image.fromarray(photo).rotate(60)),
        "sunglasses": covered(photo, face, -0.12, 0.12),
        "mask": covered(photo, face, 0.22, 0.75),
    }
    tiles = [tile(recognizer.predict(pixels), title) for title, pixels in shown.items()]
    rows = [np.hstack([np.asarray(each) for each in tiles[start : start + 3]]) for start in (0, 3, 6)]
    return Image.fromarray(np.vstack(rows))


def covered(photo: Pixels, face: mien.Face, top: float, bottom: float) -> Pixels:
    """Return a copy with a bar across the face, ``top`` to ``bottom`` box heights below the line of the eyes."""
    assert face.landmarks is not None
    (_, right), (_, left) = face.landmarks[:2]
    rows = [round((right + left) / 2 + share * face.box.height) for share in (top, bottom)]
    ends = [round(face.box.left), round(face.box.left + face.box.width)]
    bar = photo.copy()
    bar[rows[0] : rows[1], ends[0] : ends[1]] = (70, 90, 110)
    return bar


def tile(result: mien.ImageResult, title: str) -> Image.Image:
    """Return a square of 360 pixels: the picture, and two lines on what was read."""
    paper = Image.new("RGB", (360, 420), "white")
    picture = Image.fromarray(result.pixels)
    picture = picture.resize([round(side * 340 / max(picture.size)) for side in picture.size])
    paper.paste(picture, (10, 10))
    canvas = ImageDraw.Draw(paper)
    font = ImageFont.load_default(19)
    canvas.text((10, 358), f"{title}: {read(result)}", fill="black", font=font)
    reasons = ", ".join(result.faces[0].quality.reasons) if result.faces else ""
    canvas.text((10, 386), f"quality: {reasons or 'good'}" if result.faces else "", fill="black", font=font)
    return paper


def read(result: mien.ImageResult) -> str:
    """Return what is read of the first face, in words."""
    if not result.faces:
        return "no face found"
    face = result.faces[0]
    return f"{face.emotion}{'?' if face.uncertain else ''} {face.confidence:.0%}"


def call(*arguments: object) -> None:
    """Run ``mien`` as a reader would."""
    subprocess.run([sys.executable, "-m", "mien", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
