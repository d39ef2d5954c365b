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
    "no-token": (401, "A token is needed"),
    "foreign-origin": (403, "Pages of another site may not use this server"),
    "not-found": (404, "There is nothing at this address"),
    "wrong-method": (405, "This address does not take this method"),
    "body-too-slow": (408, "The body did not arrive in time"),
    "body-too-large": (413, "The body is too large"),
    "too-many-images": (413, "There are too many photos in one request"),
    "wrong-type": (415, "The body is of a type that is not taken"),
    "bad-option": (422, "An option has a value that is not allowed"),
    "unreadable-image": (422, "The photo cannot be read"),
    "too-many-requests": (429, "There were too many requests from this address"),
    "internal": (500, "The server made a mistake"),
    "overloaded": (503, "The server has no room now"),
}
"""Kind → status and title. The document's ``type`` is ``urn:mien:problem:KIND``."""

MEDIA_TYPE = "application/problem+json"


@dataclass(eq=False)
class ProblemError(Exception):
    """A request that is answered with a problem document.

    kind:    a key of ``KINDS``.
    detail:  what was given, what was expected, what to do.
    headers: further headers of the answer.
    """

    kind: str
    detail: str
    headers: Mapping[str, str] | None = None

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
        }

    def response(self, request_id: str) -> Response:
        """Return the answer."""
        content = json.dumps(self.document(request_id), ensure_ascii=False).encode("utf-8", "backslashreplace")
        return Response(content, KINDS[self.kind][0], dict(self.headers or {}), MEDIA_TYPE)


def closing(kind: str, detail: str) -> ProblemError:
    """Return a problem found before the body was read: the rest of it is not waited for."""
    return ProblemError(kind, detail, {"Connection": "close"})


def overloaded(detail: str, wait: int) -> ProblemError:
    """Return a 503 that asks to come again in ``wait`` seconds."""
    return ProblemError("overloaded", f"{detail} Try again in {wait} s.", {"Retry-After": str(wait)})
