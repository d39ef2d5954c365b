"""One JSON object a line on stderr: what was asked and how it went; never an image, a file name or an address."""

from __future__ import annotations

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any

_EXTRA = ("request_id", "route", "method", "status", "ms", "bytes", "photos", "faces", "kind")

log = logging.getLogger("mien.web")


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in _EXTRA if hasattr(record, name)},
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told)


def configure(level: str) -> None:
    """Send Mien's and Uvicorn's records to stderr as JSON lines."""
    logging.config.dictConfig(configuration(level))


def configuration(level: str) -> dict[str, Any]:
    """Return the same for ``logging.config.dictConfig``, Gunicorn's own records included."""
    own = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "mien.web.logs.JsonLines"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "mien.web": own,
            "uvicorn": {**own, "level": "WARNING"},
            "gunicorn.error": {**own, "level": "INFO"},
        },
    }
