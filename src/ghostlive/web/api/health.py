"""`/healthz` for supervisors and load balancers, and `/api/v1/time` for players that align their clocks."""

from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from ghostlive.web.status import Health, health_answer


def health_routes(health: Health) -> APIRouter:
    """Routes that ask `health`."""
    router = APIRouter(tags=["health"])

    @router.head("/healthz", include_in_schema=False)
    @router.get("/healthz", response_class=JSONResponse)
    async def healthz() -> Response:
        """200 when every listener is up, else 503; the body names each."""
        status, body = health_answer(health)
        return Response(body, status, {"cache-control": "no-store"}, "application/json")

    @router.head("/api/v1/time", include_in_schema=False)
    @router.get("/api/v1/time", response_class=PlainTextResponse)
    async def time() -> PlainTextResponse:
        """The server's time, for DASH's `urn:mpeg:dash:utc:http-iso:2014`."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return PlainTextResponse(now, headers={"cache-control": "no-store", "access-control-allow-origin": "*"})

    return router
