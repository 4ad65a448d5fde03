"""The way back to the homeserver for what follows from its own events: taking away what the chat refuses, banning who
is banned here, answering. Nobody waits for it; it goes on when the homeserver is there. What is to be taken away is
noted before the homeserver's transaction is taken (`keep`), so that it goes after the next start at the latest.

And the bot's private rooms: whoever invites it can write to it, which is how people show a one-time code.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.errors import BannedError, ListedError, RefusalError
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.errors import MatrixError, UnreachableError
from ghostlive.chat.matrix.events import ENCRYPTED, MEMBER, MESSAGE, RoomEvent, text
from ghostlive.chat.matrix.ghosts import ghost_author
from ghostlive.chat.matrix.pace import Backoff, Budget, Line, pause
from ghostlive.chat.matrix.reach import LISTED
from ghostlive.core.clock import Clock
from ghostlive.db.chat import ChatRepository
from ghostlive.db.matrix import MatrixRepository, PendingRecord

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


class _Errand:
    """One thing to do."""

    __slots__ = ("act", "done", "number", "what")

    def __init__(self, what: str, act: Callable[[], Awaitable[Any]], number: int | None = None) -> None:
        self.what = what
        self.act = act
        self.number = number
        """Under which it is noted."""
        self.done = False


class WayBack:
    """Does one thing after the other. `run` until cancelled."""

    def __init__(
        self,
        *,
        client: MatrixClient,
        line: Line,
        clock: Clock,
        repository: MatrixRepository,
        chat: ChatRepository,
    ) -> None:
        """`line` is shared with everybody who speaks with the homeserver; `chat` knows the streams."""
        self._client = client
        self._line = line
        self._clock = clock
        self._repository = repository
        self._chat = chat
        self._queue: deque[_Errand] = deque(maxlen=_QUEUE)
        self._unkept: deque[tuple[str, _Errand, Mapping[str, str]]] = deque(maxlen=_QUEUE)
        self._news = asyncio.Event()

    def refused(self, stream: str, event: RoomEvent, error: RefusalError) -> None:
        """The chat does not accept it: it is taken away in the room too, and clients show why."""
        self._take_away(stream, event, str(error))

    def unwelcome(self, stream: str, event: RoomEvent, error: BannedError) -> None:
        """The sender is banned here by what the homeserver does not know."""
        more = LISTED if isinstance(error, ListedError) else None
        self._put("ban", lambda: self._client.ban(event.room_id, event.sender, str(error), more=more))

    def hide(self, stream: str, event: RoomEvent, reason: str) -> None:
        """What was meant for us alone is taken away in the room."""
        self._take_away(stream, event, reason)

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
        # The same answer again is one; another one to the same event is not.
        txn = f"a{event.event_id}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
        self._put("answer", lambda: self._client.send(event.room_id, MESSAGE, content, txn=txn))

    def enter(self, room_id: str) -> None:
        """Accept an invitation."""
        self._put("join", lambda: self._client.join(room_id))

    def decline(self, room_id: str, ghost: str) -> None:
        """Refuse an invitation of a ghost."""
        self._put("leave", lambda: self._client.leave(room_id, user=ghost))

    async def keep(self) -> None:
        """Note what is to be taken away and is not done yet. Raises like the database; then call it again."""
        if not self._unkept:
            return
        taken, self._unkept = self._unkept, deque(maxlen=_QUEUE)
        try:
            waiting = [(stream, errand, payload) for stream, errand, payload in taken if not errand.done]
            ids = {stream: await self._chat.stream(stream) for stream, _, _ in waiting}
            known = [(found.id, errand, note) for name, errand, note in waiting if (found := ids[name]) is not None]
            numbers = await self._repository.keep_errands([(number, note) for number, _, note in known])
        except (OSError, SQLAlchemyError):
            self._unkept.extendleft(reversed(taken))
            raise
        for (_, errand, _), number in zip(known, numbers, strict=True):
            errand.number = number
            if errand.done:  # meanwhile
                await self._repository.forget_errand(number)

    async def run(self) -> None:
        """Do what is to be done, and what the last run left, until cancelled."""
        for record in await self._left():
            room, event, reason = (str(record.payload[name]) for name in ("room", "event", "reason"))
            self._queue.append(_Errand("redact", self._redacting(room, event, reason), record.id))
            self._news.set()
        while True:
            await self._news.wait()
            while self._queue:
                await self._line.up()
                errand = self._queue.popleft()
                await self._do(errand.what, errand.act)
                errand.done = True
                if errand.number is not None:
                    await self._forget(errand.number)
            self._news.clear()

    async def _left(self) -> Sequence[PendingRecord]:
        try:
            return await self._repository.errands()
        except (OSError, SQLAlchemyError) as error:
            _log.warning("what is to be taken away in rooms cannot be read", error=str(error))
            return ()

    async def _forget(self, number: int) -> None:
        try:
            await self._repository.forget_errand(number)
        except (OSError, SQLAlchemyError) as error:  # it is done once more after the next start, which changes nothing
            _log.warning("something that was done in a room could not be noted", error=str(error))

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

    def _take_away(self, stream: str, event: RoomEvent, reason: str) -> None:
        errand = self._put("redact", self._redacting(event.room_id, event.event_id, reason))
        payload = {"room": event.room_id, "event": event.event_id, "reason": reason}
        self._unkept.append((stream, errand, payload))

    def _redacting(self, room_id: str, event_id: str, reason: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self._client.redact(room_id, event_id, txn=f"x{event_id}", reason=reason)

    def _put(self, what: str, act: Callable[[], Awaitable[Any]]) -> _Errand:
        errand = _Errand(what, act)
        self._queue.append(errand)
        self._news.set()
        return errand


class PrivateRooms:
    """What happens in rooms that are no stream's and no list's, where the bot was invited."""

    def __init__(self, *, way: WayBack, bot: str, clock: Clock, heard: Heard) -> None:
        """`heard` is told what people write there."""
        self._way = way
        self._bot = bot
        self._clock = clock
        self.heard = heard
        self._invites = Budget(_INVITES, 20)
        self._declines = Budget(1.0, 20)
        self._answers = Budget(1.0, 20)

    async def handle(self, event: RoomEvent, now: datetime) -> None:
        """Something happened there. Raises what `heard` raises."""
        if event.sender == self._bot:
            return
        if event.type == MEMBER and event.state_key == self._bot and event.membership == "invite":
            if event.content.get("is_direct") is True and self._invites.take(self._clock.now()):
                self._way.enter(event.room_id)
            return
        if event.type == MEMBER and event.membership == "invite" and self._is_ghost(event.state_key or ""):
            # Else it looks as if they might still come, and read what is written to them meanwhile.
            if self._declines.take(self._clock.now()):
                self._way.decline(event.room_id, event.state_key or "")
            return
        if event.type == ENCRYPTED:
            self._answer(event, _ENCRYPTED)
        elif event.type == MESSAGE and text(event.content, "msgtype") == "m.text":
            answer = await self.heard(event.sender, text(event.content, "body").strip(), now)
            self._answer(event, answer or _NO_CODE)

    def _is_ghost(self, mxid: str) -> bool:
        return ghost_author(mxid, self._bot.partition(":")[2]) is not None

    def _answer(self, event: RoomEvent, words: str) -> None:
        if self._answers.take(self._clock.now()):  # two bots could talk for ever
            self._way.answer(event, words)
