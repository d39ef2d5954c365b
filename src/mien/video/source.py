"""What a source is called by FFmpeg, and opening it: a film file, a camera, the address of a film or stream."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mien.errors import FileMissingError, MissingExtraError, VideoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_WAIT = 10.0  # seconds without an answer after which a network stream counts as gone
_PLAYLISTS = ("hls", "dash")  # what they weigh is the size of a list, not of a film

_SECRET = re.compile(r"(?i)((?:pass|pwd|pw|token|secret|key|auth|sig|cred)[a-z]*=)[^&;#\s'\"]*")
_USER = re.compile(r"(?i)([a-z][a-z0-9+.-]*://)([^\s'\"]*)")


def is_device(name: str) -> bool:
    """Return whether ``name`` is the number of a camera or its device."""
    return name.isdecimal() or name.startswith("/dev/video")


def local_path(name: str) -> Path | None:
    """Return the path of a file, also one that is named as ``file://…``; None for cameras and other addresses."""
    if name.lower().startswith("file://"):
        return Path(url2pathname(urlsplit(name).path))
    return None if is_device(name) or "://" in name else Path(name)


def has_end(container: InputContainer, name: str) -> bool:
    """Return whether a source is a film, which is read whole; a live one, a camera or a stream, has no end."""
    if local_path(name) is not None or (container.duration or 0) > 0:
        return not is_device(name)
    return not is_device(name) and container.size > 0 and not container.format.name.startswith(_PLAYLISTS)


def first_video(container: InputContainer) -> VideoStream | None:
    """Return the first video track that is no cover picture."""
    from av.stream import Disposition

    tracks = container.streams.video
    return next((track for track in tracks if not track.disposition & Disposition.attached_pic), None)


def has_clock(container: InputContainer) -> bool:
    """Return whether a source has time stamps of its own; pictures by HTTP (MJPEG) and bare H.264 have none."""
    from av.format import Flags

    return Flags.no_timestamps not in Flags(container.format.flags)


def without_passwords(text: str) -> str:
    """Return ``text`` with user names and passwords in addresses replaced by ``***``."""
    return _SECRET.sub(r"\1***", _USER.sub(lambda match: match[1] + _without_user(match[2]), text))


def _without_user(rest: str) -> str:
    """Hide what stands before the last @ of a host, also where a password holds a /, as it should not."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return "***@" + rest[host.rindex("@") + 1 :]
    _, colon, port = host.rpartition(":")
    if colon and not port.isdecimal() and not host.endswith("]") and "@" in rest:
        return "***@" + rest[rest.rindex("@") + 1 :]
    return rest


def _address(name: str) -> tuple[str, str | None, dict[str, str]]:
    """Return what FFmpeg calls the source, its format, and options."""
    path = local_path(name)
    if path is not None:
        return f"file:{path}", None, {}  # or FFmpeg would take what stands before a colon for a protocol
    if "://" in name:
        return name, None, {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
    if sys.platform == "darwin":
        return name, "avfoundation", {"framerate": "30"}
    if sys.platform == "win32":
        return f"video={name}", "dshow", {}
    return f"/dev/video{name}" if name.isdecimal() else name, "v4l2", {}


def open_film(name: str) -> InputContainer:
    """Open a source as FFmpeg's container. Raises ``FileMissingError``, ``VideoError`` or ``MissingExtraError``."""
    av = load_av()
    path = local_path(name)
    if path is not None and not path.exists():
        raise FileMissingError(f"No such film: {str(path)!r}. Check the path.")
    address, kind, options = _address(name)
    timeout = (_WAIT, _WAIT) if path is None else None
    try:
        return av.open(address, "r", format=kind, options=options, timeout=timeout)  # type: ignore[no-any-return]
    except (av.error.FFmpegError, OSError, ValueError) as error:
        kind, advice = _advice(name)
        raise VideoError(f"Cannot read {without_passwords(name)!r} as a {kind}: {reason(error)}. {advice}") from None


def _advice(name: str) -> tuple[str, str]:
    if local_path(name) is not None:
        return "film", "Copy or record it again."
    if is_device(name):
        return "camera", "Check that it is plugged in, free and allowed."
    return "film or camera", "Check the address, and that a camera there is plugged in, free and allowed."


def reason(error: Exception) -> str:
    """Return what FFmpeg or the system says of an error, without the address, which may hold a password."""
    return without_passwords(str(getattr(error, "strerror", None) or error))


def errors() -> Any:
    """Return PyAV's module of errors."""
    return load_av().error


def load_av() -> Any:
    """Import PyAV. Raises ``MissingExtraError``."""
    try:
        import av
    except ImportError:
        raise MissingExtraError.for_extra("reading films and cameras", "video") from None
    return av
