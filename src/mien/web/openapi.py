"""Parts of the OpenAPI document that the routes' types do not give: bodies, examples, problems."""

from __future__ import annotations

from typing import Any

from mien.web.problems import KINDS, MEDIA_TYPE
from mien.web.shapes import Problem

_PHOTO: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One photo as raw bytes, several as files of a form, or several in JSON.",
        "content": {
            "image/jpeg": _PHOTO,
            "image/png": _PHOTO,
            "application/octet-stream": _PHOTO,
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "additionalProperties": False,
                    "properties": {
                        "images": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "byte"}}
                    },
                },
                "example": {"images": ["/9j/4AAQSkZJRgABAQ…"]},
            },
        },
    }
}
"""The request body of ``/v1/predict`` and ``/v1/explain``."""

FACE: dict[str, Any] = {
    "box": {"left": 178.2, "top": 63.4, "width": 90.1, "height": 113.0},
    "score": 0.93,
    "landmarks": [[201.5, 108.9], [240.3, 107.1], [223.0, 128.4], [207.2, 148.6], [240.1, 147.0]],
    "emotion": "happiness",
    "confidence": 0.91,
    "uncertain": False,
    "quality": {"size": 100.9, "sharpness": 0.51, "turn": 6.2, "inside": 1.0, "reasons": [], "good": True},
    "pose": {"yaw": -3.1, "pitch": 2.4, "roll": -2.0},
    "probabilities": {
        "anger": 0.01, "disgust": 0.01, "fear": 0.01, "happiness": 0.91, "sadness": 0.02, "surprise": 0.02,
        "neutral": 0.02,
    },
}  # fmt: skip

PREDICTED: dict[str, Any] = {
    "results": [
        {
            "source": "astronaut.jpg",
            "width": 512,
            "height": 512,
            "model": "ferplus8",
            "detector": "yunet",
            "faces": [FACE],
            "faces_found": 1,
            "truncated": False,
        },
        {"source": "notes.txt", "error": "12 bytes is not a picture in a known format: expected JPEG, PNG, …"},
    ]
}
"""An example of a response: one photo read, one unreadable."""


def problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that may return these problems."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        status, title = KINDS[kind]
        entry = responses.setdefault(
            status, {"description": title, "content": {MEDIA_TYPE: {"schema": _schema(), "examples": {}}}}
        )
        entry["content"][MEDIA_TYPE]["examples"][kind] = {"value": _example(kind)}
    return responses


COMMON = ("no-token", "foreign-origin", "too-many-requests", "overloaded")
"""Problems that every route under /v1 may return."""

TAKING = (
    *COMMON, "bad-request", "body-too-slow", "body-too-large", "too-many-images", "wrong-type", "bad-option",
    "unreadable-image",
)  # fmt: skip
"""Problems that routes for photos may return."""


def _schema() -> dict[str, Any]:
    return Problem.model_json_schema()


def _example(kind: str) -> dict[str, Any]:
    status, title = KINDS[kind]
    return {
        "type": f"urn:mien:problem:{kind}", "title": title, "status": status, "detail": "Got …: expected …. Do ….",
        "instance": "urn:mien:request:5f0c", "request_id": "5f0c",
    }  # fmt: skip
