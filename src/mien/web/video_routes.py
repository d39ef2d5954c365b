"""The API routes for videos, which exist only where the operator set ``MIEN_VIDEOS``."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response

from mien.web import service as services
from mien.web.middleware.limits import client_address
from mien.web.openapi import COMMON, problems
from mien.web.problems import ProblemError, close_with
from mien.web.routes import DetectorName, MaxFaces, Model, known_options, limit_faces
from mien.web.shapes import VideoJob
from mien.web.video_jobs import VideoOptions, probe

if TYPE_CHECKING:
    from mien.web.bodies import Body
    from mien.web.service import Service
    from mien.web.video_jobs import Job

router = APIRouter(dependencies=[Depends(known_options)])

_BLOCK = 1 << 20
"""Bytes of a video that are held in memory before they are written."""

_VIDEO: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file as raw bytes: MP4, MOV, Matroska, WebM, AVI, MPEG, Ogg or FLV.",
        "content": {"video/mp4": _VIDEO, "application/octet-stream": _VIDEO},
    }
}

Fps = Annotated[float | None, Query(gt=0, le=1000, description="read at most this many frames per second of video")]
DetectEvery = Annotated[int, Query(ge=1, le=1000, description="detect faces in every Nth frame that is read")]


@router.post(
    "/v1/video",
    summary="Send a video, to be read as a job",
    tags=["videos"],
    status_code=202,
    openapi_extra=_BODY,
    responses={
        202: {"model": VideoJob},
        **problems(
            *COMMON, "bad-request", "body-too-slow", "body-too-large", "wrong-type", "bad-option", "unreadable-video",
            "video-too-long",
        ),
    },
)  # fmt: skip
async def send_video(
    request: Request,
    *,
    model: Model = None,
    detector: DetectorName = None,
    max_faces: MaxFaces = None,
    fps: Fps = None,
    detect_every: DetectEvery = 1,
) -> Response:
    """Store the video until it is read; respond with the job, whose address is in the header Location."""
    service = services.of(request)
    service.models.check(model, detector)
    _check_type(request)
    most = limit_faces(max_faces, service.settings.max_faces)
    job = service.jobs.open(VideoOptions(model, detector, most, fps, detect_every))
    with ExitStack() as stack:
        stack.callback(service.jobs.delete, job)  # whatever fails, also where the client has gone: no video stays
        request.state.log_fields.update(bytes=await _receive(request, service, job))
        await asyncio.to_thread(probe, job, service.settings)
        service.jobs.start(job)
        stack.pop_all()
    headers = {"Location": f"{request.scope.get('root_path', '')}/v1/video/{job.id}"}
    return JSONResponse(job.to_dict(service.settings.video_expiry), 202, headers)


@router.get(
    "/v1/video/{job_id}",
    summary="How far a video is read",
    tags=["videos"],
    responses={200: {"model": VideoJob}, **problems(*COMMON[:3], "not-found")},
)
async def show_video(request: Request, job_id: str) -> Response:
    """Return the state of a job."""
    service = services.of(request)
    return JSONResponse(service.jobs.get(job_id).to_dict(service.settings.video_expiry))


@router.get(
    "/v1/video/{job_id}/results",
    summary="The results of a video",
    tags=["videos"],
    response_class=Response,
    responses={
        200: {"description": "JSON lines, one for each frame", "content": {"application/jsonl": {}}},
        **problems(*COMMON[:3], "not-found", "not-finished", "unreadable-video"),
    },
)
async def video_results(request: Request, job_id: str) -> Response:
    """Return a line for each frame that was read: the value of `mien video --format jsonl`."""
    job = services.of(request).jobs.get(job_id)
    if job.state == "failed":
        raise ProblemError("unreadable-video", job.error)
    if job.state != "done":
        raise ProblemError("not-finished", f"The video is {job.state}. Ask /v1/video/{job.id} until its state is done.")
    return FileResponse(job.results, media_type="application/jsonl")


@router.delete(
    "/v1/video/{job_id}",
    summary="Delete a video and its results",
    tags=["videos"],
    status_code=204,
    response_class=Response,
    responses=problems(*COMMON[:3], "not-found"),
)
async def delete_video(request: Request, job_id: str) -> Response:
    """Stop reading the video, and delete all that is kept of it."""
    jobs = services.of(request).jobs
    jobs.delete(jobs.get(job_id))
    return Response(status_code=204)


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/octet-stream").split(";")[0].strip().lower()
    if kind != "application/octet-stream" and not kind.startswith("video/"):
        raise ProblemError(
            "wrong-type",
            f"Content-Type {kind[:80]!r}: expected the bytes of one video as video/… or application/octet-stream. "
            "With curl: --data-binary @film.mp4 -H 'Content-Type: video/mp4'",
        )


async def _receive(request: Request, service: Service, job: Job) -> int:
    """Write the body into the job's upload, a block at a time; return its bytes."""
    most = service.settings.video_body
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise _too_large(f"{declared[:20]} bytes were declared", most)
    with service.bodies.hold(client_address(request.scope), weight=0) as body:
        try:
            async with asyncio.timeout(service.settings.video_timeout) as body.deadline:
                size = await _store(request, service, job, body)
        except TimeoutError:
            raise close_with(
                "body-too-slow",
                f"The video was incomplete after {service.settings.video_timeout:g} s, or others needed its slot. "
                "Send it faster.",
            ) from None
        except ClientDisconnect:
            raise close_with("bad-request", "The connection was closed before the video was complete.") from None
    if size == 0:
        raise ProblemError("bad-request", "The body is empty: expected the bytes of one video.")
    return size


async def _store(request: Request, service: Service, job: Job, body: Body) -> int:
    size, block = 0, bytearray()
    with job.upload.open("xb") as out:
        async for chunk in request.stream():
            size += len(chunk)
            if size > service.settings.video_body:
                raise _too_large("More bytes arrived", service.settings.video_body)
            service.bodies.count(body, len(chunk))
            block += chunk
            if len(block) >= _BLOCK:
                await asyncio.to_thread(out.write, bytes(block))
                block.clear()
        out.write(block)
    service.bodies.finish(body)
    return size


def _too_large(given: str, most: int) -> ProblemError:
    return close_with("body-too-large", f"{given}: expected at most {most}. Send a shorter or smaller video.")
