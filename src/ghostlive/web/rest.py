"""What FastAPI serves: API, events, health and pages, with every error as a problem document."""

from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy import exc
from starlette.exceptions import HTTPException

from ghostlive import __version__
from ghostlive.web.api.bans import ban_routes
from ghostlive.web.api.chatmatrix import chat_matrix_routes
from ghostlive.web.api.docs import docs_routes
from ghostlive.web.api.events import event_routes
from ghostlive.web.api.health import health_routes
from ghostlive.web.api.heldmedia import held_media_routes
from ghostlive.web.api.ingest import ingest_routes
from ghostlive.web.api.keys import key_routes
from ghostlive.web.api.matrixcode import matrix_routes
from ghostlive.web.api.moderation import moderation_routes
from ghostlive.web.api.problem import MEANING
from ghostlive.web.api.renditions import rendition_routes
from ghostlive.web.api.session import session_routes
from ghostlive.web.api.setup import setup_routes
from ghostlive.web.api.streams import stream_routes, studio_routes
from ghostlive.web.api.viewers import viewer_routes
from ghostlive.web.pages import page_routes
from ghostlive.web.parts import RestParts
from ghostlive.web.problems import CONTENT_TYPE, ProblemError, problem_body

_log = structlog.get_logger("http")


class RestApi(FastAPI):
    """FastAPI whose description says that errors are problem documents, as they are."""

    def openapi(self) -> dict[str, Any]:
        """See `FastAPI.openapi`."""
        if self.openapi_schema is None:
            _describe_problems(super().openapi())
        return super().openapi()


def build_rest(parts: RestParts) -> FastAPI:
    """The application."""
    app = RestApi(
        title="Ghost Live",
        version=__version__,
        description="Streams, their live state and their tracks; keys, broadcasts and bans for those who sign in. "
        "Bodies are JSON, errors are problem details (RFC 9457).",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    api = APIRouter(prefix="/api/v1")
    api.include_router(session_routes(parts.sessions, parts.guard, parts.setup))
    api.include_router(setup_routes(parts.sessions, parts.setup))
    api.include_router(stream_routes(parts.directory))
    api.include_router(viewer_routes(parts.directory, parts.audience))
    api.include_router(event_routes(parts.feed, parts.audience))
    api.include_router(studio_routes(parts.directory, parts.records, parts.hub, parts.guard))
    api.include_router(key_routes(parts.records, parts.guard))
    api.include_router(ingest_routes(parts.hub, parts.guard, parts.addresses))
    if parts.transcode is not None:
        api.include_router(rendition_routes(parts.transcode, parts.hub, parts.audience, parts.guard))
    if parts.matrix is not None and parts.desk is not None:
        api.include_router(chat_matrix_routes(parts.matrix, parts.desk, parts.guard))
    if parts.desk is not None:
        api.include_router(moderation_routes(parts.desk, parts.guard))
        api.include_router(ban_routes(parts.desk, parts.guard))
        if parts.pictures is not None:
            api.include_router(held_media_routes(parts.desk, parts.guard, parts.pictures))
    if parts.sign_in is not None:
        api.include_router(matrix_routes(parts.sign_in, parts.guard, parts.secret))
    app.include_router(health_routes(parts.health))
    app.include_router(api)
    app.include_router(docs_routes(parts.static))
    # Last, since it takes every remaining single path segment for a stream's name.
    app.include_router(page_routes(parts.directory, static=parts.static, frame_ancestors=parts.config.frame_ancestors))
    app.add_exception_handler(ProblemError, problem_answer)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    for unreachable in (exc.OperationalError, exc.TimeoutError):
        app.add_exception_handler(unreachable, _database_busy)
    app.add_exception_handler(Exception, _failed)
    return app


def _describe_problems(description: dict[str, Any]) -> None:
    """Put the right media type to every error, and the model of problems in place of FastAPI's own.

    What every change may be answered with, before its route is reached (`web.sitecheck`), is added.
    """
    schema = {"$ref": "#/components/schemas/Problem"}
    for path in description["paths"].values():
        for method, operation in path.items():
            answers = operation["responses"]
            if method != "get":
                answers.setdefault("403", {"description": "Pages of other sites may not do this."})
            if "requestBody" in operation:
                answers |= {str(status): {"description": MEANING[status]} for status in (413, 415)}
            for status, answer in answers.items():
                if status >= "400":
                    answer["content"] = {CONTENT_TYPE.decode(): {"schema": schema}}
    schemas = description["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


async def problem_answer(request: Request, error: Exception) -> Response:
    """A problem document for a `ProblemError`."""
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


async def _database_busy(request: Request, error: Exception) -> Response:
    _log.warning("the database does not answer", path=request.url.path, error=str(getattr(error, "orig", error)))
    detail = "The server cannot reach its database at the moment; try again in a few seconds."
    return _answer(503, detail, {"retry-after": "5"})


async def _failed(request: Request, error: Exception) -> Response:
    """What nobody foresaw; uvicorn logs it with its traceback."""
    return _answer(500, "This did not work because of a fault in the server; its log says more.", {})


def _answer(status: int, detail: str, headers: dict[str, str]) -> Response:
    return Response(
        problem_body(status, detail), status, {"cache-control": "no-store", **headers}, CONTENT_TYPE.decode()
    )
