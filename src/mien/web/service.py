"""State shared by the routes of one application: settings, models, thread pool, metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mien.web.bodies import Bodies
from mien.web.middleware.limits import Gate
from mien.web.middleware.metrics import Metrics
from mien.web.models import Models
from mien.web.pool import Pool
from mien.web.video_jobs import Jobs, check_extra

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from mien.recognition.recognizer import Recognizer
    from mien.web.settings import Settings


@dataclass
class Service:
    """Created with the application; models and threads are created when the server starts, after any fork.

    ONNX Runtime and OpenCV must not be used before Gunicorn forks its workers, as threads do not survive a fork.
    """

    settings: Settings
    recognizer: Recognizer | None
    metrics: Metrics = field(default_factory=Metrics)
    models: Models = field(init=False)
    pool: Pool = field(init=False)
    bodies: Bodies = field(init=False)
    streams: Gate = field(init=False)
    jobs: Jobs = field(init=False)
    ready: bool = False

    def __post_init__(self) -> None:
        self.bodies = Bodies(self.settings.uploads, self.settings.max_held, self.metrics.bodies.set)
        self.streams = Gate(self.settings.streams, "live streams")

    def load(self) -> None:
        """Load the models unless they are loaded. Raises as ``Models.load``, and as ``check_extra`` for videos."""
        if not hasattr(self, "models"):
            self.models = Models.of(self.recognizer) if self.recognizer else Models.load(self.settings)
        if self.settings.videos:
            check_extra()

    async def start(self) -> None:
        """Load and warm up; the server opens its port afterwards."""
        settings = self.settings
        self.load()
        self.pool = Pool(settings.threads, settings.queue, self.metrics.held.set)
        await self.pool.run([self.models.warm_up] * settings.threads, timeout=120)
        if settings.videos:
            self.jobs = Jobs(settings, self.models)
        self.ready = True

    def stop(self) -> None:
        """Finish accepted photos; drop videos."""
        self.ready = False
        if self.settings.videos:
            self.jobs.close()
        self.pool.close()


def of(connection: HTTPConnection) -> Service:
    """Return the service of the application that handles this request."""
    service: Service = connection.app.state.service
    return service
