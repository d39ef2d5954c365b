"""Generated films with known answers: faces on known paths, known times, known emotions, a sound track."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 320, 240
TICK, PAL = Fraction(1, 1000), Fraction(1, 25)
KDEF = {"happy": "happiness", "sad": "sadness"}  # its folders' names for our labels


def head(examples: Path, *, mirrored: bool = False, tint: tuple[float, float, float] = (1, 1, 1)) -> Pixels:
    """Return the astronaut's head, uint8 (150, 120, 3); tinted and mirrored it can be told apart by eye."""
    with Image.open(examples / "astronaut.jpg") as photo:
        crop = np.asarray(photo.convert("RGB"))[45:195, 165:285]
    crop = crop[:, ::-1] if mirrored else crop
    tinted: Pixels = np.clip(crop * np.array(tint), 0, 255).astype(np.uint8)
    return tinted


@dataclass(frozen=True)
class Actor:
    """A face on a path.

    place: seconds → centre x and y in pixels, or None while it is not in the picture.
    look:  seconds → the face, uint8 (H, W, 3).
    size:  seconds → width in pixels.
    """

    place: Callable[[float], tuple[float, float] | None]
    look: Callable[[float], Pixels]
    size: Callable[[float], float] = lambda _: 80.0


def vary(seconds: float, count: int = 1) -> list[float]:
    """Return times of a variable frame rate from 0 to ``seconds``: steps of 20 to 80 ms, on whole milliseconds."""
    steps = np.random.default_rng(count).integers(20, 81, round(seconds / 0.05 * 2))
    times = np.concatenate([[0], np.cumsum(steps)]) / 1000
    return [float(time) for time in times if time < seconds]


def scene(actors: Sequence[Actor], times: Iterable[float], *, shake: float = 0.0, seed: int = 0) -> Iterator[Pixels]:
    """Yield a picture for each time: the actors before a soft background, later ones in front.

    shake: strength of what disturbs single frames, from 0 to 1: light, noise, motion blur, turns, things before faces.
    """
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    backdrop = np.stack([90 + x / 8, 110 + y / 8, 130 - x / 16], axis=2)
    for time in times:
        picture = backdrop.copy()
        for actor in actors:
            place = actor.place(time)
            if place is not None:
                _paste(picture, actor.look(time), place, actor.size(time), draw=draw, shake=shake)
        picture += draw.normal(0, 1 + 8 * shake, picture.shape)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def _paste(
    picture: NDArray[Any],
    look: Pixels,
    place: tuple[float, float],
    width: float,
    *,
    draw: np.random.Generator,
    shake: float,
) -> None:
    height = width * look.shape[0] / look.shape[1]
    size = round(width), round(height)
    face: np.ndarray = cv2.resize(look, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    if shake:
        face = face * (1 + shake * draw.uniform(-0.5, 0.5)) + shake * draw.uniform(-40, 40)
        blur = 1 + 2 * int(draw.integers(0, 1 + round(3 * shake)))
        face = cv2.blur(face, (blur, 1)) if draw.random() < 0.5 else cv2.blur(face, (1, blur))
        if draw.random() < 0.3 * shake:  # a hand, a microphone, hair
            side, at = draw.integers(0, 2), draw.uniform(0.1, 0.6)
            band = [slice(None), slice(None)]
            band[side] = slice(round(at * face.shape[side]), round((at + 0.3) * face.shape[side]))
            face[tuple(band)] = draw.uniform(60, 190, 3)
        turn = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), shake * draw.uniform(-15, 15), 1.0)
        face = cv2.warpAffine(face, turn, size, borderMode=cv2.BORDER_REPLICATE)
    mask = np.zeros(size[::-1])
    cv2.ellipse(mask, (size[0] // 2, size[1] // 2), (size[0] // 2 - 3, size[1] // 2 - 3), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (7, 7), 0)[..., None]
    left, top = round(place[0] - size[0] / 2), round(place[1] - size[1] / 2)
    rows, columns = slice(max(top, 0), max(top + size[1], 0)), slice(max(left, 0), max(left + size[0], 0))
    under = picture[rows, columns]
    first = max(-top, 0), max(-left, 0)
    cut = slice(first[0], first[0] + under.shape[0]), slice(first[1], first[1] + under.shape[1])
    picture[rows, columns] = under * (1 - mask[cut]) + face[cut] * mask[cut]


CROSSING = 3.0
"""Seconds of the film in which two faces cross, and a third leaves for a while."""


def cast(examples: Path) -> list[Actor]:
    """Return who plays in that film."""
    one, two = head(examples), head(examples, mirrored=True, tint=(1, 0.85, 0.8))
    three = head(examples, tint=(0.85, 0.9, 1))
    return [
        Actor(lambda t: (60 + 65 * t, 150), lambda t: one, lambda t: 72),
        Actor(lambda t: (255 - 65 * t, 165), lambda t: two, lambda t: 66),
        Actor(lambda t: (160 + 20 * t, 50) if not 1.2 < t < 1.6 else None, lambda t: three, lambda t: 60),
    ]


def write_crossing(examples: Path, path: Path) -> Path:
    """Write that film, frames at ``vary(CROSSING)``."""
    times = vary(CROSSING)
    return write(path, scene(cast(examples), times), times)


def write(
    path: Path,
    pictures: Iterable[Pixels],
    times: Iterable[float],
    *,
    sound: bool = True,
    voice: str = "aac",
    rotation: int = 0,
    matrix: tuple[int, int, int, int] | None = None,
    aspect: Fraction | None = None,
    tick: Fraction = TICK,
    offset: float = 0.0,
    quality: int = 12,
) -> Path:
    """Write an H.264 film whose frames have exactly these ``times`` (plus ``offset``), and a tone as long as it.

    voice:   codec of the tone.
    matrix:  a, b, c, d of the display matrix, each 1, 0 or -1.  aspect: width by height of a pixel.
    quality: x264's rate factor; 12 keeps nearly every grain, 23 is what films have.
    """
    import av

    with av.open(str(path), "w") as container:
        track: Any = None
        heard: Any = container.add_stream(voice, rate=16000, layout="mono") if sound else None
        if voice.startswith("wma"):
            heard.bit_rate = 64_000  # it has no default
        last = 0.0
        for picture, time in zip(pictures, times, strict=True):
            if track is None:
                codec = "libvpx" if path.suffix == ".webm" else "libx264"
                options = {"preset": "ultrafast", "crf": str(quality)} if codec == "libx264" else {"crf": str(quality)}
                track = container.add_stream(codec, rate=30, options=options)
                track.height, track.width, track.pix_fmt = *picture.shape[:2], "yuv420p"
                track.codec_context.time_base = tick
                track.gop_size = 30
                if rotation:
                    track.set_display_rotation(rotation)
                if matrix is not None:
                    a, b, c, d = (value * 65536 for value in matrix)
                    track.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
                if aspect is not None:
                    track.codec_context.sample_aspect_ratio = aspect
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round((time + offset) / tick), tick
            container.mux(track.encode(frame))
            last = time
        container.mux(track.encode())
        for packet in _tone(heard, last, offset) if heard else ():
            container.mux(packet)
    return path


def write_reordered(path: Path, pictures: Iterable[Pixels]) -> Path:
    """Write H.264 with B-frames at 25 frames a second; ``.avi`` keeps the order of decoding, and no time stamps."""
    import av

    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "bf": "2", "b-adapt": "0"}
        track = container.add_stream("libx264", rate=25, options=options)
        for picture in pictures:
            if not track.codec_context.is_open:
                track.height, track.width, track.pix_fmt = *picture.shape[:2], "yuv420p"
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(track.encode())
    return path


def _tone(voice: Any, seconds: float, offset: float) -> Iterator[Any]:
    import av

    samples = np.sin(np.arange(round((seconds + 0.1) * 16000)) * 2 * np.pi * 440 / 16000) * 8000
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024].astype(np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, start + round(offset * 16000), Fraction(1, 16000)
        yield from voice.encode(frame)
    yield from voice.encode(None)


def faces_of_kdef(archive: Path, people: Sequence[str]) -> dict[str, dict[str, Pixels]]:
    """Return person → emotion → photo, uint8 (350, 350, 3), of those who have all seven; ``people`` such as AF01."""
    found: dict[str, dict[str, Pixels]] = {person: {} for person in people}
    with zipfile.ZipFile(archive) as kdef:
        for name in kdef.namelist():
            person = Path(name).name[:4]
            if person in found:
                with Image.open(io.BytesIO(kdef.read(name))) as photo:
                    emotion = Path(name).parent.name
                    found[person][KDEF.get(emotion, emotion)] = np.asarray(photo.convert("RGB"))
    return {person: looks for person, looks in found.items() if len(looks) == 7}


def emotions(
    labels: Sequence[str], seed: int, *, spans: int = 7, least: float = 1.0, most: float = 3.0
) -> list[tuple[float, str]]:
    """Return (end in seconds, emotion) of consecutive spans, all emotions once before any comes again."""
    draw = np.random.default_rng(seed)
    order = [str(label) for _ in range(-(-spans // len(labels))) for label in draw.permutation(list(labels))]
    ends = np.cumsum(draw.uniform(least, most, spans))
    return [(float(end), label) for end, label in zip(ends, order, strict=False)]


def shown(script: Sequence[tuple[float, str]], seconds: float) -> str:
    """Return the emotion of the script at a time."""
    return next((label for end, label in script if seconds < end), script[-1][1])
