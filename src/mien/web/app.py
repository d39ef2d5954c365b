"""The FastAPI application: API, page and stream around one service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from mien import __version__
from mien.drawing import languages
from mien.errors import DataError, MissingExtraError, OptionError
from mien.web.middleware.access import Access
from mien.web.middleware.forwarded import Forwarded
from mien.web.middleware.headers import HEADERS, SecurityHeaders
from mien.web.middleware.heads import Heads
from mien.web.middleware.limits import Guard, read_rate
from mien.web.middleware.logs import log
from mien.web.problems import ProblemError, overloaded
from mien.web.routes import router
from mien.web.service import Service
from mien.web.stream import stream
from mien.web.video_routes import router as video_router

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from mien.recognition.recognizer import Recognizer
    from mien.web.settings import Settings

STATIC = Path(__file__).parent / "static"

_ABOUT = """Facial expressions in photos. Uploads are neither stored nor logged. A predicted emotion is what annotators
would call the expression; it is not what a person feels, and must not be the basis of decisions about anyone."""


def create_app(settings: Settings, recognizer: Recognizer | None = None) -> FastAPI:
    """Build the application; models are loaded when the server starts.

    Args:
        settings: of the server.
        recognizer: used instead of the models that ``settings`` names.

    Raises:
        OptionError: an invalid rate.
    """
    service = Service(settings, recognizer)
    app = FastAPI(
        title="Mien",
        version=__version__,
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # FastAPI's own pages load scripts from other hosts
        redoc_url=None,
        lifespan=lifespan,
        exception_handlers={
            ProblemError: _problem, RequestValidationError: _invalid_option, HTTPException: _http_error,
            OptionError: _bad_option, DataError: _bad_option, MissingExtraError: _bad_option,
            MemoryError: _out_of_memory, Exception: _internal_error,
        },
        middleware=list(_middleware(settings, service)),
    )  # fmt: skip
    app.state.service = service
    app.include_router(router)
    if settings.videos:
        app.include_router(video_router)
    app.add_api_websocket_route("/v1/stream", stream)
    app.add_route("/", page, include_in_schema=False)
    app.add_route("/static/languages.json", class_names, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Warm up before the port opens; finish accepted requests before the process ends."""
    service: Service = app.state.service
    await service.start()
    yield
    service.stop()


async def page(_request: Request) -> Response:
    """Serve the page."""
    return FileResponse(STATIC / "index.html", media_type="text/html; charset=utf-8")


async def class_names(_request: Request) -> Response:
    """Serve the names of the classes in all languages, the table that ``mien.drawing.languages`` reads."""
    return JSONResponse(languages.words())


def _middleware(settings: Settings, service: Service) -> Iterator[Middleware]:
    paths = {
        "/",
        "/v1/stream",
        "/v1/openapi.json",
        "/v1/video",
        *(route.path for route in router.routes if isinstance(route, Route)),
    }
    yield Middleware(Forwarded, proxies=settings.proxies, hops=settings.hops, root=settings.root_path)
    yield Middleware(Access, metrics=service.metrics, routes=paths)
    yield Middleware(SecurityHeaders)
    if settings.origins:
        yield Middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After", "Location"],
        )
    yield Middleware(Guard, settings=settings, rate=read_rate(settings.rate))
    yield Middleware(Heads)


async def _problem(request: Request, error: ProblemError) -> Response:
    request.state.log_fields["kind"] = error.kind
    return error.response(request.state.request_id)


async def _invalid_option(request: Request, error: RequestValidationError) -> Response:
    faults = "; ".join(
        f"{fault['loc'][-1]} = {str(fault.get('input'))[:80]!r}: {fault['msg']}" for fault in error.errors()
    )
    return await _problem(request, ProblemError("bad-option", f"{faults}. /v1/openapi.json has all options."))


async def _bad_option(request: Request, error: Exception) -> Response:
    return await _problem(request, ProblemError("bad-option", str(error)))


async def _http_error(request: Request, error: HTTPException) -> Response:
    kinds = {404: "not-found", 405: "wrong-method"}
    detail = f"{request.method} here: {error.detail}. /v1/openapi.json lists all paths."
    return await _problem(request, ProblemError(kinds.get(error.status_code, "bad-request"), detail, error.headers))


async def _out_of_memory(request: Request, error: Exception) -> Response:
    """Respond to a photo that does not fit in memory; it may be valid, so the client may retry."""
    log.error("out of memory for a photo", extra={"request_id": request.state.request_id}, exc_info=error)
    return await _problem(request, overloaded("There is not enough memory for the photo.", 5))


async def _internal_error(request: Request, _error: Exception) -> Response:
    """Respond to an unexpected exception, which the server logs.

    Starlette sends this response outside of all middleware, so the headers that middleware adds are set here.
    """
    headers = {**HEADERS, "Cache-Control": "no-store", "X-Request-ID": request.state.request_id}
    problem = ProblemError("internal", "Internal server error; see the server log.", headers)
    return await _problem(request, problem)
