"""The outbox: what was said and done on the page goes into the room, in its order, once each.

It is no copy: a room has a cursor over the chat's own tables (`db.matrix`), and what stands above it is sent, one after
the other, at the homeserver's pace. Nobody on the page waits for it.

What happened when the answer is missing? A homeserver remembers transaction ids only in memory, and so do we what we
had sent but not noted yet. So after every start and every call whose end nobody knows, the room is read backwards
first: what is there is not sent again, also when somebody has redacted it by then (`past`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.errors import ChatError
from ghostlive.chat.matrix.alias import is_ours
from ghostlive.chat.matrix.client import MatrixClient
from ghostlive.chat.matrix.content import (
    ID,
    NO_EMOTES,
    edit_content,
    has_codes,
    mark,
    media_ids,
    message_content,
    reaction_content,
)
from ghostlive.chat.matrix.errors import (
    ApiError,
    ForbiddenError,
    MatrixError,
    MissingError,
    TokenError,
    UnreachableError,
)
from ghostlive.chat.matrix.events import MESSAGE, REACTION, REDACTION, RoomEvent
from ghostlive.chat.matrix.ghosts import BY_BOT, JOINS, Ghosts
from ghostlive.chat.matrix.media import PATH
from ghostlive.chat.matrix.pace import Backoff, Line, pause
from ghostlive.chat.matrix.past import Past, milliseconds
from ghostlive.chat.matrix.runs import Item, Run, runs
from ghostlive.chat.matrix.together import together
from ghostlive.core.clock import Clock
from ghostlive.core.tasks import finish
from ghostlive.db.chat import ChatRepository, ReactionRecord
from ghostlive.db.matrix import (
    DeletionRecord,
    MatrixRepository,
    Outgoing,
    OutgoingRecord,
    PendingRecord,
    pass_cursor,
)

_log = structlog.get_logger("matrix")

_READ: Final = 100
"""Most messages that are read from the database at once."""
_NOTE: Final = 32
"""Most that are sent before it is noted that they were."""
_NOTE_AFTER: Final = 0.5
"""Seconds after which what was sent is noted."""
_PAGE, _PAGES = 250, 400
"""Events in a page, and most pages, when a room is read backwards: all that came while we were away."""
_READ_BACK: Final = (MESSAGE, REACTION, REDACTION)
"""What is looked at then; of memberships there may be thousands."""
_AGAIN: Final = 2.0
"""Seconds until somebody who could not join yet may have."""
_GIVE_UP: Final = 3600.0
"""Seconds after which a reaction is too old to wait for its author's join."""
_SHORT: Final = 1.0
"""Seconds after a call that did not get through; whether the homeserver is there is another question (`Line`)."""
_ECHOES: Final = 500
_SENT: Final = 2000
"""How many events of ours are remembered with who sent them."""


class Mirror(Protocol):
    """Carries acts of moderation into the room (`matrix.mirror`)."""

    async def perform(self, room: "OutboxRoom", act: PendingRecord) -> None:
        """Do in the room what was done on the page. Raises a `MatrixError`."""


@dataclass(slots=True)
class OutboxRoom:
    """A room of which the outbox takes care."""

    number: int
    """In `matrix_rooms`."""
    stream: str
    stream_id: int
    room_id: str
    cursor: int


@dataclass(slots=True)
class _Sent:
    """What is done and not noted yet."""

    events: list[tuple[str, int, str, str, str]] = field(default_factory=list)
    """(event, message, kind, author, key)."""
    done: list[int] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Events of reactions that were taken back."""
    cursor: int = 0

    def __len__(self) -> int:
        return len(self.events) + len(self.done)


async def _nobody_told(_redaction: RoomEvent) -> None:
    return None


async def _no_emotes() -> Mapping[str, str]:
    return NO_EMOTES


class Outbox:
    """The outbox of one room. `run` until cancelled; `wake` when there is something new."""

    def __init__(
        self,
        room: OutboxRoom,
        *,
        client: MatrixClient,
        ghosts: Ghosts,
        repository: MatrixRepository,
        chat: ChatRepository,
        line: Line,
        clock: Clock,
        mirror: Mirror,
        repair: Callable[[str], Awaitable[None]],
        emotes: Callable[[], Awaitable[Mapping[str, str]]] = _no_emotes,
        redacted: Callable[[RoomEvent], Awaitable[None]] = _nobody_told,
    ) -> None:
        """`repair` is told a stream whose room does not let the bot work any more.

        `emotes` are the pictures that people may write as `:code:`, by their code, as `mxc:` addresses; it may raise a
        `MatrixError`. `redacted` is told by which event something was redacted that is only now known to be ours.
        """
        self._redacted = redacted
        self._emotes = emotes
        self.room = room
        self._client = client
        self._ghosts = ghosts
        self._repository = repository
        self._chat = chat
        self._line = line
        self._clock = clock
        self._mirror = mirror
        self._repair = repair
        self._news = asyncio.Event()
        self._news.set()
        self._unsure = True
        self._backoff = Backoff()
        self._sent = _Sent()
        self._noted_at = clock.now()
        self._gone: set[int] = set()
        self._recent: OrderedDict[int, tuple[str, str, str | None]] = OrderedDict()
        """Events of the last messages, who sent them, and what they said, where that is known."""
        self._replies: dict[int, str] = {}
        self._answered: dict[int, str] = {}
        """By messages that are answered, the Matrix IDs of those who said them; of those only who have one."""
        self._passed = 0
        """Messages up to this number were dealt with, whether or not they are known."""
        self._redactions: set[str] = set()
        """Events that were redacted when we looked back."""
        self._postponed = 0
        self._behind = False
        """So much waits that nobody's join may hold it up."""
        self._echoes: OrderedDict[str, int] = OrderedDict()
        """Messages by their events, as the homeserver told us of them: maybe before it answered us."""
        self.trouble = ""
        """Why it does not go on; empty when it does."""
        self.sent = 0
        self.refused = 0
        """What the homeserver will not take, ever: the author was banned from the room, or the text is too long."""
        self.caught_up = asyncio.Event()
        """Set while nothing waits."""

    def wake(self) -> None:
        """There is something new to send."""
        self.caught_up.clear()
        self._news.set()

    def deleted(self, ids: Sequence[int]) -> None:
        """These are gone: they need not be sent if they were not yet."""
        self._gone.update(ids)

    def echo(self, event: RoomEvent) -> None:
        """An event that we sent is in the room."""
        number = mark(event.content, ID)
        if number is not None:
            self._echoes[event.event_id] = number
            while len(self._echoes) > _ECHOES:
                self._echoes.popitem(last=False)

    async def know(self, event_id: str) -> None:
        """Somebody speaks of that event. If it is one that we sent a moment ago, note it now, and not with the next."""
        number = self._echoes.get(event_id)
        if number is not None:
            await finish(self._write_down_one(event_id, number))

    async def _write_down_one(self, event_id: str, number: int) -> None:
        if await self._chat.messages(self.room.stream_id, [number]):
            async with self._chat.transaction() as transaction:
                await transaction.add_event(self.room.stream_id, event_id, number, "message")
        self._echoes.pop(event_id, None)

    async def run(self) -> None:
        """Send what there is, wait for more."""
        while True:
            await self._line.up()
            await self._news.wait()
            self._news.clear()
            wait = await self._try()
            if wait is not None:
                self._news.set()
                await pause(self._clock, wait)

    async def _try(self) -> float | None:
        """Send everything; the seconds until the next try when that did not work, None when it did."""
        before = self.sent
        try:
            await self._drain()
        except (ChatError, OSError, SQLAlchemyError) as error:
            if self.sent != before:
                self._backoff.succeeded()
            return await self._failed(error)
        self._backoff.succeeded()
        self.trouble = ""
        if not self._news.is_set():
            self.caught_up.set()
        return None

    async def _failed(self, error: Exception) -> float:
        """Something is in the way; the seconds to wait."""
        if not isinstance(error, MatrixError):
            self.trouble = "the database does not answer"
            _log.warning("the outbox cannot use the database", stream=self.room.stream, error=str(error))
            return self._backoff.failed()
        self._unsure = True  # it may have been done
        self.trouble = str(error)
        if isinstance(error, UnreachableError):
            self._line.broke(str(error))
            return min(_SHORT, self._backoff.failed())
        if isinstance(error, ForbiddenError | MissingError):
            self.trouble = f"the bot may not work in the room: {error}"
            _log.warning("a room refuses the bot", stream=self.room.stream, error=str(error))
            await self._repair(self.room.stream)
        return self._backoff.failed(error.retry_after)

    async def _drain(self) -> None:
        await self._note()
        self._postponed = 0
        while True:
            outgoing = await self._repository.outgoing(
                self.room.stream_id,
                after=self.room.cursor,
                limit=_READ,
                now_ms=self._clock.wall_ns() // 1_000_000,
            )
            items = _in_order(outgoing, limit=_READ)
            self._behind = len(items) >= _READ
            if not items:
                self._gone.clear()
                return
            if self._unsure:
                await self._look_back(outgoing)
                self._unsure = False
                continue
            replies = {message.reply_to for message in outgoing.messages if message.reply_to is not None}
            self._replies = await self._chat.events_of(replies) if replies else {}
            answered = await self._chat.messages(self.room.stream_id, replies) if replies else {}
            self._answered = {number: one.mxid for number, one in answered.items() if one.mxid is not None}
            try:
                for run in runs(items):
                    await (self._send(run[0][1]) if len(run) == 1 else self._send_together(run))
                    if len(self._sent) >= _NOTE or self._clock.now() - self._noted_at > _NOTE_AFTER:
                        await self._note()
            finally:
                await self._note_calmly()

    async def _send(self, item: Item) -> None:
        match item:
            case OutgoingRecord():
                await self._say(item)
                self._sent.cursor = max(self._sent.cursor, item.id)
            case DeletionRecord():
                await self._redact(item)
                self._sent.cursor = max(self._sent.cursor, item.seq)
            case PendingRecord():
                if await self._do(item):
                    self._sent.done.append(item.id)

    async def _take_away(self, event_id: str, txn: str, reason: str = "") -> None:
        if event_id not in self._redactions:
            await self._client.redact(self.room.room_id, event_id, txn=txn, reason=reason)

    async def _send_together(self, run: Run) -> None:
        """What has no order among itself."""
        await together([(key, partial(self._send_one_of, item)) for key, item in run], self._clock)
        passed = [item.seq for _, item in run if isinstance(item, DeletionRecord)]
        # Not before all of them are done: what is below the cursor is not looked for again.
        self._sent.cursor = max(self._sent.cursor, *passed, 0)

    async def _send_one_of(self, item: Item) -> None:
        if isinstance(item, DeletionRecord):
            await self._redact(item)
        elif isinstance(item, PendingRecord):
            await self._mirror.perform(self.room, item)
            self._sent.done.append(item.id)

    async def _redact(self, item: DeletionRecord) -> None:
        reason = f"Deleted by {item.by}" if item.by else ""
        await self._take_away(item.event_id, f"d{item.message_id}", reason)

    # -- noting

    async def _note_calmly(self) -> None:
        """Also on the way out with an error, which is the one that counts."""
        try:
            await self._note()
        except (OSError, SQLAlchemyError) as error:
            _log.warning("what was sent could not be noted yet", stream=self.room.stream, error=str(error))

    async def _note(self) -> None:
        """Put down what was sent. Not broken off when this outbox ends."""
        await finish(self._write_down())

    async def _write_down(self) -> None:
        sent, cursor = self._sent, max(self.room.cursor, self._sent.cursor)
        if not sent and cursor == self.room.cursor:
            return
        events, done, gone = list(sent.events), list(sent.done), list(sent.gone)
        async with self._chat.transaction() as transaction:
            for event_id, message, kind, author, key in events:
                await transaction.add_event(self.room.stream_id, event_id, message, kind, author=author, key=key)
            for event_id in gone:
                await transaction.remove_event(event_id)
            await pass_cursor(transaction.connection, self.room.number, cursor, done)
        del sent.events[: len(events)], sent.done[: len(done)], sent.gone[: len(gone)]
        self.room.cursor = cursor
        self._noted_at = self._clock.now()

    # -- looking back

    async def _look_back(self, outgoing: Outgoing) -> None:
        """Find what is in the room already of that which is not noted as sent, and note it."""
        past = Past(outgoing, cursor=self.room.cursor, server_name=self._ghosts.server_name)
        token: str | None = ""
        for _ in range(_PAGES):
            page = await self._client.messages(self.room.room_id, since=token or "", limit=_PAGE, kinds=_READ_BACK)
            token = page.end
            if past.read(page.events) or token is None:
                break
        else:
            _log.warning("a room was not read to its beginning", stream=self.room.stream)
        found = past.found()
        self._passed = max(self._passed, found.passed)
        self._redactions = found.redacted
        for number, event in found.messages.items():
            self._remember(number, event.event_id, event.sender, None)
            self._sent.events.append((event.event_id, number, "message", "", ""))
        for item, event in found.others:
            self._found_aside(item, event)
        await self._note()
        for event in [*found.messages.values(), *(event for _, event in found.others)]:
            if event.redaction is not None and not is_ours(event.redaction.sender, self._ghosts.server_name):
                await self._redacted(event.redaction)

    def _found_aside(self, item: PendingRecord, event: RoomEvent) -> None:
        payload = item.payload
        self._sent.done.append(item.id)
        if "key" in payload:
            what = (int(payload["message"]), "reaction", str(payload["author"]), str(payload["key"]))
        else:
            what = (int(payload["message"]), "edit", "", "")
        self._sent.events.append((event.event_id, *what))

    # -- messages

    async def _say(self, message: OutgoingRecord) -> None:
        if message.deleted or message.known or message.id in self._gone or message.id <= self._passed:
            self._gone.discard(message.id)
            return
        room, reply, answered = self.room, None, None
        if message.reply_to is not None:
            known = self._recent.get(message.reply_to)
            reply = self._replies.get(message.reply_to) if known is None else known[0]
            answered = self._answered.get(message.reply_to)
        emotes, files = await self._emotes_in(message.text), await self._files_of(message)
        voice = await self._ghosts.voice(room.number, room.room_id, message.author, message.name, hurried=self._behind)
        for _ in range(2):
            if voice is None:
                break
            user = voice.user
            try:
                event_id = await self._client.send(
                    room.room_id,
                    MESSAGE,
                    message_content(
                        message,
                        reply_event=reply,
                        by_bot=user is None,
                        answered=answered,
                        emotes=emotes,
                        files=files,
                    ),
                    txn=f"m{message.id}",
                    user=user,
                    ts=milliseconds(message),
                )
            except (ForbiddenError, TokenError):
                if user is None:
                    raise
                voice = await self._ghosts.refused(room.number, room.room_id, message.author, message.name)
                continue
            except ApiError as error:
                if error.retry or isinstance(error, MissingError):
                    raise
                _log.warning("the homeserver will not take a message", stream=room.stream, error=str(error))
                break
            self._remember(message.id, event_id, user or self._ghosts.bot, message.text)
            self._sent.events.append((event_id, message.id, "message", "", ""))
            self.sent += 1
            return
        self.refused += 1

    def _remember(self, message: int, event_id: str, user: str, text: str | None) -> None:
        self._recent[message] = (event_id, user, text)
        while len(self._recent) > _SENT:
            self._recent.popitem(last=False)

    async def _emotes_in(self, text: str) -> Mapping[str, str]:
        """What could stand in a text; the homeserver is not asked for it when there is nothing."""
        return await self._emotes() if has_codes(text) else NO_EMOTES

    async def _files_of(self, message: OutgoingRecord) -> Mapping[str, str]:
        """The `mxc:` addresses of the files that a message shows."""
        records = [await self._chat.media(media_id) for media_id in media_ids(message)]
        return {record.id: record.mxc for record in records if record is not None}

    # -- what is no message

    async def _do(self, item: PendingRecord) -> bool:
        """Whether it is done, and does not wait any longer."""
        match item.kind:
            case "edit":
                await self._edit(item)
            case "react":
                return await self._react(item)
            case "later" if "key" in item.payload:
                return await self._react_late(item)
            case "act" | "later":
                await self._note()  # it may ask for events of messages
                await self._mirror.perform(self.room, item)
            case _:
                _log.warning("something unknown waits for the homeserver", kind=item.kind)
        return True

    async def _event(self, message: int) -> str | None:
        known = self._recent.get(message)
        return known[0] if known is not None else (await self._chat.events_of([message])).get(message)

    async def _edit(self, item: PendingRecord) -> None:
        payload, room = item.payload, self.room
        number = int(payload["message"])
        event_id = await self._event(number)
        message = (await self._chat.messages(room.stream_id, [number])).get(number)
        if event_id is None or message is None:
            return
        sender = await self._sender(number, event_id)
        if sender is None or self._said(number) == payload["text"]:
            return
        self._remember(number, event_id, sender, None)
        by_bot = sender == self._ghosts.bot
        content = edit_content(
            number=item.id,
            event_id=event_id,
            kind=message.kind,
            text=str(payload["text"]),
            markup=payload.get("html"),
            speaker=(message.author, message.name) if by_bot else None,
            emotes=await self._emotes_in(str(payload["text"])),
        )
        await self._send_aside(item, MESSAGE, content, sender, (number, "edit", "", ""))

    def _said(self, message: int) -> str | None:
        """What a message said when it was sent: it may have been edited by then."""
        known = self._recent.get(message)
        return None if known is None else known[2]

    async def _sender(self, message: int, event_id: str) -> str | None:
        """Who sent an event of ours: nobody else can change it. None when it is not ours, or not there."""
        known = self._recent.get(message)
        if known is not None:
            return known[1]
        event = await self._client.event(self.room.room_id, event_id)
        return event.sender if event is not None and is_ours(event.sender, self._ghosts.server_name) else None

    async def _react(self, item: PendingRecord) -> bool:
        payload, room = item.payload, self.room
        message, author, key = int(payload["message"]), str(payload["author"]), str(payload["key"])
        if not payload["on"]:
            await self._note()
            event_id = await self._chat.reaction_event(ReactionRecord(message, author, key))
            if event_id is not None:
                await self._take_away(event_id, f"u{item.id}")
                self._sent.gone.append(event_id)
            return True
        event_id = await self._event(message)
        if event_id is None or message in self._gone:
            return True
        voice = await self._ghosts.own_voice(room.number, room.room_id, author, str(payload["name"]))
        if voice == BY_BOT:
            return await self._postpone(item)
        if voice is None or voice.user is None:
            self.refused += 1
            return True
        content = reaction_content(number=item.id, event_id=event_id, key=key, mxc=await self._picture(key))
        await self._send_aside(item, REACTION, content, voice.user, (message, "reaction", author, key))
        return True

    async def _postpone(self, item: PendingRecord) -> bool:
        """Try again when its author may have joined: the bot can react with a key once, which would be for all."""
        payload, now_ms = item.payload, self._clock.wall_ns() // 1_000_000
        if now_ms - int(payload.get("at", now_ms)) > _GIVE_UP * 1000:
            _log.warning("a reaction was given up", stream=self.room.stream, author=payload["author"])
            self.refused += 1
            return True
        # As fast as ghosts can join, and no faster.
        wait = _AGAIN + self._postponed / JOINS
        self._postponed += 1
        later = {"at": now_ms, "seq": item.seq, **payload}
        await self._repository.postpone(item.id, later, until_ms=now_ms + int(wait * 1000))
        return False

    async def _react_late(self, item: PendingRecord) -> bool:
        payload = item.payload
        reaction = ReactionRecord(int(payload["message"]), str(payload["author"]), str(payload["key"]))
        if await self._chat.reaction_seq(reaction) != payload["seq"]:
            return True  # taken back meanwhile
        return await self._react(item)

    async def _picture(self, key: str) -> str | None:
        """With which picture somebody reacts who does so with `:code:`, or like somebody else with a path of ours."""
        if key.startswith(PATH):
            record = await self._chat.media(key.removeprefix(PATH))
            return None if record is None else record.mxc
        if not (len(key) > 2 and key.startswith(":") and key.endswith(":")):
            return None
        return (await self._emotes()).get(key[1:-1])

    async def _send_aside(
        self, item: PendingRecord, kind: str, content: dict[str, Any], user: str, what: tuple[int, str, str, str]
    ) -> None:
        """Send what belongs to a message that is there. When the homeserver will not have it, it is left."""
        sender = None if user == self._ghosts.bot else user
        try:
            event_id = await self._client.send(
                self.room.room_id, kind, content, txn=f"p{item.id}", user=sender, ts=item.payload.get("at")
            )
        except ApiError as error:
            if error.retry or (sender is None and isinstance(error, ForbiddenError)):
                raise
            self.refused += 1
            return
        self._sent.events.append((event_id, *what))


def _in_order(outgoing: Outgoing, *, limit: int) -> list[Item]:
    """One order for all, by the chat's counter. Where there may be more of one kind, what comes after it waits."""
    messages, deletions, others = outgoing
    numbered: list[tuple[int, Item]] = [
        *((message.id, message) for message in messages),
        *((deletion.seq, deletion) for deletion in deletions),
        *((other.seq, other) for other in others),
    ]
    ends = [some[-1] for some in ([m.id for m in messages], [o.seq for o in others]) if len(some) == limit]
    end = min(ends, default=None)
    numbered.sort(key=lambda item: item[0])  # stable: a message is before what was done to it
    return [item for number, item in numbered if end is None or number <= end]
