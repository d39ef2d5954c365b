"""Bounds on the work that a picture file's headers may cost, whatever they hold.

Pillow scans headers in Python, a byte or a chunk at a time, and decompresses what it finds there: 20 MB of junk took it
up to 19 seconds. JPEG and PNG files are therefore cut down to what the pixels need before Pillow sees them; for other
formats the reads that Pillow makes are counted.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, Literal

from mien.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image as PILImage

MAX_PARTS = 10_000
"""Segments of a JPEG; cameras write fewer than 400."""

MAX_CHUNKS = 50_000
"""Chunks of a PNG; 100 megapixels in chunks of 8 kB, as encoders write them, are 40,000 at most."""

MAX_FILL = 65_536
"""Bytes between the segments of a JPEG that belong to none; encoders write a handful."""

MAX_OTHERS = 20_000
"""Chunks of a PNG that hold no pixels; encoders write fewer than 100."""

MAX_SCANS = 100
"""Scans of a progressive JPEG; encoders make about 10, and each costs a pass over all pixels."""

MAX_TABLES = 65_536
"""Bytes of a JPEG's tables; a picture needs fewer than 4,000."""

MAX_EXTRA = 1_000_000
"""Bytes of an EXIF block, XMP packet or colour profile; larger ones are dropped, and no pixel changes."""

MAX_READS = 20_000
"""Reads that a header of another format may take."""

MAX_PIXEL_READS = 500_000
"""Reads that the pixels may take: Pillow unpacks run-length BMP and some PPM files in Python, a read for each run."""

MAX_PLAIN = 4_000_000
"""Bytes of a PPM file that holds its numbers as text, which Pillow reads in Python."""

MAX_COMMENTS = 1000
"""Comments of such a file, each of which costs Pillow a copy of what follows."""

MAX_TAGS = 500
"""Tags of a TIFF file's first directory."""

MAX_STRIPS = 65_536
"""Values of a TIFF tag, such as the offsets of strips."""

_JPEG_FILL = re.compile(rb"[^\xff]")
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_XMP_JPEG, _XMP_PNG = b"http://ns.adobe.com/xap/1.0/\0", b"XML:com.adobe.xmp\0"
_ORIENTED = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def slim_jpeg(content: bytes) -> bytes:
    """Return a JPEG file's tables, frame and scans, with its orientation and colour profile and nothing else.

    Damage is left for the decoder to find.

    Raises:
        ImageError: more segments, tables or scans than any camera or editor writes.
    """
    view, pieces, profiles = memoryview(content), [memoryview(b"\xff\xd8")], list[memoryview]()
    needed = orientation = 0
    for marker, start, end in jpeg_segments(content):
        piece, body = view[start:end], content[start + 4 : min(end, start + 4 + MAX_EXTRA)]
        if marker == 0xDA:
            _check_scans(content, start)
            pieces.append(piece)
        elif marker == 0xE1:
            orientation = orientation or _jpeg_orientation(body)
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profiles.append(piece)
        elif is_needed(marker, body):
            pieces.append(piece)
            needed += len(piece)
            _check(needed, MAX_TABLES, "bytes of tables before the picture")
    if sum(map(len, profiles)) <= MAX_EXTRA:
        pieces[1:1] = profiles
    if orientation > 1:
        block = b"Exif\0\0" + _exif(orientation)
        pieces.insert(1, memoryview(b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block))
    return b"".join(pieces)


def is_needed(marker: int, body: bytes) -> bool:
    """Tell whether the decoder needs this segment: tables and frames, and what says how colours are stored."""
    if marker == 0xE0:
        return body.startswith(b"JFIF")
    return body.startswith(b"Adobe") if marker == 0xEE else not 0xE0 <= marker <= 0xEF and marker != 0xFE


def slim_png(content: bytes) -> bytes:
    """Return a PNG file's header, palette and pixels, with its orientation and colour profile and nothing else.

    Raises:
        ImageError: more chunks than any encoder writes.
    """
    view, profile, orientation = memoryview(content), False, 0
    pieces = [view[:8]]
    for kind, start, end in png_chunks(content):
        wanted = kind in _PNG_NEEDED or (kind == b"iCCP" and not profile and end - start <= MAX_EXTRA)
        profile = profile or kind == b"iCCP"
        if wanted:
            pieces.append(view[start:end])
        elif not kind.isalpha():  # the decoder says what is wrong with it
            pieces.append(view[start : start + 16])
            break
        elif not orientation and end - start <= MAX_EXTRA:
            orientation = _png_orientation(kind, content[start + 8 : end - 4])
    if orientation > 1:
        pieces.insert(2, memoryview(_png_chunk(b"eXIf", _exif(orientation))))
    return b"".join(pieces)


class Metered:
    """A binary file whose reads are counted; the read beyond ``most`` raises ``ImageError``."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.most, self.reads, self.prefix = file, MAX_READS, 0, ""

    def read(self, size: int = -1, /) -> bytes:
        """Read as the file does."""
        self.reads += 1
        if self.reads > self.most:
            raise ImageError(
                f"{self.prefix}The picture has more than {self.most} parts. Save it anew in an image editor."
            )
        return self.file.read(size)

    def expect_pixels(self, name: str) -> None:
        """Allow more reads, now that the header has been read; ``name`` begins the message from here on."""
        self.most, self.prefix = MAX_PIXEL_READS, f"{name}: "

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def check_plain(file: IO[bytes]) -> None:
    """Raise ``ImageError`` for a PPM, PGM or PBM file that is text and large, or is full of comments."""
    content = file.read(MAX_PLAIN + 1)
    file.seek(0)
    if len(content) > MAX_PLAIN or content.count(b"#") > MAX_COMMENTS:
        raise ImageError(
            f"The picture holds its pixels as text: expected at most {MAX_PLAIN} bytes and {MAX_COMMENTS} comments. "
            "Save it as binary PPM or PNG."
        )


def check_tiff(file: IO[bytes]) -> None:
    """Raise ``ImageError`` if the first directory of a TIFF file has more tags or strips than any picture needs."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"\x2b\0", b"\0\x2b")
    try:
        file.seek(struct.unpack_from(order + ("Q" if big else "L"), head, 8 if big else 4)[0])
        (tags,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
        _check(tags, MAX_TAGS, "tags")
        entry = struct.Struct(order + ("HHQ8x" if big else "HHL4x"))
        for _tag, kind, count in entry.iter_unpack(file.read(tags * entry.size)):
            if kind not in (1, 2, 6, 7):  # bytes and text are not turned into a number each
                _check(count, MAX_STRIPS, "values of a tag")
    except (struct.error, OverflowError, OSError) as error:
        raise ImageError(f"The picture has no whole directory of tags: {error}. Get the file again.") from None
    finally:
        file.seek(0)


def _check(count: int, most: int, what: str) -> None:
    if count > most:
        raise ImageError(f"The picture has {count} {what}: expected at most {most}. Save it anew in an image editor.")


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment up to the first scan, whose end is the file's.

    Raises:
        ImageError: more segments, or bytes between them, than any camera or editor writes.
    """
    position, count, fill = 2, 0, 0
    # Both searches end at the bound: through 20 MB of fill bytes they would keep all other threads waiting for 0.1 s.
    while (start := content.find(b"\xff", position, position + MAX_FILL + 1)) >= 0:
        code = _JPEG_FILL.search(content, start, start + MAX_FILL + 2)
        if code is None:
            _check_fill(len(content) - position)
            return
        start, marker = code.start() - 1, content[code.start()]
        fill += start - position
        _check_fill(fill)
        position = start + 2
        count += 1
        _check(count, MAX_PARTS, "segments before the picture")
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:
            continue
        if marker == 0xDA:  # what follows is the picture, where 0xFF is no marker
            yield marker, start, len(content)
            return
        length = int.from_bytes(content[position : position + 2], "big")
        position += max(2, length)
        yield marker, start, position
    _check_fill(len(content) - position)


def _check_fill(count: int) -> None:
    _check(count, MAX_FILL, "bytes that belong to no segment")


def _check_scans(content: bytes, start: int) -> None:
    scans = parts = 0
    position = start
    while marker_at := _JPEG_MARKER.search(content, position):
        marker, position = content[marker_at.start() + 1], marker_at.end()
        if marker == 0xD9:
            return
        parts += 1
        _check(parts, MAX_PARTS, "segments between its scans")
        if marker not in (0x01, 0xD8):
            position += int.from_bytes(content[position : position + 2], "big")
        scans += marker == 0xDA
        _check(scans, MAX_SCANS, "scans")


def _jpeg_orientation(body: bytes) -> int:
    if body.startswith(b"Exif\0\0"):
        return _orientation(body[6:])
    return _described(body) if body.startswith(_XMP_JPEG) else 0


def _png_orientation(kind: bytes, body: bytes) -> int:
    if kind == b"eXIf":
        return _orientation(body.removeprefix(b"Exif\0\0"))
    if kind == b"iTXt" and body.startswith(_XMP_PNG):
        return _described(body)
    if kind in (b"tEXt", b"zTXt") and body.startswith(b"Raw profile type exif\0"):
        return _orientation(_raw_profile(body.partition(b"\0")[2], kind == b"zTXt"))
    return 0


def _raw_profile(text: bytes, packed: bool) -> bytes:
    """Return the EXIF block that ImageMagick writes as hexadecimal digits below three lines; empty if it is broken."""
    try:
        lines = zlib.decompressobj().decompress(text[1:], MAX_EXTRA) if packed else text
        block = bytes.fromhex(b"".join(lines.split(b"\n")[3:]).decode("ascii"))
    except (zlib.error, ValueError):
        return b""
    return block.removeprefix(b"Exif\0\0")


def _orientation(block: bytes) -> int:
    """Return the orientation that an EXIF block gives, 1 to 8; 0 for a block that gives none or is broken."""
    order: Literal["little", "big"] | None = _ORDERS.get(block[:2])
    if order is None:
        return 0
    start = int.from_bytes(block[4:8], order)
    tags = int.from_bytes(block[start : start + 2], order)
    entries = block[start + 2 : start + 2 + 12 * min(tags, MAX_TAGS)]
    for entry in (entries[at : at + 12] for at in range(0, len(entries) - 11, 12)):
        if int.from_bytes(entry[:2], order) == 0x0112:
            size = {1: 1, 3: 2, 4: 4}.get(int.from_bytes(entry[2:4], order), 0)
            value = int.from_bytes(entry[8 : 8 + size], order)
            return value if 1 <= value <= 8 else 1
    return 0


def _described(packet: bytes) -> int:
    """Return the orientation that an XMP packet gives; 0 for none."""
    stated = _ORIENTED.search(packet)
    return int(stated[1]) if stated else 0


def _exif(orientation: int) -> bytes:
    return struct.pack(">2sHLHHHLHxxL", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0)


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of each chunk; of one whose head is cut off, no kind.

    Raises:
        ImageError: more chunks than any encoder writes.
    """
    position, count, others = 8, 0, 0
    while position < len(content):
        if position + 8 > len(content):
            yield b"", position, len(content)
            return
        length, kind = struct.unpack_from(">L4s", content, position)
        end = position + 12 + length
        count += 1
        _check(count, MAX_CHUNKS, "chunks")
        others += kind != b"IDAT"
        _check(others, MAX_OTHERS, "chunks without pixels")
        yield kind, position, end
        if kind == b"IEND":
            return
        position = end


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


SLIM: dict[bytes, Callable[[bytes], bytes]] = {b"\xff\xd8\xff": slim_jpeg, b"\x89PNG\r\n\x1a\n": slim_png}
"""First bytes → what cuts a file of that format down."""


def check_tiff_pixels(picture: PILImage.Image, name: str) -> None:
    """Refuse what Pillow reads wrongly without an error, and raw photos, of which it reads the thumbnail."""
    tags = getattr(picture, "tag_v2", {})
    bits, planes, white_is_zero = tags.get(258, (1,)), tags.get(284, 1) == 2, tags.get(262) == 0
    uncompressed = tags.get(259, 1) == 1
    if tags.get(50706) or tags.get(254, 0) & 1:
        raise ImageError(f"{name} is a camera raw file, of which only a thumbnail could be read. Develop it to JPEG.")
    if uncompressed and planes and (max(bits) != 8 or white_is_zero):
        kind = f"{max(bits)} bits and colours in separate planes"
    elif white_is_zero and max(bits) == 16:
        kind = "16 bits and white as 0"
    elif tags.get(339, (1,))[0] == 2 and max(bits) == 8:
        kind = "signed values"
    else:
        return
    raise ImageError(f"{name} is a TIFF with {kind}, which Pillow reads wrongly. Save it as PNG, or with 8 bits.")
