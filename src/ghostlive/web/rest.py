"""What FastAPI serves: API, events, health and pages, with every error as a problem document."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from ghostlive import __version__
from ghostlive.hub.hub import Hub
from ghostlive.web.api.docs import docs_routes
from ghostlive.web.api.events import event_routes
from ghostlive.web.api.health import health_routes
from ghostlive.web.api.streams import stream_routes
from ghostlive.web.config import HttpConfig
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.pages import page_routes
from ghostlive.web.problems import CONTENT_TYPE, ProblemError, problem_body
from ghostlive.web.status import Health


def build_rest(*, config: HttpConfig, hub: Hub, directory: StreamDirectory, health: Health, static: Path) -> FastAPI:
    """The application; `static` holds the built pages."""
    app = FastAPI(
        title="Ghost Live",
        version=__version__,
        description="Streams, their live state and their tracks. Errors are problem details (RFC 9457).",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    api = APIRouter(prefix="/api/v1")
    api.include_router(stream_routes(directory))
    api.include_router(event_routes(directory, hub, max_listeners=config.event_listeners))
    app.include_router(health_routes(health))
    app.include_router(api)
    app.include_router(docs_routes(static))
    # Last, since it takes every remaining single path segment for a stream's name.
    app.include_router(page_routes(directory, static=static, frame_ancestors=config.frame_ancestors))
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    headers = {name.decode(): value.decode() for name, value in error.headers}
    return _answer(error.status, error.detail, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"Nothing is served at {request.url.path}." if error.status_code == 404 else str(error.detail)
    return _answer(error.status_code, detail, dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    what = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return _answer(422, what, {})


def _answer(status: int, detail: str, headers: dict[str, str]) -> Response:
    return Response(problem_body(status, detail), status, headers, CONTENT_TYPE.decode())
