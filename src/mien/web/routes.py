"""The API routes: prediction, explanation, models, health and metrics."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mien.errors import nearest
from mien.interpret.explain import wanted
from mien.recognition.detection.detect import DETECTORS
from mien.web import service as services
from mien.web.decode import memory_weight, read_uploads
from mien.web.middleware import metrics as metrics_page
from mien.web.middleware.limits import client_address
from mien.web.openapi import BODY, COMMON, PREDICTED, TAKING, problems
from mien.web.predict import Item, Options, explain_photo, join, predict_photo
from mien.web.problems import ProblemError, overloaded
from mien.web.shapes import Explanations, Offer, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mien.web.bodies import Body
    from mien.web.decode import Upload
    from mien.web.models import Models
    from mien.web.service import Service

    Read = Callable[[Models, Upload, Options, int], Item]


def known_options(request: Request) -> None:
    """Refuse unknown options: a misspelt one would otherwise silently take its default."""
    known = tuple(param.alias for param in getattr(request.scope["route"], "dependant").query_params)  # noqa: B009
    for name in request.query_params if request.url.path.startswith("/v1/") else ():
        if name not in known:
            takes = f"expected {', '.join(known)}" if known else "this route has no options"
            raise ProblemError("bad-option", f"Unknown option {name[:80]!r}: {takes}.{nearest(name, known)}")


router = APIRouter(dependencies=[Depends(known_options)])

Model = Annotated[
    str | None, Query(description="a name or alias from /v1/models; the first is the default", max_length=200)
]
DetectorName = Annotated[
    str | None, Query(description=f"one of {', '.join(DETECTORS)}", json_schema_extra={"enum": [*DETECTORS, None]})
]
MaxFaces = Annotated[
    int | None, Query(ge=1, description="maximum number of faces per photo, the best detections first")
]
FaceIndex = Annotated[
    int | None,
    Query(
        ge=0, description="explain only this face: its index, from 0, in the faces of /v1/predict; without max_faces"
    ),
]
Classes = Annotated[str, Query(description="top1 to topN, or labels such as happiness,anger", max_length=400)]


@router.post(
    "/v1/predict",
    summary="Predict the emotions of faces in photos",
    tags=["photos"],
    openapi_extra=BODY,
    responses={
        200: {"model": Predictions, "content": {"application/json": {"example": PREDICTED}}},
        **problems(*TAKING),
    },
)
async def predict(
    request: Request, model: Model = None, detector: DetectorName = None, max_faces: MaxFaces = None
) -> Response:
    """Return boxes, emotions and probabilities; a photo without a face gives a result without faces.

    The response always has a list of results. A single photo that cannot be read is an error (422); among several it
    has an `error` instead of a result.
    """
    most = limit_faces(max_faces, services.of(request).settings.max_faces)
    return await _respond(request, predict_photo, Options(model, detector, most))


@router.post(
    "/v1/explain",
    summary="Show which regions of each face support an emotion",
    tags=["photos"],
    openapi_extra=BODY,
    responses={200: {"model": Explanations}, **problems(*TAKING)},
)
async def explain(
    request: Request,
    *,
    model: Model = None,
    detector: DetectorName = None,
    max_faces: MaxFaces = None,
    classes: Classes = "top1",
    face: FaceIndex = None,
) -> Response:
    """Return the results of predict with an occlusion map for each face and class, scored against random maps.

    The best faces are explained, as many as the server allows in a request; `face` asks for any other one.
    """
    settings = services.of(request).settings
    if face is None:
        most = limit_faces(max_faces, settings.explain_faces)
    else:
        most = _limit_face(face, max_faces, settings.max_faces)
    return await _respond(request, explain_photo, Options(model, detector, most, wanted(classes), face))


@router.get(
    "/v1/models",
    summary="Models, detectors and limits",
    tags=["server"],
    responses={200: {"model": Offer}, **problems(*COMMON[:3])},
)
async def models(request: Request) -> Response:
    """Return the metadata of the models, and the limits of this server."""
    service = services.of(request)
    photos = ("max_body", "max_images", "max_pixels", "max_faces", "explain_faces")
    names = (*photos, "videos", "video_body", "video_seconds", "video_frames")
    offer: dict[str, Any] = {
        "models": service.models.describe(),
        "detectors": service.models.detectors(),
        "detector": service.models.detector,
        "limits": {name: getattr(service.settings, name) for name in names},
    }
    return JSONResponse(offer)


@router.get("/healthz", summary="Liveness", tags=["server"])
async def healthz() -> dict[str, str]:
    """Respond as long as the event loop runs."""
    return {"status": "alive"}


@router.get("/readyz", summary="Readiness", tags=["server"], responses=problems("overloaded"))
async def readyz(request: Request) -> dict[str, str]:
    """Respond with 200 once the models are loaded and warm, and there is room for a photo."""
    service = services.of(request)
    if not service.ready:
        raise overloaded("The models are not loaded.", 1)
    if not service.pool.has_room():
        raise overloaded("All slots are taken.", service.pool.estimate_wait())
    return {"status": "ready"}


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    tags=["server"],
    response_class=Response,
    responses=problems("no-token"),
)
async def metrics(request: Request) -> Response:
    """Return all metrics as text."""
    return Response(
        services.of(request).metrics.render(), media_type=None, headers={"Content-Type": metrics_page.CONTENT_TYPE}
    )


def limit_faces(requested: int | None, limit: int) -> int:
    """Return how many faces of a photo are read.

    Raises:
        ProblemError: more than the limit.
    """
    if requested is not None and requested > limit:
        raise ProblemError("bad-option", f"max_faces = {requested}: expected at most {limit} on this server.")
    return requested or limit


def _limit_face(face: int, max_faces: int | None, limit: int) -> int:
    """Return how many faces must be read so that one of them has the index ``face``."""
    if max_faces is not None:
        raise ProblemError(
            "bad-option", "Give face, the index of one face, or max_faces, the number of the best; not both."
        )
    if face >= limit:
        raise ProblemError("bad-option", f"face = {face}: expected 0 to {limit - 1} on this server.")
    return limit


async def _respond(request: Request, read: Read, options: Options) -> Response:
    service = services.of(request)
    # Bodies take memory; do not read one whose photo would be refused.
    address = client_address(request.scope)
    if not service.pool.has_room(address):
        raise overloaded("All slots are taken.", service.pool.estimate_wait())
    with service.bodies.hold(address, memory_weight(request)) as body:
        photos = await _receive(request, service, body)
        most = service.settings.max_pixels
        jobs = [partial(read, service.models, upload, options, most) for upload in photos]
        costly = [index for index, upload in enumerate(photos) if upload.costly]
        items = await service.pool.run(jobs, service.settings.timeout, body.address, costly)
    _count(request, service, photos, items)
    if len(items) == 1 and items[0].error:
        raise ProblemError("unreadable-image", items[0].error)
    return Response(join(items), media_type="application/json")


async def _receive(request: Request, service: Service, body: Body) -> list[Upload]:
    try:
        return await read_uploads(request, service.settings, service.bodies, body)
    except ProblemError as problem:
        service.metrics.refused.labels(problem.kind).inc()
        raise


def _count(request: Request, service: Service, uploads: list[Upload], items: list[Item]) -> None:
    for item in items:
        service.metrics.count_photo(item.faces, not item.error)
    service.metrics.costly.inc(sum(upload.costly for upload in uploads))
    request.state.log_fields.update(
        bytes=sum(len(upload.content) for upload in uploads),
        photos=len(items),
        faces=sum(item.faces for item in items),
    )
