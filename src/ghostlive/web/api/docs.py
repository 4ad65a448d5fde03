"""`/api/docs`: the API described for people. The page and its script are built with the other pages."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response

from ghostlive.web.problems import ProblemError

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
)


def docs_routes(static: Path) -> APIRouter:
    """The route of the page, which lies in `static`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/api/docs")
    async def docs() -> Response:
        page = static / "docs.html"
        if not page.is_file():
            raise ProblemError(503, "The pages are not built; the description itself is at /api/openapi.json.")
        return Response(page.read_bytes(), media_type="text/html", headers={"content-security-policy": _POLICY})

    return router
