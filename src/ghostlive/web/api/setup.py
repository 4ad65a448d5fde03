"""`/api/v1/setup`: the first account of a new server, made with the link that the server printed."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from ghostlive.access.passwords import MAX_LENGTH, MIN_LENGTH
from ghostlive.access.sessions import Sessions
from ghostlive.access.setup import SetupLink, SetupRefusedError
from ghostlive.web.api.problem import problems
from ghostlive.web.api.session import Signed, as_problems, begin, user_name
from ghostlive.web.guard import client_address
from ghostlive.web.problems import ProblemError


class NewOwner(BaseModel):
    """The owner's account, and the right to make it."""

    token: str = Field(max_length=256, repr=False, description="What stands behind `#` in the link")
    name: str = Field(max_length=64, description="Small letters, digits, '.', '_' or '-'")
    password: str = Field(
        max_length=MAX_LENGTH, repr=False, description=f"At least {MIN_LENGTH} characters; a few words make a good one"
    )


def setup_routes(sessions: Sessions, setup: SetupLink | None) -> APIRouter:
    """The route that uses `setup`, which is None when there was an account when the server started."""
    router = APIRouter(tags=["session"])

    @router.post("/setup", status_code=201, responses=problems(403, 422, 429, 503))
    async def make_owner(owner: NewOwner, request: Request, response: Response) -> Signed:
        """Make the owner's account and sign in. It works once, within an hour of the server's start."""
        if setup is None:
            raise ProblemError(403, "There is an account already. Sign in with it.")
        with as_problems():
            try:
                user = await setup.redeem(
                    owner.token, user_name(owner.name), owner.password, address=client_address(request)
                )
            except SetupRefusedError as error:
                raise ProblemError(403, str(error)) from None
            new = await sessions.open(user, request.headers.get("user-agent", ""))
        return begin(request, response, new)

    return router
