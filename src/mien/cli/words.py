"""Numbers with their nouns, and what other programs call our verbs."""

from __future__ import annotations

VERBS = {
    "analyze": "predict", "analyse": "predict", "benchmark": "bench", "camera": "watch", "check": "doctor",
    "classify": "predict", "cluster": "scale predict", "detect": "predict", "film": "video", "image": "predict",
    "info": "models", "list": "models", "photo": "predict", "read": "predict", "run": "predict", "server": "serve",
    "stream": "video", "test": "evaluate", "track": "video", "val": "evaluate", "validate": "evaluate",
    "webcam": "watch",
}  # fmt: skip
"""Verb of another program → ours."""


def counted(number: int, one: str, several: str = "") -> str:
    """Return ``1 photo``, ``2 photos``; ``several`` is the plural of a noun that does not just add an s."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"
