"""Open a video source with FFmpeg: a file, a camera, or the URL of a file or stream."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mien.addresses import hide_passwords
from mien.errors import FileMissingError, MissingExtraError, VideoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_WAIT = 10.0  # seconds without data after which a network stream counts as lost
_CONTAINERS = ("mov", "matroska", "avi", "mpegts", "mpeg", "ogg", "flv")  # playlists could name other files and hosts
_PLAYLISTS = ("hls", "dash")  # their size is that of the playlist, not of the video


@dataclass(frozen=True)
class Stranger:
    """Bounds for a file from somebody who is not trusted: no playlists, no other files, no huge frames.

    Attributes:
        pixels: width × height above which a frame is not decoded.
    """

    pixels: int

    def for_container(self) -> dict[str, str]:
        """Return FFmpeg's options for opening the file."""
        return {
            "format_whitelist": ",".join(_CONTAINERS),
            "protocol_whitelist": "file",
            **self.for_decoder(),
        }

    def for_decoder(self) -> dict[str, str]:
        """Return FFmpeg's options for a decoder."""
        return {"max_pixels": str(self.pixels)}


def is_device(name: str) -> bool:
    """Return whether ``name`` is a camera number or device."""
    return name.isdecimal() or name.startswith("/dev/video")


def local_path(name: str) -> Path | None:
    """Return the path of a file, also for a ``file://`` URL; None for cameras and other URLs."""
    if name.lower().startswith("file://"):
        return Path(url2pathname(urlsplit(name).path))
    return None if is_device(name) or "://" in name else Path(name)


def has_end(container: InputContainer, name: str) -> bool:
    """Return whether a source has an end, as a file does; cameras and streams are live and have none."""
    if local_path(name) is not None or (container.duration or 0) > 0:
        return not is_device(name)
    return not is_device(name) and container.size > 0 and not container.format.name.startswith(_PLAYLISTS)


def first_video(container: InputContainer) -> VideoStream | None:
    """Return the first video track that is not cover art."""
    from av.stream import Disposition

    tracks = container.streams.video
    return next((track for track in tracks if not track.disposition & Disposition.attached_pic), None)


def has_clock(container: InputContainer) -> bool:
    """Return whether a source has time stamps of its own; MJPEG over HTTP and raw H.264 have none."""
    from av.format import Flags

    return Flags.no_timestamps not in Flags(container.format.flags)


def _to_ffmpeg(name: str) -> tuple[str, str | None, dict[str, str]]:
    """Return FFmpeg's name for the source, its format, and options."""
    path = local_path(name)
    if path is not None:
        return f"file:{path}", None, {}  # or FFmpeg would parse the part before a colon as a protocol
    if "://" in name:
        return name, None, {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
    if sys.platform == "darwin":
        return name, "avfoundation", {"framerate": "30"}
    if sys.platform == "win32":
        return f"video={name}", "dshow", {}
    return f"/dev/video{name}" if name.isdecimal() else name, "v4l2", {}


def open_film(name: str, stranger: Stranger | None = None) -> InputContainer:
    """Open a source as FFmpeg's container. Raises ``FileMissingError``, ``VideoError`` or ``MissingExtraError``."""
    av = load_av()
    path = local_path(name)
    if path is not None and not path.exists():
        raise FileMissingError(f"No such video: {str(path)!r}. Check the path.")
    address, kind, options = _to_ffmpeg(name)
    options |= stranger.for_container() if stranger else {}
    timeout = (_WAIT, _WAIT) if path is None else None
    try:
        return av.open(address, "r", format=kind, options=options, timeout=timeout)  # type: ignore[no-any-return]
    except (av.error.FFmpegError, OSError, ValueError) as error:
        kind, advice = _advise(name)
        raise VideoError(
            f"Cannot read {hide_passwords(name)!r} as a {kind}: {describe_error(error)}. {advice}"
        ) from None


def _advise(name: str) -> tuple[str, str]:
    if local_path(name) is not None:
        return "video", "Copy or record it again."
    if is_device(name):
        return "camera", "Check that it is plugged in, not in use, and that access is allowed."
    return "video or camera", "Check the address; if it is a camera, check that it is on, not in use, and accessible."


def describe_error(error: Exception) -> str:
    """Return the message of an FFmpeg or system error without the address, which may contain a password."""
    return hide_passwords(str(getattr(error, "strerror", None) or error))


def get_av_errors() -> Any:
    """Return PyAV's ``error`` module."""
    return load_av().error


def load_av() -> Any:
    """Import PyAV. Raises ``MissingExtraError``."""
    try:
        import av
    except ImportError:
        raise MissingExtraError.for_extra("reading videos and cameras", "video") from None
    return av
