"""Gunicorn's worker: Uvicorn with the options of ``mien serve``."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

from mien.web.server import uvicorn_options
from mien.web.settings import Settings


class Worker(UvicornWorker):  # type: ignore[misc]  # the package has no types
    """``gunicorn --worker-class mien.web.worker.Worker``; settings come from ``MIEN_*`` variables."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = uvicorn_options(Settings.from_environment(os.environ))
