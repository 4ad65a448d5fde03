"""`/api/v1/matrix/…`: signing in with Matrix. Who has signed in links their account, everybody else their browser."""

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from ghostlive.access.browser import COOKIE, make_browser, read_browser, set_cookie
from ghostlive.chat.errors import TooFastError
from ghostlive.chat.identity import browser_subject
from ghostlive.chat.matrix.codes import MatrixSignIn
from ghostlive.web.api.problem import no_store, problems
from ghostlive.web.guard import Guard, client_address
from ghostlive.web.problems import ProblemError


class CodeInfo(BaseModel):
    """A code that is to be sent from a Matrix client."""

    code: str
    bot: str = Field(description="The Matrix ID to send it to; typing it in the chat's room does, too")
    expires_in: int = Field(description="Seconds")


class LinkInfo(BaseModel):
    """To whom on Matrix this account or browser belongs."""

    matrix: str | None = Field(description="A Matrix ID; null without one")
    claimed: str | None = Field(
        default=None, description="Who has sent the code that was asked for from here: linked once that is confirmed"
    )


class Confirmation(BaseModel):
    """Who asked for a code says that this was them."""

    matrix: str = Field(description="The Matrix ID that was shown as `claimed`", max_length=255)


def matrix_routes(sign_in: MatrixSignIn, guard: Guard, secret: bytes) -> APIRouter:
    """Routes of `sign_in`; `secret` signs the cookie of browsers."""
    router = APIRouter(prefix="/matrix", tags=["chat"], dependencies=[Depends(no_store)])

    async def subject(request: Request) -> str:
        """Who asks; empty for a browser that we do not know."""
        user = await guard.user(request)
        if user is not None:
            return f"u_{user.id}"
        browser = read_browser(secret, request.cookies.get(COOKIE))
        return browser_subject(browser) if browser else ""

    @router.post("/code", responses=problems(429, 503))
    async def make_code(request: Request, response: Response) -> CodeInfo:
        """Ask for a code. It is valid once, for ten minutes; one that was asked for before is not any more."""
        if not sign_in.bot:
            raise ProblemError(503, "There is no chat on Matrix at the moment.", headers=((b"retry-after", b"30"),))
        who = await subject(request)
        if not who:
            browser = make_browser()
            who = browser_subject(browser)
            cookie = set_cookie(secret, browser, secure=request.url.scheme == "https")
            response.headers.append("set-cookie", cookie)
        try:
            code = await sign_in.issue(who, client_address(request))
        except TooFastError as error:
            wait = str(round(error.retry_after or 1) + 1).encode()
            raise ProblemError(429, str(error), headers=((b"retry-after", wait),)) from error
        return CodeInfo(code=code.text, bot=sign_in.bot, expires_in=round(code.expires_in))

    @router.get("/link", responses=problems(503))
    async def get_link(request: Request) -> LinkInfo:
        """The Matrix ID that a code has linked."""
        who = await subject(request)
        return LinkInfo(matrix=sign_in.links.get(who), claimed=sign_in.claim(who))

    @router.post("/link", responses=problems(409, 503))
    async def confirm_link(confirmation: Confirmation, request: Request) -> LinkInfo:
        """Say that the Matrix ID that sent the code is one's own: only now it is linked."""
        who = await subject(request)
        if not await sign_in.confirm(who, confirmation.matrix):
            raise ProblemError(409, "There is no code from that Matrix ID any more. Ask for a new one.")
        return LinkInfo(matrix=sign_in.links.get(who))

    @router.delete("/code", status_code=204, responses=problems(503))
    async def withdraw_code(request: Request) -> None:
        """Say that somebody else sent the code, or that it is not needed: it is void, and nothing is linked."""
        who = await subject(request)
        if who:
            await sign_in.withdraw(who)

    @router.delete("/link", status_code=204, responses=problems(503))
    async def remove_link(request: Request) -> None:
        """Undo that. Nothing happens without a link."""
        who = await subject(request)
        if who:
            await sign_in.unlink(who)

    return router
