"""The API: photos in, results out; what is offered; whether the server lives, is ready, and how much it does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mien.errors import nearest
from mien.recognition.detect import DETECTORS
from mien.recognition.explain import wanted
from mien.web import metrics as metrics_page
from mien.web import service as services
from mien.web.decode import memory_weight, uploads
from mien.web.limits import client_address
from mien.web.openapi import BODY, COMMON, PREDICTED, TAKING, problems
from mien.web.predict import Item, Options, explained, joined, predicted
from mien.web.problems import ProblemError, overloaded
from mien.web.shapes import Explanations, Offer, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mien.web.decode import Upload
    from mien.web.models import Models
    from mien.web.service import Service

    Read = Callable[[Models, Upload, Options, int], Item]


def known_options(request: Request) -> None:
    """Refuse options that the address does not have: a misspelt one would be taken for its default, unseen."""
    known = tuple(param.alias for param in getattr(request.scope["route"], "dependant").query_params)  # noqa: B009
    for name in request.query_params if request.url.path.startswith("/v1/") else ():
        if name not in known:
            takes = f"expected {', '.join(known)}" if known else "it has no options"
            raise ProblemError("bad-option", f"Unknown option {name[:80]!r}: {takes}.{nearest(name, known)}")


router = APIRouter(dependencies=[Depends(known_options)])

Model = Annotated[str | None, Query(description="a word from /v1/models; the first is the default", max_length=200)]
DetectorName = Annotated[
    str | None, Query(description=f"one of {', '.join(DETECTORS)}", json_schema_extra={"enum": [*DETECTORS, None]})
]
MaxFaces = Annotated[int | None, Query(ge=1, description="only so many faces of each photo, those found best")]
Classes = Annotated[str, Query(description="top1 to topN, or labels such as happiness,anger", max_length=400)]


@router.post(
    "/v1/predict",
    summary="Read the emotions in photos",
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
    """Return boxes, emotions and probabilities; a photo without a face is a result without faces.

    One photo that cannot be read is an error (422); among several it has an `error` in its place.
    """
    most = _most(max_faces, services.of(request).settings.max_faces)
    return await _answer(request, predicted, Options(model, detector, most))


@router.post(
    "/v1/explain",
    summary="Show where in each face an emotion was read",
    tags=["photos"],
    openapi_extra=BODY,
    responses={200: {"model": Explanations}, **problems(*TAKING)},
)
async def explain(
    request: Request,
    model: Model = None,
    detector: DetectorName = None,
    max_faces: MaxFaces = None,
    classes: Classes = "top1",
) -> Response:
    """Return what predict does, with a map for each face and class: occlusion, scored against random maps."""
    most = _most(max_faces, services.of(request).settings.explain_faces)
    return await _answer(request, explained, Options(model, detector, most, wanted(classes)))


@router.get(
    "/v1/models",
    summary="Models, detectors and limits",
    tags=["server"],
    responses={200: {"model": Offer}, **problems(*COMMON[:3])},
)
async def models(request: Request) -> Response:
    """Return what the model files say of themselves, and what this server takes."""
    service = services.of(request)
    names = ("max_body", "max_images", "max_pixels", "max_faces", "explain_faces")
    offer: dict[str, Any] = {
        "models": service.models.told(),
        "detectors": service.models.detectors(),
        "detector": service.models.detector,
        "limits": {name: getattr(service.settings, name) for name in names},
    }
    return JSONResponse(offer)


@router.get("/healthz", summary="Is the process alive?", tags=["server"])
async def healthz() -> dict[str, str]:
    """Answer as long as the event loop turns."""
    return {"status": "alive"}


@router.get("/readyz", summary="Can it take photos?", tags=["server"], responses=problems("overloaded"))
async def readyz(request: Request) -> dict[str, str]:
    """Answer 200 when the models are loaded and warm, and there is room for a photo."""
    service = services.of(request)
    if not service.ready:
        raise overloaded("The models are not loaded.", 1)
    if not service.pool.has_room():
        raise overloaded("All places are taken.", service.pool.wait())
    return {"status": "ready"}


@router.get(
    "/metrics",
    summary="Counters for Prometheus",
    tags=["server"],
    response_class=Response,
    responses=problems("no-token"),
)
async def metrics(request: Request) -> Response:
    """Return all counters as text."""
    return Response(
        services.of(request).metrics.text(), media_type=None, headers={"Content-Type": metrics_page.CONTENT_TYPE}
    )


def _most(asked: int | None, limit: int) -> int:
    if asked is not None and asked > limit:
        raise ProblemError("bad-option", f"max_faces = {asked}: expected at most {limit} on this server.")
    return asked or limit


async def _answer(request: Request, read: Read, options: Options) -> Response:
    service = services.of(request)
    # Bodies fill memory, and one whose photo would find no place is for nothing.
    if not service.pool.has_room():
        raise overloaded("All places are taken.", service.pool.wait())
    with service.bodies.entered(client_address(request.scope), memory_weight(request)) as body:
        photos = await uploads(request, service.settings, service.bodies, body)
        most = service.settings.max_pixels
        jobs = [partial(read, service.models, upload, options, most) for upload in photos]
        items = await service.pool.run(jobs, service.settings.timeout)
    _count(request, service, photos, items)
    if len(items) == 1 and items[0].error:
        raise ProblemError("unreadable-image", items[0].error)
    return Response(joined(items), media_type="application/json")


def _count(request: Request, service: Service, found: list[Upload], items: list[Item]) -> None:
    for item in items:
        service.metrics.photo(item.faces, not item.error)
    request.state.told.update(
        bytes=sum(len(upload.content) for upload in found),
        photos=len(items),
        faces=sum(item.faces for item in items),
    )
