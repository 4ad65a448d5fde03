"""How the API's description says what can go wrong: problem details (RFC 9457)."""

from typing import Annotated, Any

from fastapi import Path, Response
from pydantic import BaseModel, Field

from ghostlive.web.problems import ProblemError

MEANING = {
    401: "Nobody has signed in.",
    403: "This account may not do that.",
    404: "There is no such thing.",
    409: "It is not possible as things stand; `detail` says why.",
    413: "The body is too large.",
    415: "The body has to be JSON.",
    422: "Something in the request cannot be used; `detail` says what.",
    429: "Too many attempts; `Retry-After` says when to come back.",
    503: "Not at the moment; `Retry-After` says when to come back.",
}


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(description="The status in words", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What was wrong, and what to do", examples=["There is no stream named 'x' here."])


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these. What every change may meet is added by `web.rest`."""
    return {status: {"model": Problem, "description": MEANING[status]} for status in statuses}


RecordId = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""The number of a record, as a path has it."""

MANAGED = problems(401, 403, 404, 503)
"""What every route may answer that needs somebody who may manage a stream."""


def no_stream(name: str) -> ProblemError:
    """There is no stream of that name."""
    return ProblemError(404, f"There is no stream named {name[:80]!r} here.")


def no_store(response: Response) -> None:
    """A dependency of routes whose answers are for one person and no cache."""
    response.headers["cache-control"] = "no-store"
