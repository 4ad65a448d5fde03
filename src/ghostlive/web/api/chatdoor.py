"""Who may moderate a stream's chat by the API, and how what goes wrong there is answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from fastapi import Request

from ghostlive.access.decision import Action, Identity
from ghostlive.chat.errors import BusyError, NotAllowedError, NotFoundError, OpeningError, RefusalError, TooFastError
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.chat.people import Author, Role
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError


class ChatDoor:
    """Lets in who moderates: by the role of the account, or since they were made a moderator of this chat."""

    def __init__(self, guard: Guard, desk: ModerationDesk) -> None:
        """`desk` knows whom streamers have named."""
        self._guard = guard
        self._desk = desk

    async def actor(self, request: Request, stream: str) -> Actor:
        """Who sends the request. Raises `ProblemError` 401, 403, 404, 503."""
        user = await self.moderator(request, stream)
        try:
            await self._guard.require(request, Action.MANAGE, stream)
        except ProblemError as error:
            if error.status != 403:
                raise
            role = Role.MODERATOR
        else:
            role = Role.STREAMER
        return Actor(Author(f"u_{user.id}", user.name, role), "api")

    async def moderator(self, request: Request, stream: str) -> Identity:
        """The person who sends the request, if they moderate the chat. Raises like `actor`."""
        try:
            return await self._guard.require(request, Action.MODERATE, stream)
        except ProblemError as error:
            user = await self._guard.user(request) if error.status == 403 else None
            if user is None:
                raise
            with as_problems():
                if not await self._desk.is_moderator(stream, f"u_{user.id}"):
                    raise
            return user


@contextmanager
def as_problems() -> Iterator[None]:
    """What the chat raises, as HTTP answers it."""
    try:
        yield
    except OpeningError as error:
        raise ProblemError(error.status, str(error)) from error
    except NotFoundError as error:
        raise ProblemError(404, str(error)) from error
    except NotAllowedError as error:
        raise ProblemError(403, str(error)) from error
    except (BusyError, TooFastError) as error:
        wait = str(ceil(error.retry_after or 1)).encode()
        raise ProblemError(503, str(error), headers=((b"retry-after", wait),)) from error
    except RefusalError as error:
        raise ProblemError(422, str(error)) from error
