"""What a source is called by FFmpeg, and opening it: a film file, a camera, the address of a stream."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import FileMissingError, MissingExtraError, VideoError

if TYPE_CHECKING:
    from av.container import InputContainer

_WAIT = 10.0  # seconds without an answer after which a network stream counts as gone


def is_live(name: str) -> bool:
    """Return whether ``name`` is that of a camera or a stream."""
    return name.isdecimal() or name.startswith("/dev/video") or "://" in name


def _address(name: str) -> tuple[str, str | None, dict[str, str]]:
    """Return what FFmpeg calls the source, its format, and options."""
    if "://" in name:
        return name, None, {"rtsp_transport": "tcp"} if name.startswith("rtsp") else {}
    if not is_live(name):
        return f"file:{name}", None, {}  # or FFmpeg would take what stands before a colon for a protocol
    if sys.platform == "darwin":
        return name, "avfoundation", {"framerate": "30"}
    if sys.platform == "win32":
        return f"video={name}", "dshow", {}
    return f"/dev/video{name}" if name.isdecimal() else name, "v4l2", {}


def open_film(name: str) -> InputContainer:
    """Open a source as FFmpeg's container. Raises ``FileMissingError``, ``VideoError`` or ``MissingExtraError``."""
    av = load_av()
    if not is_live(name) and not Path(name).exists():
        raise FileMissingError(f"No such film: {name!r}. Check the path.")
    address, kind, options = _address(name)
    timeout = (_WAIT, _WAIT) if is_live(name) else None
    try:
        return av.open(address, "r", format=kind, options=options, timeout=timeout)  # type: ignore[no-any-return]
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        advice = "Check that it is plugged in, free and allowed." if is_live(name) else "Copy or record it again."
        raise VideoError(
            f"Cannot read {name!r} as a {'camera' if is_live(name) else 'film'}: {reason}. {advice}"
        ) from None


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
