"""Videos as jobs: the upload on disk, read by threads of their own; results as JSON lines, until they expire.

Disk is bounded: at most ``video_jobs`` jobs are held, each with an upload and results of at most ``video_body`` bytes.
An upload is deleted as soon as it is read; results when they expire, when they are deleted, and when the server stops.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import shutil
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import MienError, OptionError, VideoError, VideoLimitError
from mien.tracking.stream import Follower, Following
from mien.tracking.track import Tracker
from mien.video.film import Film, Sampler
from mien.video.source import Stranger, describe_error, get_av_errors
from mien.web.middleware.logs import log
from mien.web.problems import ProblemError, overloaded

if TYPE_CHECKING:
    from typing import BinaryIO

    from mien.video.film import FilmFrame
    from mien.web.models import Models
    from mien.web.settings import Settings

_FASTEST = 240
"""Frames a second; a video that has more is refused, as each must be decoded even if few are read."""

_RETRY = 10
"""Seconds after which a client that was refused may try again."""


@dataclass(frozen=True)
class VideoOptions:
    """Options of a request: model and detector (None: the server's default), faces and frames to read."""

    model: str | None = None
    detector: str | None = None
    max_faces: int = 100
    fps: float | None = None
    detect_every: int = 1


@dataclass(eq=False)
class Job:
    """One video.

    Attributes:
        id: known to the sender alone.
        folder: of its files, its own.
        state: ``waiting``, ``reading``, ``done`` or ``failed``.
        duration: seconds of the video; None if unknown.
        seconds, frames: read so far.
        size: bytes of the results.
        error: why it failed.
        exceeded: the limit of the server that the video exceeds, as ``VideoLimitError.to_dict``; None otherwise.
        faults: what was wrong with the video.
        ended: ``time.monotonic`` of the end; None before.
        dropped: set when it is deleted; the reader then stops.
    """

    id: str
    folder: Path
    options: VideoOptions
    state: str = "waiting"
    duration: float | None = None
    seconds: float = 0.0
    frames: int = 0
    size: int = 0
    error: str = ""
    exceeded: dict[str, str | float] | None = None
    faults: tuple[str, ...] = ()
    ended: float | None = None
    dropped: threading.Event = field(default_factory=threading.Event)
    future: Future[None] | None = None

    @property
    def upload(self) -> Path:
        """The video as it was sent."""
        return self.folder / "video"

    @property
    def results(self) -> Path:
        """``FrameResult.to_dict()`` as JSON, a line a frame."""
        return self.folder / "results.jsonl"

    def to_dict(self, expiry: float) -> dict[str, Any]:
        """Return JSON-ready values; results are kept for ``expiry`` seconds after the end."""
        done = self.state == "done"
        share = 1.0 if done else min(self.seconds / self.duration, 1.0) if self.duration else None
        left = None if self.ended is None else max(0.0, self.ended + expiry - time.monotonic())
        return {
            "id": self.id,
            "state": self.state,
            "progress": share,
            "seconds": self.seconds,
            "frames": self.frames,
            "error": self.error or None,
            "exceeded": self.exceeded,
            "faults": list(self.faults),
            "expires_in": None if left is None else round(left, 1),
        }


class Jobs:
    """All videos of this process; used in the event loop's thread only.

    Raises:
        OptionError: a folder that cannot be written.
    """

    def __init__(self, settings: Settings, models: Models) -> None:
        self._settings, self._models = settings, models
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="mien-video-", dir=settings.video_folder or None))
        except OSError as error:
            raise OptionError(
                f"video_folder = {settings.video_folder!r}: {error.strerror}. Name a folder that the server can write."
            ) from None
        self._executor = ThreadPoolExecutor(settings.videos, "mien-video")
        self._all: dict[str, Job] = {}

    def open(self, options: VideoOptions) -> Job:
        """Return a new job, into whose ``upload`` the caller writes.

        Raises:
            ProblemError: 503 without room.
        """
        if len(self._all) >= self._settings.video_jobs:
            raise overloaded(f"{len(self._all)} videos are held already. Delete results that you have read.", _RETRY)
        job_id = secrets.token_urlsafe(16)
        job = Job(job_id, self._folder / job_id, options)
        job.folder.mkdir(mode=0o700)
        self._all[job_id] = job
        return job

    def start(self, job: Job) -> None:
        """Let the next free thread read the job's video."""
        loop = asyncio.get_running_loop()
        job.future = self._executor.submit(read, job, self._models, self._settings)
        job.future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end, job, loop))

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            ProblemError: 404 for one that is unknown, deleted or expired.
        """
        job = self._all.get(job_id)
        if job is None:
            raise ProblemError(
                "not-found", f"There is no video {job_id[:40]!r}: it expired, or was deleted. Send it again."
            )
        return job

    def delete(self, job: Job) -> None:
        """Delete a job and its files; the reader stops at the next frame and deletes what it has open."""
        self._all.pop(job.id, None)
        job.dropped.set()
        if job.future is None or job.future.cancel() or job.future.done():
            shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """Stop reading, and delete all files."""
        for job in self._all.values():
            job.dropped.set()
        self._executor.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        if job.future is not None and not job.future.cancelled() and (error := job.future.exception()):
            log.error("a video failed", exc_info=error)
            job.state, job.error = "failed", "Internal server error; see the server log."
        job.ended = time.monotonic()
        if job.dropped.is_set():
            shutil.rmtree(job.folder, ignore_errors=True)
        else:
            loop.call_later(self._settings.video_expiry, self.delete, job)


def check_extra() -> None:
    """Raise ``MissingExtraError`` unless the extra ``video`` is installed."""
    get_av_errors()
    Tracker()


def probe(job: Job, settings: Settings) -> None:
    """Read the metadata of the job's video.

    Raises:
        ProblemError: what is no video, or longer than allowed.
    """
    film = _open(job, settings)
    try:
        job.duration = film.about.duration
    except VideoError as error:
        exceeded = error.to_dict() if isinstance(error, VideoLimitError) else None
        raise ProblemError("unreadable-video", _without_path(str(error), job), exceeded=exceeded) from None
    finally:
        film.close()
    if job.duration is not None and job.duration > settings.video_seconds:
        raise ProblemError(
            "video-too-long",
            f"The video has {job.duration:.0f} s: expected at most {settings.video_seconds:g}. Cut it into parts.",
            exceeded={"limit": "seconds", "most": settings.video_seconds, "given": job.duration},
        )


def read(job: Job, models: Models, settings: Settings) -> None:
    """Read a job's video and write its results, in a thread; then delete the video."""
    job.state = "reading"
    film = _open(job, settings)
    try:
        with job.results.open("wb") as out:
            _read_frames(job, film, out, models, settings)
        job.state, job.faults = "done", tuple(film.faults)
    except (MienError, OSError, get_av_errors().FFmpegError) as error:
        text = str(error) if isinstance(error, MienError) else describe_error(error)
        job.exceeded = error.to_dict() if isinstance(error, VideoLimitError) else None
        job.state, job.error = "failed", _without_path(text, job)
        job.results.unlink(missing_ok=True)
    finally:
        film.close()
        job.upload.unlink(missing_ok=True)


def _read_frames(job: Job, film: Film, out: BinaryIO, models: Models, settings: Settings) -> None:
    options = job.options
    recognizer = models.recognizer(options.model, options.detector, options.max_faces)
    follower = Follower(recognizer, Following(detect_every=options.detect_every))
    sampler, start, check = Sampler(fps=options.fps), film.about.start, partial(_check, job, settings)
    for frame in film:
        if job.dropped.is_set():
            return
        job.seconds = max(frame.seconds - start, 0.0)
        check(frame)
        if sampler.takes(frame):
            line = json.dumps(follower.step(frame).to_dict(), allow_nan=False).encode() + b"\n"
            job.size, job.frames = job.size + len(line), job.frames + 1
            check(frame)
            out.write(line)


def _check(job: Job, settings: Settings, frame: FilmFrame) -> None:
    """Raise ``VideoLimitError`` where a video has more than its metadata said or than the server reads."""
    width, height = frame.size
    most = math.ceil(settings.video_seconds * _FASTEST)
    for given, limit, name, unit, advice in (
        (job.seconds, settings.video_seconds, "seconds", "seconds", "Cut it into parts."),
        (frame.number + 1, most, "frames", "frames", "Cut it into parts."),
        (job.frames, settings.video_frames, "read_frames", "frames to read", "Read fewer with the option fps."),
        (width * height, settings.max_pixels, "pixels", "pixels in a frame", "Scale the video down."),
        (job.size, settings.video_body, "result_bytes", "bytes of results", "Read fewer with the option fps."),
    ):
        if given > limit:
            raise VideoLimitError(f"The video has more than {limit:g} {unit}. {advice}", name, limit, given)


def _open(job: Job, settings: Settings) -> Film:
    return Film(job.upload, stranger=Stranger(settings.max_pixels))


def _without_path(text: str, job: Job) -> str:
    return text.replace(str(job.upload), "video")
