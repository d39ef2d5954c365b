"""Which picture formats there are: by the ending of a file's name, and by its first bytes."""

from __future__ import annotations

from dataclasses import dataclass

SUFFIXES = frozenset(
    {
        ".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".hif", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm",
        ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip
"""Endings, in lower case, of the files that are read from a folder."""

PREFIX = 64
"""How many first bytes ``recognise`` needs: with them come the brands of AVIF and HEIC."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: what people call it.
        reader: module and class that read it, both of Pillow's kind; None where Mien does not read it.
        extra: the extra of Mien that brings the module; '' for the base install.
        advice: what to do with a file that is not read.
    """

    name: str
    reader: tuple[str, str] | None = None
    extra: str = ""
    advice: str = "Convert it to JPEG or PNG."


# One reader for each format: ``Image.open`` would load five of them for one picture (8 ms), offer ones that start
# programs (EPS runs Ghostscript), and warn about sizes that are refused anyway.
_AVIF = Format("AVIF", ("PIL.AvifImagePlugin", "AvifImageFile"))
_HEIC = Format("HEIC", ("pillow_heif", "HeifImageFile"), "heic")
_RAW = Format("camera raw", advice="Develop it to JPEG or PNG, or take the JPEG that the camera saved beside it.")
_VIDEO = Format("video", advice="Run: mien video FILE; in Python: recognizer.stream(mien.Film(FILE))")

_SIGNATURES: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", Format("JPEG", ("PIL.JpegImagePlugin", "JpegImageFile"))),
    (b"\x89PNG\r\n\x1a\n", Format("PNG", ("PIL.PngImagePlugin", "PngImageFile"))),
    (b"GIF8", Format("GIF", ("PIL.GifImagePlugin", "GifImageFile"))),
    (b"BM", Format("BMP", ("PIL.BmpImagePlugin", "BmpImageFile"))),
    (b"II*\0\x10\0\0\0CR", _RAW),
    (b"IIU\0", _RAW),
    (b"IIRO", _RAW),
    (b"IIRS", _RAW),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"II", Format("TIFF", ("PIL.TiffImagePlugin", "TiffImageFile"))),
    (b"MM", Format("TIFF", ("PIL.TiffImagePlugin", "TiffImageFile"))),
    (b"\xff\x0a", Format("JPEG XL")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", Format("JPEG XL")),
    (b"\xff\x4f\xff\x51", Format("JPEG 2000")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Format("JPEG 2000")),
    (b"8BPS", Format("Photoshop")),
    (b"%PDF", Format("PDF")),
    (b"<svg", Format("SVG")),
    (b"\x1aE\xdf\xa3", _VIDEO),
    (b"\0\0\1\xba", _VIDEO),
    (b"FLV", _VIDEO),
    (b"0&\xb2u\x8ef\xcf\x11", _VIDEO),
    (b"P", Format("PPM", ("PIL.PpmImagePlugin", "PpmImageFile"))),
)
_WEBP = Format("WebP", ("PIL.WebPImagePlugin", "WebPImageFile"))

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_STILL_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}


def recognise(prefix: bytes) -> Format | None:
    """Return the format of a file whose first ``PREFIX`` bytes are ``prefix``; None for an unknown one."""
    if prefix[4:8] == b"ftyp":
        return _of_brands(prefix)
    if prefix.startswith(b"RIFF"):
        return _VIDEO if prefix[8:12] == b"AVI " else _WEBP
    return next((kind for start, kind in _SIGNATURES if prefix.startswith(start)), None)


def _of_brands(prefix: bytes) -> Format:
    """Tell apart what ISO's media container holds: its major brand decides, or for a general one the others."""
    end = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    major, others = prefix[8:12], {prefix[at : at + 4] for at in range(16, end, 4)}
    brands = {major} | (others if major in _STILL_BRANDS else set())
    if brands & _AVIF_BRANDS:
        return _AVIF
    if brands & (_HEIC_BRANDS | _STILL_BRANDS):
        return _HEIC
    return _RAW if major == b"crx " else _VIDEO
