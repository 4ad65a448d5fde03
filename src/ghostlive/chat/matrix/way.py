"""The way back to the homeserver for what follows from its own events: taking away what the chat refuses, banning who
is banned here, answering. Nobody waits for it; it goes on when the homeserver is there.

And the bot's private rooms: whoever invites it can write to it, which is how people show a one-time code.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import structlog

from ghostlive.chat.errors import BannedError, ListedError, RefusalError
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import MatrixError, UnreachableError
from ghostlive.chat.matrix.events import ENCRYPTED, MEMBER, MESSAGE, RoomEvent, text
from ghostlive.chat.matrix.pace import Backoff, Budget, Line, pause
from ghostlive.chat.matrix.reach import LISTED
from ghostlive.core.clock import Clock

_log = structlog.get_logger("matrix")

_QUEUE: Final = 2000
"""Most that waits; then the oldest is left."""
_TRIES: Final = 8
_INVITES: Final = 0.2
"""Private rooms a second that the bot enters."""
_ENCRYPTED: Final = (
    "This room is encrypted, and I cannot read it. Write the code in the room of the stream instead; "
    "I take it away there at once, and nothing is linked before you say yes on the page."
)
_NO_CODE: Final = "Write me the code that the page of the stream showed you, and you are signed in there."

Heard = Callable[[str, str, datetime], Awaitable[str | None]]
"""Told what somebody wrote: who, what and when; an answer means that it was a code."""


class WayBack:
    """Does one thing after the other. `run` until cancelled."""

    def __init__(self, *, client: MatrixClient, line: Line, clock: Clock) -> None:
        """`line` is shared with everybody who speaks with the homeserver."""
        self._client = client
        self._line = line
        self._clock = clock
        self._queue: deque[tuple[str, Callable[[], Awaitable[Any]]]] = deque(maxlen=_QUEUE)
        self._news = asyncio.Event()

    def refused(self, stream: str, event: RoomEvent, error: RefusalError) -> None:
        """The chat does not accept it: it is taken away in the room too, and clients show why."""
        self._put("redact", self._redacting(event, str(error)))

    def unwelcome(self, stream: str, event: RoomEvent, error: BannedError) -> None:
        """The sender is banned here by what the homeserver does not know."""
        more = LISTED if isinstance(error, ListedError) else None
        self._put("ban", lambda: self._client.ban(event.room_id, event.sender, str(error), more=more))

    def hide(self, stream: str, event: RoomEvent, reason: str) -> None:
        """What was meant for us alone is taken away in the room."""
        self._put("redact", self._redacting(event, reason))

    def reply(self, stream: str, event: RoomEvent, text: str) -> None:
        """Answer somebody in the room."""
        self.answer(event, text)

    def answer(self, event: RoomEvent, words: str) -> None:
        """Answer an event, in one message, with a mention of who sent it."""
        content = {
            "msgtype": "m.notice",
            "body": words,
            "m.mentions": {"user_ids": [event.sender]},
            "m.relates_to": {"m.in_reply_to": {"event_id": event.event_id}},
        }
        txn = f"a{event.event_id}"  # an event has one answer
        self._put("answer", lambda: self._client.send(event.room_id, MESSAGE, content, txn=txn))

    def enter(self, room_id: str) -> None:
        """Accept an invitation."""
        self._put("join", lambda: self._client.join(room_id))

    async def run(self) -> None:
        """Do what is to be done, until cancelled."""
        while True:
            await self._news.wait()
            while self._queue:
                await self._line.up()
                what, act = self._queue.popleft()
                await self._do(what, act)
            self._news.clear()

    async def _do(self, what: str, act: Callable[[], Awaitable[Any]]) -> None:
        backoff = Backoff()
        while True:
            try:
                await act()
                return
            except MatrixError as error:
                if not error.retry or backoff.failures >= _TRIES:
                    _log.info("something in a room could not be done", what=what, error=str(error))
                    return
                if isinstance(error, UnreachableError):
                    self._line.broke(str(error))
                    await self._line.up()
                await pause(self._clock, backoff.failed(error.retry_after))

    def _redacting(self, event: RoomEvent, reason: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self._client.redact(event.room_id, event.event_id, txn=f"x{event.event_id}", reason=reason)

    def _put(self, what: str, act: Callable[[], Awaitable[Any]]) -> None:
        self._queue.append((what, act))
        self._news.set()


class PrivateRooms:
    """What happens in rooms that are no stream's and no list's, where the bot was invited."""

    def __init__(self, *, way: WayBack, bot: str, clock: Clock, heard: Heard) -> None:
        """`heard` is told what people write there."""
        self._way = way
        self._bot = bot
        self._clock = clock
        self.heard = heard
        self._invites = Budget(_INVITES, 20)
        self._answers = Budget(1.0, 20)

    async def handle(self, event: RoomEvent, now: datetime) -> None:
        """Something happened there. Raises what `heard` raises."""
        if event.sender == self._bot:
            return
        if event.type == MEMBER and event.state_key == self._bot and event.membership == "invite":
            if event.content.get("is_direct") is True and self._invites.take(self._clock.now()):
                self._way.enter(event.room_id)
            return
        if event.type == ENCRYPTED:
            self._answer(event, _ENCRYPTED)
        elif event.type == MESSAGE and text(event.content, "msgtype") == "m.text":
            answer = await self.heard(event.sender, text(event.content, "body").strip(), now)
            self._answer(event, answer or _NO_CODE)

    def _answer(self, event: RoomEvent, words: str) -> None:
        if self._answers.take(self._clock.now()):  # two bots could talk for ever
            self._way.answer(event, words)
