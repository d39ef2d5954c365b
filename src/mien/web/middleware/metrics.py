"""Prometheus metrics, summed over processes if PROMETHEUS_MULTIPROC_DIR names a folder."""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from mien.web.middleware import counters

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """All metrics; labels have few values, none of them from the client."""

    def __init__(self) -> None:
        if counters.VARIABLE in os.environ:
            # The client reads the variable on import, which may be before the folder exists.
            values.ValueClass = values.MultiProcessValue(counters.writer)  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("mien_requests", "Requests answered", ("route", "status"), registry=registry)
        self.seconds = Histogram(
            "mien_request_seconds", "From the head of a request to the end of its answer", ("route",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.photos = Counter("mien_photos", "Photos read", ("outcome",), registry=registry)
        self.costly = Counter("mien_photos_costly", "Photos that waited for all others", registry=registry)
        self.refused = Counter(
            "mien_bodies_refused", "Bodies refused, most before their end", ("kind",), registry=registry
        )
        self.faces = Counter("mien_faces", "Faces read", registry=registry)
        self.frames = Counter("mien_stream_frames", "Frames of live streams", ("outcome",), registry=registry)
        self.held = Gauge(
            "mien_photos_held", "Photos worked on or waiting", registry=registry, multiprocess_mode="livesum"
        )
        self.bodies = Gauge(
            "mien_bodies_held", "Bodies under way or not answered", registry=registry, multiprocess_mode="livesum"
        )
        self.streams = Gauge("mien_streams", "Live streams open", registry=registry, multiprocess_mode="livesum")

    def count_photo(self, faces: int, readable: bool) -> None:
        """Count one photo."""
        self.photos.labels("read" if readable else "unreadable").inc()
        self.faces.inc(faces)

    def render(self) -> bytes:
        """Render the metrics in Prometheus's text format."""
        if counters.VARIABLE not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
