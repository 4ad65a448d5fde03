"""Moderation of all chats, in one piece: what the chat's core asks (`verdict.Moderator`) and what pages send."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.errors import BadMessageError, BusyError, ChatError, NameRefusedError, NotFoundError
from ghostlive.chat.message import Message, from_record
from ghostlive.chat.moderation.actions import Actions, tell
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.moderation.commands import Commands
from ghostlive.chat.moderation.errors import NoNewNamesError
from ghostlive.chat.moderation.held import HeldQueue
from ghostlive.chat.moderation.pattern import PatternError
from ghostlive.chat.moderation.pipeline import Pipeline
from ghostlive.chat.moderation.rules import from_full
from ghostlive.chat.moderation.sitewide import SiteWide
from ghostlive.chat.moderation.state import REMEMBERED, Moderator, Trusted
from ghostlive.chat.moderation.verdict import Notice, Verdict
from ghostlive.chat.people import Author, Visitor
from ghostlive.chat.room import Post, Quiet, Receipt, Room
from ghostlive.core.clock import Clock
from ghostlive.db.chat import ChatRepository, ChatTransaction, MediaRecord
from ghostlive.db.moderation import ModerationRepository, ModerationTransaction
from ghostlive.db.users import UserRepository

if TYPE_CHECKING:
    from ghostlive.chat.service import ChatService

_log = structlog.get_logger("chat")
T = TypeVar("T")

_STORE_EVERY: Final = 60.0
"""Seconds after which it is stored for how long people have watched."""


class Moderation:
    """See `verdict.Moderator`. Give it to the service before that starts: `service.moderation = Moderation(…)`."""

    def __init__(
        self,
        service: "ChatService",
        *,
        chat: ChatRepository,
        stored: ModerationRepository,
        users: UserRepository,
        clock: Clock,
    ) -> None:
        """`chat` and `stored` are read only; `service` writes."""
        self._service = service
        self._chat = chat
        self._stored = stored
        self._clock = clock
        self._pipeline = Pipeline()
        self._held = HeldQueue(service)
        self._storing: set[Room] = set()
        self.actions = Actions(service, users, self._held)
        self.site = SiteWide(service)
        self.commands = Commands(self.actions, service)
        service.retention.also.append(self.purge)
        service.observe(lambda room: _Watch(service, room, self._held))

    # -- what the service asks

    async def load(self, room: Room) -> None:
        """See `Moderator.load`."""
        stored, state = await self._stored.load(room.stream_id, people=REMEMBERED), room.moderation
        try:
            rules = from_full(stored.rules)
            state.set(rules, state.filter_of(rules))
        except PatternError as error:  # of another version, with other limits
            _log.warning("the rules of a chat cannot be read", stream=room.stream, error=str(error))
        state.pinned = stored.pinned
        state.moderators = {one.subject: Moderator(*one) for one in stored.moderators}
        state.trusted = {one.subject: Trusted(*one) for one in stored.trusted}
        state.watched.update(stored.watched)
        state.approved.update(stored.approved)
        state.warnings.update(stored.warnings)
        self._held.load(room, stored.held)
        if stored.pinned is not None:
            found = (await self._chat.messages(room.stream_id, [stored.pinned])).get(stored.pinned)
            state.pinned_message = None if found is None else from_record(found)

    def review(  # noqa: PLR0917 - see `Reviewer.review`
        self, room: Room, visitor: Visitor, text: str, kind: str, now: datetime, html: str | None = None
    ) -> Verdict:
        """See `Reviewer.review`."""
        state = room.moderation
        if state.idle:
            return None
        return self._pipeline.check(state, visitor, text, kind=kind, now=self._clock.now(), html=html)

    def review_reaction(self, room: Room, visitor: Visitor) -> Verdict:
        """See `Reviewer.review_reaction`."""
        return self._pipeline.check_reaction(room.moderation, visitor)

    def check_join(self, room: Room, visitor: Visitor, name: str) -> None:
        """See `Moderator.check_join`."""
        if not visitor.moderates and self._pipeline.unwelcome(room.moderation, name):
            raise NameRefusedError("There is something in that name that is not welcome here. Choose another one.")
        if room.moderation.rules.shield and visitor.id is None and not visitor.moderates:
            raise NoNewNamesError("Nobody new can join the chat at the moment. Try again later.", 300.0)

    def is_held(self, room: Room, author_id: str, txn: str) -> bool:
        """See `Moderator.is_held`."""
        return (author_id, txn) in room.moderation.held_keys

    def held_again(self, room: Room, author_id: str, txn: str, receipt: Receipt) -> None:
        """See `Moderator.held_again`."""
        self._held.again(room, author_id, txn, receipt)

    def hold(self, room: Room, visitor: Visitor, post: Post, reason: str) -> None:
        """See `Moderator.hold`."""
        self._held.hold(room, post, reason)

    def alive(self, room: Room, visitor: Visitor, *, playing: bool) -> None:
        """See `Moderator.alive`."""
        self._pipeline.alive(room.moderation, visitor, self._clock.now(), playing=playing)
        if room.moderation.watched_news and room not in self._storing:
            self._storing.add(room)
            self._clock.call_later(_STORE_EVERY, lambda: self._store_watched(room))

    def moderates(self, room: Room, author: Author) -> bool:
        """See `Moderator.moderates`."""
        return room.moderation.named(author)

    def is_command(self, text: str) -> bool:
        """See `Moderator.is_command`."""
        return self.commands.knows(text)

    async def command(self, room: Room, actor: Actor, text: str) -> list[Notice]:
        """See `Moderator.command`."""
        try:
            with _reading():
                return await self.commands.run(room, actor, text)
        except ChatError as error:
            return [Notice(str(error), "error")]

    def rules_json(self, room: Room) -> dict[str, Any]:
        """See `Moderator.rules_json`."""
        return room.moderation.rules.json()

    def held_json(self, room: Room) -> list[dict[str, Any]]:
        """See `Moderator.held_json`."""
        return [held.json() for held in room.moderation.held.values()]

    def held_file(self, room: Room, held_id: int, media_id: str) -> MediaRecord:
        """See `HeldQueue.file`."""
        return self._held.file(room, held_id, media_id)

    def pinned(self, room: Room) -> Message | None:
        """See `Moderator.pinned`."""
        state = room.moderation
        if state.pinned is None:
            return None
        if (found := room.get(state.pinned)) is not None:
            state.pinned_message = found  # older messages leave the memory of a room, and what is pinned stays
        message = state.pinned_message
        return message if message is not None and message.id == state.pinned else None

    def who_json(self, room: Room, author: Author) -> dict[str, Any]:
        """See `Moderator.who_json`."""
        state = room.moderation
        return {
            "trusted": author.id in state.trusted,
            "watched": round(state.watched.get(author.id, 0.0)),
            "held": state.held_of.get(author.id, 0),
            "warnings": state.warnings.get(author.id, 0),
        }

    # -- what pages of moderators send

    async def act(
        self,
        room: Room,
        actor: Actor,
        act: str,
        *,
        message_id: int | None = None,
        author_id: str | None = None,
        seconds: float | None = None,
        reason: str = "",
        value: Any = None,
    ) -> None:
        """See `Moderator.act`."""
        with _reading():
            await self._act(
                room,
                actor,
                act,
                message_id=message_id,
                author_id=author_id,
                seconds=seconds,
                reason=reason,
                value=value,
            )

    async def _act(
        self,
        room: Room,
        actor: Actor,
        act: str,
        *,
        message_id: int | None,
        author_id: str | None,
        seconds: float | None,
        reason: str,
        value: Any,
    ) -> None:
        actions = self.actions
        match act:
            case "delete":
                await actions.delete(room, actor, [_needed(message_id, "id")])
            case "ban" | "timeout":
                members = value if isinstance(value, dict) else {}
                author_id = _needed(author_id, "author") if message_id is None else None
                await (actions.ban if act == "ban" else actions.timeout)(
                    room,
                    actor,
                    message_id=message_id,
                    author_id=author_id,
                    seconds=seconds,
                    reason=reason,
                    messages=members.get("messages") is True,
                    watch=members.get("watching") is True,
                )
            case "pin":
                await actions.pin(room, actor, message_id)
            case "clear":
                await actions.clear(room, actor)
            case "rules":
                if not isinstance(value, dict):
                    raise BadMessageError("value has the rules that change.")
                await actions.set_rules(room, actor, value)
            case "shield":
                await actions.shield(room, actor, _flag(value))
            case "unban":
                await actions.unban(room, actor, author_id=_needed(author_id, "author"))
            case _:
                await self._act_on(room, actor, act, await self._whom(room, message_id, author_id), reason, value)

    async def _act_on(  # noqa: PLR0917 - what one message of a page has
        self, room: Room, actor: Actor, act: str, author_id: str, reason: str, value: Any
    ) -> None:
        match act:
            case "delete_all":
                await self.actions.delete_all(room, actor, author_id, reason=reason)
            case "kick":
                await self.actions.kick(room, actor, author_id, reason=reason)
            case "warn":
                await self.actions.warn(room, actor, author_id, reason=reason)
            case "trust":
                await self.actions.trust(room, actor, author_id, on=True if value is None else _flag(value))
            case "moderator":
                await self.actions.moderator(
                    room, actor, author_id=author_id, on=True if value is None else _flag(value)
                )
            case _:
                raise BadMessageError("There is no act of that name.")

    async def decide(self, room: Room, actor: Actor, ids: Sequence[int], *, allow: bool) -> None:
        """See `Moderator.decide`."""
        await self.actions.decide(room, actor, ids, allow=allow)

    async def _whom(self, room: Room, message_id: int | None, author_id: str | None) -> str:
        if author_id is not None:
            return author_id
        number = _needed(message_id, "author")
        if (said := room.get(number)) is not None:
            return said.author.id
        found = (await self._chat.messages(room.stream_id, [number])).get(number)
        if found is None:
            raise NotFoundError("That message is gone, so its author cannot be found by it.")
        return found.author

    # -- what is kept

    async def purge(self, before: datetime) -> int:
        """Forget what was decided and done before that moment; how much went."""
        return await self._stored.purge(before=before)

    def _store_watched(self, room: Room) -> None:
        self._storing.discard(room)
        state = room.moderation
        news = [(author, round(state.watched[author])) for author in state.watched_news if author in state.watched]
        state.watched_news.clear()
        if not news or not room.open:
            return
        now = self._service.now()

        async def store(transaction: ChatTransaction, _seq: int) -> None:
            await ModerationTransaction(transaction).watched(room.stream_id, news, at=now)

        try:
            self._service.later(store)
        except BusyError:
            state.watched_news.update(author for author, _ in news)


class _Watch(Quiet):
    """Takes down what is pinned when that message goes, whoever takes it away."""

    def __init__(self, service: "ChatService", room: Room, held: HeldQueue) -> None:
        self._service = service
        self._room = room
        self._held = held

    def closed(self, reason: str) -> None:
        """See `RoomListener.closed`."""
        self._held.forget(self._room)

    def deleted(self, seq: int, ids: Sequence[int], actor: Actor) -> None:
        """See `RoomListener.deleted`."""
        service, room = self._service, self._room
        if room.moderation.pinned not in ids:
            return
        act = Act("pin", replace(actor, via="rule"), detail={"id": None})

        async def store(transaction: ChatTransaction, seq: int) -> None:
            moderation = ModerationTransaction(transaction)
            if await moderation.pinned(room.stream_id) in ids:
                await moderation.pin(room.stream_id, None)
                await service.journal.acted(transaction, room, seq, act)

        room.moderation.pinned = None
        with suppress(BusyError):  # a message that is gone is not found when the room is loaded, so not pinned either
            service.later(store)
        tell(room, act)


@contextmanager
def _reading() -> Iterator[None]:
    """A database that cannot be read is said to be busy."""
    try:
        yield
    except (OSError, SQLAlchemyError) as error:
        _log.warning("moderation could not be looked up", error=str(error))
        raise BusyError("The server cannot look that up at the moment. Try again.", 5.0) from error


def _needed(value: T | None, name: str) -> T:
    if value is None:
        raise BadMessageError(f"{name} is missing.")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadMessageError("value is true or false.")
    return value
