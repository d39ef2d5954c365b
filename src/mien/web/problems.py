"""Errors as RFC 9457 problem documents: what was given, what was expected, what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be understood"),
    "no-token": (401, "A token is required"),
    "foreign-origin": (403, "Pages of other sites may not use this server"),
    "not-found": (404, "Not found"),
    "wrong-method": (405, "Method not allowed"),
    "not-finished": (409, "The video has not been read to its end"),
    "body-too-slow": (408, "The body did not arrive in time"),
    "body-too-large": (413, "The body is too large"),
    "too-many-images": (413, "Too many photos in one request"),
    "wrong-type": (415, "Unsupported content type"),
    "bad-option": (422, "An option is invalid"),
    "unreadable-image": (422, "The photo cannot be read"),
    "unreadable-video": (422, "The video cannot be read"),
    "video-too-long": (422, "The video is too long"),
    "too-many-requests": (429, "Too many requests from this address"),
    "internal": (500, "Internal server error"),
    "overloaded": (503, "The server is overloaded"),
}
"""Kind → status and title. The document's ``type`` is ``urn:mien:problem:KIND``."""

MEDIA_TYPE = "application/problem+json"


@dataclass(eq=False)
class ProblemError(Exception):
    """A request that is answered with a problem document.

    Attributes:
        kind: a key of ``KINDS``.
        detail: what was given, what was expected, what to do.
        headers: further headers of the response.
        exceeded: the limit of the server that a video exceeds, as ``VideoLimitError.to_dict``.
    """

    kind: str
    detail: str
    headers: Mapping[str, str] | None = None
    exceeded: Mapping[str, str | float] | None = None

    def __post_init__(self) -> None:
        super().__init__(self.detail)

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the JSON document."""
        status, title = KINDS[self.kind]
        return {
            "type": f"urn:mien:problem:{self.kind}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "instance": f"urn:mien:request:{request_id}",
            "request_id": request_id,
            **({"exceeded": dict(self.exceeded)} if self.exceeded else {}),
        }

    def response(self, request_id: str) -> Response:
        """Build the response."""
        content = json.dumps(self.document(request_id), ensure_ascii=False).encode("utf-8", "backslashreplace")
        return Response(content, KINDS[self.kind][0], dict(self.headers or {}), MEDIA_TYPE)


def close_with(kind: str, detail: str) -> ProblemError:
    """Return a problem that closes the connection without waiting for the rest of the body."""
    return ProblemError(kind, detail, {"Connection": "close"})


def overloaded(detail: str, wait: int) -> ProblemError:
    """Return a 503 that asks to retry in ``wait`` seconds."""
    return ProblemError("overloaded", f"{detail} Try again in {wait} s.", {"Retry-After": str(wait)})
