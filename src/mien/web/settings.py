"""Server settings: a frozen value from ``MIEN_*`` variables and the flags of ``mien serve``.

Every setting is a field below; its variable is ``MIEN_`` and the name in capitals, its flag ``--`` and the name with
hyphens. The token has no flag, because process lists would show it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from mien.cores import usable_cores
from mien.errors import OptionError, nearest

PREFIX = "MIEN_"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FOREIGN = {"MIEN_DATA", "MIEN_WEIGHTS"}
"""Variables with this prefix that other parts of Mien read."""

_ADDRESS = r"[0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*"
_LINK = r"_PORT_[0-9]{1,5}_(TCP|UDP|SCTP)"
_SERVICE_LINKS = {
    f"_SERVICE_HOST|{_LINK}_ADDR": _ADDRESS,
    f"_SERVICE_PORT(_[A-Z0-9_]+)?|{_LINK}_PORT": r"[0-9]{1,5}",
    f"_PORT|{_LINK}": rf"(tcp|udp|sctp)://({_ADDRESS}|\[[0-9A-Fa-f:.]+\]):[0-9]{{1,5}}",
    f"{_LINK}_PROTO": r"tcp|udp|sctp",
}
"""Suffix → value, as patterns, of the variables that Kubernetes sets for a Service named ``mien`` or ``mien-…``."""

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


def whole(text: str) -> int:
    """Parse a whole number."""
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise ValueError("a whole number")
    return int(text)


def amount(text: str) -> int:
    """Parse a whole number with an optional suffix K, M or G (10³, 10⁶, 10⁹)."""
    match = re.fullmatch(r"([0-9]{1,12})([KMG]?)", text.strip().upper())
    if not match:
        raise ValueError("a whole number, such as 20000000 or 20M")
    return int(match[1]) * _UNITS[match[2]]


def seconds(text: str) -> float:
    """Parse a number of seconds."""
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise ValueError("a number of seconds, such as 20 or 0.5")
    return float(text)


def words(text: str) -> tuple[str, ...]:
    """Parse comma-separated words."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def read_proxies(text: str) -> tuple[Network, ...] | None:
    """Parse comma-separated addresses and networks; None for ``*``, all.

    Raises:
        OptionError: invalid.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if words == ["*"]:
        return None
    try:
        return tuple(ipaddress.ip_network(word) for word in words)
    except ValueError as error:
        raise OptionError(
            f"proxies = {text!r}: {error}. Expected comma-separated addresses or networks, "
            "such as 127.0.0.1,10.0.0.0/8, or * if only proxies can connect."
        ) from None


def _option(default: Any, read: Callable[[str], Any], text: str, *, flag: bool = True) -> Any:
    return field(default=default, metadata={"read": read, "help": text, "flag": flag})


@dataclass(frozen=True)
class Settings:
    """All settings of one server process. Raises ``OptionError`` for a value that cannot work."""

    host: str = _option("127.0.0.1", str, "address to listen on; 0.0.0.0 opens the server to the network")
    port: int = _option(8000, whole, "port to listen on; 0 takes a free one")
    models: tuple[str, ...] = _option(
        (), words, "names, .onnx files or run folders; the first is the default; empty: all shipped"
    )
    detector: str = _option("yunet", str, "face detector unless a request names another")
    device: str = _option("auto", str, "auto, cpu, cuda, coreml, directml or openvino: where the networks run")
    threads: int = _option(0, whole, "photos processed at once; 0: one per usable core")
    queue: int = _option(32, whole, "photos that may wait; more are refused with 503")
    uploads: int = _option(32, whole, "request bodies received at once; more are refused with 503")
    streams: int = _option(4, whole, "live streams at once")
    max_body: int = _option(20_000_000, amount, "maximum bytes of a request's body")
    max_held: int = _option(128_000_000, amount, "bytes of memory for all request bodies; more are refused with 503")
    max_images: int = _option(16, whole, "maximum photos in a request")
    max_pixels: int = _option(25_000_000, amount, "maximum pixels of a photo")
    max_faces: int = _option(100, whole, "maximum faces per photo, best detections first")
    explain_faces: int = _option(8, whole, "maximum faces of a photo explained in one request, best detections first")
    videos: int = _option(0, whole, "videos read at once; 0: none are taken, and /v1/video does not exist")
    video_jobs: int = _option(8, whole, "videos held at once: being received, waiting, being read, or done")
    video_body: int = _option(200_000_000, amount, "maximum bytes of a video, and of its results")
    video_seconds: float = _option(300.0, seconds, "maximum seconds of a video")
    video_frames: int = _option(10_000, amount, "maximum frames of a video that are read")
    video_expiry: float = _option(900.0, seconds, "seconds for which a video's results are kept")
    video_folder: str = _option("", str, "folder for videos and results meanwhile; empty: the system's temporary one")
    video_timeout: float = _option(120.0, seconds, "seconds within which a video must arrive")
    timeout: float = _option(20.0, seconds, "seconds from a complete body to its response")
    body_timeout: float = _option(15.0, seconds, "seconds within which a body must arrive")
    header_timeout: float = _option(10.0, seconds, "seconds within which a request's head must arrive")
    token: str = _option("", str, "bearer token required by /v1 and /metrics; empty: none", flag=False)
    rate: str = _option("", str, "requests to /v1 per client address, such as 60/minute; empty: no limit")
    origins: tuple[str, ...] = _option((), words, "other origins whose pages may use the API (CORS); empty: none")
    proxies: str = _option(
        "127.0.0.1", str, "addresses or networks of proxies whose X-Forwarded-For is trusted; *: all peers"
    )
    hops: int = _option(1, whole, "number of proxies in front of the server, if proxies is *")
    root_path: str = _option("", str, "path at which a proxy serves the application, such as /mien; empty: the root")
    log_level: str = _option("info", str, "debug, info, warning or error")

    def __post_init__(self) -> None:
        if self.threads == 0:
            object.__setattr__(self, "threads", usable_cores())
        for name in (
            "threads",
            "queue",
            "uploads",
            "max_body",
            "max_held",
            "max_images",
            "max_pixels",
            "max_faces",
            "explain_faces",
            "video_jobs",
            "video_body",
            "video_frames",
            "hops",
        ):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} = {getattr(self, name)}: expected at least 1.")
        for name in ("timeout", "body_timeout", "header_timeout", "video_seconds", "video_expiry", "video_timeout"):
            if getattr(self, name) <= 0:
                raise OptionError(f"{name} = {getattr(self, name)}: expected more than 0 seconds.")
        self._check_words()

    def _check_words(self) -> None:
        if self.port > 65535:
            raise OptionError(f"port = {self.port}: expected 0 to 65535.")
        if self.max_images > self.queue:
            raise OptionError(
                f"max_images = {self.max_images} and queue = {self.queue}: a request with so many photos "
                "would always be refused. Raise queue, or lower max_images."
            )
        if self.token and not re.fullmatch(r"[A-Za-z0-9._~-]{16,512}", self.token):
            raise OptionError("The token must have 16 to 512 letters, digits or . _ ~ -.")
        read_proxies(self.proxies)
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", self.root_path):
            raise OptionError(
                f"root_path = {self.root_path!r}: expected a path such as /mien, without a trailing slash."
            )
        levels = ("debug", "info", "warning", "error")
        if self.log_level not in levels:
            raise OptionError(
                f"log_level = {self.log_level!r}: expected {', '.join(levels)}.{nearest(self.log_level, levels)}"
            )
        bad = [origin for origin in self.origins if not re.fullmatch(r"https?://[^/\s*]+", origin)]
        if bad:
            raise OptionError(f"origins has {bad[0]!r}: expected scheme and host, such as https://photos.example.org")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], flags: Mapping[str, str] | None = None) -> Settings:
        """Parse variables and flags, both as text; flags, keyed by field name, take precedence.

        Variables that Kubernetes sets for Services (``is_service_link``) are ignored.

        Raises:
            OptionError: any other unknown variable that begins with ``MIEN_``, or an invalid value.
        """
        known = {PREFIX + one.name.upper(): one for one in fields(cls)}
        given = {
            name: value
            for name, value in environment.items()
            if name.startswith(PREFIX) and name not in _FOREIGN and not is_service_link(name, value)
        }
        for name in given:
            if name not in known:
                raise OptionError(
                    f"Unknown variable {name}: expected one of {', '.join(known)}.{nearest(name, [*known])}"
                )
        values = {known[name].name: _read(name, known[name], value) for name, value in given.items()}
        for one in fields(cls):
            if flags and one.name in flags:
                values[one.name] = _read(flag_of(one), one, flags[one.name])
        return cls(**values)


def is_service_link(name: str, value: str) -> bool:
    """Check whether Kubernetes set a variable, such as ``MIEN_PORT=tcp://10.0.0.1:80``, for a Service.

    Both name and value must match, so that ``MIEN_PORT=8000`` remains a setting and ``MIEN_PROT`` an error. Source:
    Kubernetes, "Service", environment variables.
    """
    return any(
        re.fullmatch(rf"MIEN(_[A-Z0-9]+)*({end})", name) and re.fullmatch(expected, value)
        for end, expected in _SERVICE_LINKS.items()
    )


def flag_of(one: Field[Any]) -> str:
    """Return the flag of a field of ``Settings``."""
    return f"--{one.name.replace('_', '-')}"


def _read(name: str, one: Field[Any], text: str) -> Any:
    try:
        return one.metadata["read"](text)
    except ValueError as error:
        raise OptionError(f"{name} = {text!r}: expected {error}.") from None
