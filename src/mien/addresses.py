"""Addresses of pictures, films and cameras as they may be printed."""

from __future__ import annotations

import re

_SECRET = re.compile(r"(?i)((?:pass|pwd|pw|token|secret|key|auth|sig|cred)[a-z]*=)[^&;#\s'\"]*")
_USER = re.compile(r"(?i)([a-z][a-z0-9+.-]*://)([^\s'\"]*)")


def hide_passwords(text: str) -> str:
    """Replace user names and passwords in URLs by ``***``."""
    return _SECRET.sub(r"\1***", _USER.sub(lambda match: match[1] + _hide_user(match[2]), text))


def _hide_user(rest: str) -> str:
    """Hide everything before the last @ of the host, even if a password contains an unescaped /."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return "***@" + rest[host.rindex("@") + 1 :]
    _, colon, port = host.rpartition(":")
    if colon and not port.isdecimal() and not host.endswith("]") and "@" in rest:
        return "***@" + rest[rest.rindex("@") + 1 :]
    return rest
