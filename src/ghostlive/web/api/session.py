"""`/api/v1/session` and `/api/v1/password`: sign in and out, who am I, another password."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from ghostlive.access.decision import Identity
from ghostlive.access.limits import TooBusyError
from ghostlive.access.passwords import MAX_LENGTH, MIN_LENGTH
from ghostlive.access.sessions import COOKIE, LIFETIME, NewSession, Sessions, SessionsUnavailableError
from ghostlive.access.setup import SetupLink
from ghostlive.access.signin import BUSY_RETRY, SignInRefusedError
from ghostlive.core.errors import RefusedError
from ghostlive.db.errors import DatabaseError
from ghostlive.db.users import Role
from ghostlive.web.api.problem import problems
from ghostlive.web.guard import Guard, client_address
from ghostlive.web.problems import ProblemError

MARK_COOKIE: Final = "ghostlive_browser"
"""Name of the cookie by which a browser that has signed in before is known (`access.signin`)."""
_MARK_PATH: Final = "/api/v1/session"
_MARK_AGE: Final = 400 * 24 * 3600  # the most that browsers keep a cookie


class UserInfo(BaseModel):
    """Somebody who has signed in."""

    name: str
    role: Role


class Signed(BaseModel):
    """Who has just signed in; the cookie comes with it."""

    user: UserInfo


class SessionInfo(BaseModel):
    """Who is asking."""

    user: UserInfo | None = Field(description="null when nobody has signed in")
    setup: bool = Field(description="Whether this server has no account yet, and waits for its set-up link to be used")


class Credentials(BaseModel):
    """Name and password."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=MAX_LENGTH, repr=False)


class PasswordChange(BaseModel):
    """The password so far, and the one from now on."""

    current: str = Field(max_length=MAX_LENGTH, repr=False)
    new: str = Field(
        max_length=MAX_LENGTH, repr=False, description=f"At least {MIN_LENGTH} characters; a few words make a good one"
    )


def session_routes(sessions: Sessions, guard: Guard, setup: SetupLink | None) -> APIRouter:
    """Routes that begin and end `sessions`; `setup` is the link that the server printed, if it did."""
    router = APIRouter(tags=["session"])

    @router.get("/session", responses=problems(503))
    async def get_session(request: Request, response: Response) -> SessionInfo:
        """Who is signed in. A session lasts 30 days from its last use, and so does the cookie that comes again here."""
        user = await guard.user(request)
        if user is not None:
            _set_session_cookie(request, response, request.cookies[COOKIE])
        response.headers["cache-control"] = "no-store"
        with as_problems():
            waiting = user is None and setup is not None and await setup.needed()
        return SessionInfo(user=_info(user) if user else None, setup=waiting)

    @router.post("/session", responses=problems(401, 403, 422, 429, 503))
    async def sign_in(credentials: Credentials, request: Request, response: Response) -> Signed:
        """Sign in. Attempts are limited for each address and each account."""
        with as_problems(refused=401):
            new = await sessions.sign_in(
                user_name(credentials.name),
                credentials.password,
                address=client_address(request),
                agent=request.headers.get("user-agent", ""),
                mark=request.cookies.get(MARK_COOKIE),
            )
        # Whoever was signed in with this browser is not any more.
        with suppress(SessionsUnavailableError):
            await sessions.close(request.cookies.get(COOKIE))
        return begin(request, response, new)

    @router.delete("/session", status_code=204, responses=problems(403, 503))
    async def sign_out(request: Request, response: Response) -> None:
        """Sign out. Nothing happens when nobody is signed in."""
        with as_problems():
            await sessions.close(request.cookies.get(COOKIE))
        response.delete_cookie(COOKIE, path="/", secure=_secure(request), httponly=True, samesite="lax")
        response.headers["cache-control"] = "no-store"

    @router.post("/password", status_code=204, responses=problems(401, 403, 422, 429, 503))
    async def change_password(change: PasswordChange, request: Request) -> None:
        """Change one's own password. All other sessions of the account end."""
        user = await guard.user(request)
        if user is None:
            raise ProblemError(401, "Sign in first.")
        with as_problems(refused=403):
            await sessions.change_password(
                user, change.current, change.new, token=request.cookies[COOKIE], address=client_address(request)
            )

    return router


def begin(request: Request, response: Response, new: NewSession) -> Signed:
    """Give the browser its new session; the answer's body."""
    _set_session_cookie(request, response, new.token)
    response.set_cookie(
        MARK_COOKIE,
        new.mark,
        max_age=_MARK_AGE,
        path=_MARK_PATH,
        secure=_secure(request),
        httponly=True,
        samesite="strict",
    )
    response.headers["cache-control"] = "no-store"
    return Signed(user=_info(new.user))


def user_name(text: str) -> str:
    """A name as typed, which phones begin with a capital and end with a space."""
    return text.strip().lower()


@contextmanager
def as_problems(*, refused: int = 403) -> Iterator[None]:
    """What accounts raise becomes a problem document; a wrong password gets the status `refused`."""
    try:
        yield
    except SignInRefusedError as error:
        if error.retry_after is None:
            raise ProblemError(refused, str(error)) from None
        raise _later(429, str(error), error.retry_after) from None
    except TooBusyError as error:
        raise _later(429, str(error), BUSY_RETRY) from None
    except SessionsUnavailableError as error:
        raise _later(503, str(error), BUSY_RETRY) from None
    except (RefusedError, DatabaseError) as error:
        raise ProblemError(422, _sentence(str(error))) from None


def _later(status: int, detail: str, seconds: float) -> ProblemError:
    return ProblemError(status, detail, headers=((b"retry-after", str(ceil(seconds)).encode()),))


def _set_session_cookie(request: Request, response: Response, token: str) -> None:
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(LIFETIME.total_seconds()),
        path="/",
        secure=_secure(request),
        httponly=True,
        samesite="lax",
    )


def _secure(request: Request) -> bool:
    """Whether the browser may send the cookie by HTTPS only; it could not keep such a one that comes by HTTP."""
    return request.url.scheme == "https"


def _info(user: Identity) -> UserInfo:
    return UserInfo(name=user.name, role=user.role)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
