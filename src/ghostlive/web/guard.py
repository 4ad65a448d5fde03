"""Who is asking, and may they: the session cookie and the Authorizer behind every route that changes something.

Routes call `Guard.require` before anything else; what comes back is the person on whose behalf they go on.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from starlette.requests import HTTPConnection

from ghostlive.access.decision import AccessRequest, Action, Decision, Identity, Verdict
from ghostlive.access.sessions import COOKIE, SessionsUnavailableError
from ghostlive.web.problems import ProblemError

_STATUS: Final = {Verdict.SIGN_IN_NEEDED: 401, Verdict.ROLE_TOO_LOW: 403, Verdict.STREAM_UNKNOWN: 404}


class Identifier(Protocol):
    """The part of `access.sessions.Sessions` that the guard needs."""

    async def identify(self, token: str | None) -> Identity | None:
        """The person whose session `token` names; None for anything else."""


class Guard:
    """Knows who sends a request and asks the Authorizer whether they may do what it is for."""

    def __init__(self, sessions: Identifier, decide: Callable[[AccessRequest], Awaitable[Decision]]) -> None:
        """`decide` is the Authorizer's."""
        self._sessions = sessions
        self._decide = decide

    async def user(self, request: HTTPConnection) -> Identity | None:
        """Who has signed in where the request comes from. Raises `ProblemError` 503 when that cannot be found out."""
        try:
            return await self._sessions.identify(request.cookies.get(COOKIE))
        except SessionsUnavailableError as error:
            raise ProblemError(503, str(error), headers=((b"retry-after", b"5"),)) from error

    async def require(self, request: HTTPConnection, action: Action, stream: str | None = None) -> Identity:
        """The person behind the request, who may do `action` (to `stream`).

        Raises `ProblemError`: 401 when nobody has signed in, 403 when they may not, 404 when there is no such stream.
        """
        user = await self.user(request)
        decision = await self._decide(
            AccessRequest(action, protocol="web", address=client_address(request), stream=stream, user=user)
        )
        if not decision.allowed:
            raise ProblemError(_STATUS.get(decision.verdict, 403), decision.reason)
        if user is None:
            raise ProblemError(401, "Sign in first.")
        return user


def client_address(request: HTTPConnection) -> str:
    """The peer's IP address, after trusted proxies; empty where there is none (a test, a UNIX socket)."""
    return request.client.host if request.client else ""
