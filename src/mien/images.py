"""Path, bytes, file, PIL image or array → upright RGB pixels: the only door by which pixels come in.

Pillow decodes; this module adds the limits (no decompression bombs, nothing truncated) and one meaning for every
colour mode, so that a picture gives the same pixels whichever way it is handed over.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, Union, cast

import numpy as np

from mien.containers import SLIM, Metered, check_plain, check_tiff, check_tiff_pixels
from mien.errors import FileMissingError, ImageError, OutOfMemoryError, install_command
from mien.formats import PREFIX, Format, recognise

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image as PILImage

ImageInput: TypeAlias = Union["str | PathLike[str] | bytes | IO[bytes] | PILImage.Image", "NDArray[np.uint8]"]
"""What ``load`` takes: path, encoded bytes, binary file, PIL image, uint8 (H, W, 3) RGB or (H, W) grey array."""

MAX_PIXELS = 100_000_000
"""Default limit on width × height: 300 MB as RGB."""

# All that Pillow's readers are known to raise on damaged files; UserWarning where warnings are made errors.
_DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, struct.error, EOFError, TypeError, IndexError, KeyError, OverflowError,
    zlib.error, ZeroDivisionError, AttributeError, RuntimeError, UserWarning,
)  # fmt: skip

# EXIF orientation → the view of upright pixels (H, W, 3) in which they lie as the file stores them.
_STORED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}

_BAND = 500_000
"""Pixels that are converted at a time."""

_warnings_lock = threading.Lock()


def load(image: ImageInput, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return ``image`` as uint8 (H, W, 3) RGB, C-contiguous, upright (EXIF orientation applied), in memory of its own.

    Transparency is laid over white, of an animation the first frame is taken, 16-bit values are scaled from
    0–65535 to 0–255. The size is read from the header, so that more than ``max_pixels`` is refused before
    anything is decoded.

    Raises:
        FileMissingError: a path that does not exist.
        ImageError: everything else that is no whole picture: another type, dtype or shape, a folder, no permission, an
            unknown format, a truncated file.
        OutOfMemoryError: memory does not suffice.
    """
    from PIL import Image

    if isinstance(image, np.ndarray):
        return _from_array(image, max_pixels)
    if isinstance(image, Image.Image):
        return _from_pil(image, "PIL image", max_pixels)
    if isinstance(image, (str, PathLike)):
        return _from_path(image, max_pixels)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _from_file(io.BytesIO(image), f"{len(image)} bytes", max_pixels)
    if hasattr(image, "read") and not isinstance(image, io.TextIOBase):
        return _from_file(image, f"file {_short(str(getattr(image, 'name', image)))}", max_pixels)
    raise ImageError(
        f"Got {type(image).__module__}.{type(image).__qualname__}: expected a path, bytes, a file opened with 'rb', "
        "a PIL image or a uint8 array (H, W, 3) RGB or (H, W) grey. Turn a tensor into an array first."
    )


def load_partly(image: ImageInput, *, max_pixels: int = MAX_PIXELS) -> tuple[NDArray[np.uint8], bool]:
    """Do what ``load`` does, but for a JPEG file that is cut off return what it holds, and whether it was cut off.

    What is missing, below, is grey. A file that ends before its first row is refused all the same. Raises as ``load``.
    """
    try:
        return load(image, max_pixels=max_pixels), False
    except ImageError as error:
        content = _bytes_again(image)
        if not content.startswith(b"\xff\xd8\xff"):
            raise
        try:
            # With a file's end mark libjpeg fills what is missing; Pillow's own switch for that is the whole process's.
            return load(content + b"\xff\xd9", max_pixels=max_pixels), True
        except ImageError:
            raise error from None


def _bytes_again(image: ImageInput) -> bytes:
    """Return the bytes of an image that was given encoded and can be read a second time; none of another."""
    if isinstance(image, (str, PathLike)):
        return Path(image).read_bytes() if os.path.isfile(image) else b""  # noqa: PTH113 - as above
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, io.IOBase) and image.seekable():
        image.seek(0)
        return bytes(image.read())
    return b""


def warm_up() -> None:
    """Load OpenCV, Pillow and its JPEG reader, so that the first picture does not have to."""
    import cv2  # noqa: F401
    from PIL import JpegImagePlugin  # noqa: F401


def source_name(image: ImageInput) -> str | None:
    """Return the path that ``image`` was given as, or None where it is not a path."""
    return fspath(image) if isinstance(image, (str, PathLike)) else None


def _from_path(path: str | PathLike[str], max_pixels: int) -> NDArray[np.uint8]:
    name = _short(fspath(path))
    try:
        _check_regular(path, name)
        file = Path(path).open("rb")  # noqa: SIM115 - closed below; here only opening may fail
    except (FileNotFoundError, NotADirectoryError):
        raise FileMissingError(f"No such picture: {name!r}. Check the path.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "strerror", None) or _short(str(error))
        raise ImageError(f"Cannot open {name!r}: {reason}. Expected a readable picture file.") from None
    with file:
        return _from_file(file, repr(name), max_pixels)


def _check_regular(path: str | PathLike[str], name: str) -> None:
    """Refuse what is no file before it is opened: a pipe would wait for its writer, a device may never end.

    A pipe that the shell made for this process, such as ``<(command)``, is somebody's answer and is read.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 - pathlib raises for names too long to exist
    if stat.S_ISDIR(mode):
        os.scandir(path).close()
        raise ImageError(
            f"{name!r} is a folder: expected one picture. Give the folder to predict, in Python or as "
            "`mien predict FOLDER`."
        )
    if not stat.S_ISREG(mode) and not fspath(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/")):
        raise ImageError(
            f"{name!r} is a {_special(mode)}, which is not opened: expected a file. To read one photo from it: "
            "mien predict - < FILE"
        )


def _special(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))
    return next((word for test, word in kinds if test(mode)), "special file")


def _from_file(file: IO[bytes], name: str, max_pixels: int) -> NDArray[np.uint8]:
    try:
        picture = _open(file, name)
    except ImageError:
        raise
    except MemoryError:
        raise _out_of_memory(name) from None
    except _decode_errors() as error:
        _check_memory(error, name)
        reason = _short(str(error)).rstrip(".") or type(error).__name__
        raise ImageError(
            f"{name} cannot be read as a picture: {reason}. Expected a whole, undamaged picture file opened with 'rb'."
        ) from None
    # Not `with picture`: that would close the caller's file.
    return _from_pil(picture, name, max_pixels)


def _decode_errors() -> tuple[type[Exception], ...]:
    """Return all that Pillow's readers raise; some of them check a size against Pillow's own limit, which is larger."""
    from PIL.Image import DecompressionBombError

    return (*_DECODE_ERRORS, DecompressionBombError)


def _open(file: IO[bytes], name: str) -> PILImage.Image:
    """Read the header only."""
    file = file if hasattr(file, "seekable") and file.seekable() else io.BytesIO(file.read())
    file.seek(0)
    prefix = file.read(PREFIX)
    file.seek(0)
    reader = reader_of(recognise(prefix), name, empty=not prefix)
    try:
        return _opened(file, prefix, name, reader)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None


def _opened(file: IO[bytes], prefix: bytes, name: str, reader: Callable[[IO[bytes]], PILImage.Image]) -> PILImage.Image:
    """Let Pillow read a header whose size is bounded."""
    slim = next((slim for start, slim in SLIM.items() if prefix.startswith(start)), None)
    if slim is not None:  # nothing is left in them of which Pillow warns
        return reader(io.BytesIO(slim(file.read())))
    tiff = prefix[:2] in (b"II", b"MM")
    if tiff:
        check_tiff(file)
    elif prefix[:2] in (b"P1", b"P2", b"P3"):
        check_plain(file)
    metered = Metered(file)
    with _silenced():
        picture = reader(cast("IO[bytes]", metered))
        if tiff:
            _read_tags(picture)
    metered.expect_pixels(name)
    return picture


def reader_of(kind: Format | None, name: str, *, empty: bool) -> Callable[[IO[bytes]], PILImage.Image]:
    """Return what opens a picture of this kind.

    Raises:
        ImageError: Mien does not read it.
    """
    from importlib import import_module

    if kind is None:
        given = "is empty (0 bytes)" if empty else "is not a picture in a known format"
        raise ImageError(
            f"{name} {given}: expected JPEG, PNG, WebP, AVIF, HEIC, GIF, TIFF, BMP or PPM. Convert it, or check that "
            "the download is complete."
        )
    if kind.reader is None:
        advice = kind.advice.replace("FILE", name) if name.startswith("'") else kind.advice
        raise ImageError(f"{name} is a {kind.name} file, which is not read. {advice}")
    try:
        module = import_module(kind.reader[0])
    except ImportError:
        raise ImageError(
            f"{name} is a {kind.name} picture, which the base install does not read. Run: {install_command(kind.extra)}"
        ) from None
    return getattr(module, kind.reader[1])  # type: ignore[no-any-return]


def _read_tags(picture: PILImage.Image) -> None:
    """Have all tags read now, where warnings are silenced; Pillow would read them while it decodes."""
    exif = picture.getexif()
    for tag in (0x8769, 0x8825, 0xA005):  # Exif, GPS and interoperability
        if tag in exif:
            exif.get_ifd(tag)


def _from_pil(picture: PILImage.Image, name: str, max_pixels: int) -> NDArray[np.uint8]:
    check_size(picture.width, picture.height, name, max_pixels)
    if picture.format == "TIFF":
        check_tiff_pixels(picture, name)
    try:
        picture.load()
        return _pixels(picture, name)
    except ImageError:
        raise
    except MemoryError:
        raise _out_of_memory(f"{name}, {picture.width}×{picture.height} pixels") from None
    except _decode_errors() as error:
        _check_memory(error, name)
        raise ImageError(
            f"{name} ({picture.format}, {picture.width}×{picture.height}, mode {picture.mode}) is damaged or cut off: "
            f"{_short(str(error))}. Expected a whole picture; get the file again."
        ) from None


def _check_memory(error: Exception, what: str) -> None:
    """Raise ``OutOfMemoryError`` if a decoder says that memory lacks, which libavif does with a ``RuntimeError``."""
    if isinstance(error, RuntimeError) and "out of memory" in str(error).lower():
        raise _out_of_memory(what) from None


def _out_of_memory(what: str) -> OutOfMemoryError:
    return OutOfMemoryError(f"No memory left to decode {what}. Read fewer pictures at once, or lower max_pixels.")


def _pixels(picture: PILImage.Image, name: str) -> NDArray[np.uint8]:
    """Return the upright pixels of a decoded picture.

    Converted and turned band by band into the array that is returned, so that a photo takes the decoded picture and
    that array at most, 7 bytes a pixel; whole copies on the way took 16 to 28.
    """
    width, height = picture.size
    orientation = _orientation(picture)
    pixels = np.empty((width, height, 3) if orientation > 4 else (height, width, 3), np.uint8)
    stored = _STORED[orientation](pixels)
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        whole = rows >= height
        band = picture if whole else picture.crop((0, top, width, min(top + rows, height)))
        stored[top : top + rows] = np.asarray(_rgb(band, name))
    return pixels


def check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    """Raise ``ImageError`` for a picture without pixels or with more than ``max_pixels``."""
    if width < 1 or height < 1:
        raise ImageError(f"{name} is {width}×{height} pixels: expected at least 1×1.")
    if width * height > max_pixels:
        raise ImageError(
            f"{name} is {width}×{height} = {width * height} pixels: expected at most {max_pixels}. "
            "Shrink it, or raise max_pixels if the memory is there."
        )


def _rgb(picture: PILImage.Image, name: str) -> PILImage.Image:
    if picture.mode.startswith("I"):
        return _from_16_bit(picture, name)
    if picture.mode == "F":
        raise ImageError(f"{name} holds floating-point values, whose range is unknown. Scale it to 8 bits first.")
    if picture.mode in ("P", "PA") and picture.palette is None:  # Pillow asserts that there is one
        raise ImageError(f"{name} has no palette for its pixels. Expected a whole picture; get the file again.")
    if picture.mode == "La":
        picture = picture.convert("LA")
    if not picture.has_transparency_data:
        # Pillow would copy what is RGB already.
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    from PIL import Image

    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _from_16_bit(picture: PILImage.Image, name: str) -> PILImage.Image:
    from PIL import Image

    values = np.asarray(picture)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{name} holds values from {values.min()} to {values.max()}: expected 0 to 65535. Scale it first."
        )
    scaled = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(scaled).convert("RGB")


def _orientation(picture: PILImage.Image) -> int:
    with _silenced():
        try:
            orientation = picture.getexif().get(0x0112)
        except _decode_errors():
            # A broken EXIF block says nothing about the pixels, which every viewer shows unturned.
            return 1
    return orientation if orientation in _STORED else 1


def _from_array(array: NDArray[np.uint8], max_pixels: int) -> NDArray[np.uint8]:
    shape = array.shape
    good = array.ndim == 2 or (array.ndim == 3 and shape[2] in (1, 3))
    if array.dtype != np.uint8 or not good or 0 in shape:
        raise ImageError(
            f"Array of dtype {array.dtype} and shape {shape}: expected uint8 (H, W, 3) RGB or (H, W) grey, not empty. "
            + _advice(array)
        )
    check_size(shape[1], shape[0], "Array", max_pixels)
    grey = array.reshape(shape[:2]) if array.ndim == 2 or shape[2] == 1 else None
    # A copy, so that a result keeps its pixels when the caller reuses the array for the next video frame.
    if grey is not None:
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(array, np.uint8, order="C", subok=False)


def _advice(array: NDArray[np.uint8]) -> str:
    if array.dtype != np.uint8:
        kinds = {
            "f": "For finite values from 0 to 1: (array * 255).round().astype(np.uint8).",
            "b": "Use array.astype(np.uint8) * 255.",
        }
        return kinds.get(array.dtype.kind, "For values from 0 to 255: array.astype(np.uint8).")
    if array.ndim == 4:
        return "Pass several pictures to predict."
    if array.ndim == 3 and array.shape[2] == 4:
        return "Drop the alpha channel: array[:, :, :3]."
    if array.ndim == 3 and array.shape[0] in (1, 3):
        return "Put the channels last: array.transpose(1, 2, 0)."
    return "Pass one picture with its rows first, columns second and colours last."


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep Pillow's warnings (its own size limit, odd metadata) from the user, who gets an ``ImageError`` or pixels.

    ``catch_warnings`` swaps a list that all threads share, hence the lock; only headers of bounded size are read under
    it, and none of a JPEG or PNG.
    """
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:100]}…{text[-60:]}"
