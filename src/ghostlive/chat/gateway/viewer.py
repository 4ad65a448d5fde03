"""One viewer: joins the session (what they may send), the service (what is done) and the fan-out (what they get).

While something is looked up for them (their token, a name), what they send meanwhile waits its turn; everything else is
answered in the order in which it comes.
"""

import secrets
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import structlog

from ghostlive.chat.bans import Ban
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.errors import ChatError, NotAllowedError, NotFoundError, RefusalError, WorkNeededError
from ghostlive.chat.gateway import messages
from ghostlive.chat.gateway.messages import (
    Alive,
    AskPeople,
    BanAuthor,
    Command,
    Decide,
    Delete,
    Edit,
    Hello,
    Join,
    Moderate,
    Ping,
    Post,
    React,
    SlashCommand,
    Who,
    WorkDone,
)
from ghostlive.chat.gateway.room import GONE, Fanout
from ghostlive.chat.gateway.session import Session
from ghostlive.chat.message import Kind, Message
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.people import Author, Role, Visitor
from ghostlive.chat.room import Room
from ghostlive.chat.service import ChatService
from ghostlive.core.clock import Clock
from ghostlive.core.websocket import BANNED, GOING_AWAY, POLICY_VIOLATION, Connection

_log = structlog.get_logger("chat")

_HELD: Final = 64
_NAMES: Final = 200
_RIGHTS_FOR: Final = 60.0
"""Seconds after which an account is looked up again."""
TOO_SLOW: Final = "too slow to read"


class Surroundings(Protocol):
    """What the gateway does for its viewers."""

    clock: Clock
    config: ChatConfig
    service: ChatService

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` as a task."""

    def left(self, viewer: "Viewer") -> None:
        """`viewer` is gone."""


class Rights(Protocol):
    """What an account may do, looked up anew: a socket may be open for hours."""

    async def signed_in(self, author_id: str) -> bool:
        """Whether they have not signed out."""

    async def moderates(self) -> bool:
        """Whether they may moderate this chat. Raises `BusyError` when that cannot be found out."""


class Viewer:
    """One open socket. A `core.websocket.Peer`, a `chat.room.Receipt` and a member of the fan-out."""

    __slots__ = (
        "_around",
        "_fanout",
        "_held",
        "_here",
        "_joining",
        "_over",
        "_rights",
        "_rights_at",
        "_room",
        "_session",
        "_welcomed",
        "connection",
        "heard",
        "place",
        "visitor",
    )

    def __init__(
        self,
        around: Surroundings,
        connection: Connection,
        *,
        room: Room,
        fanout: Fanout,
        visitor: Visitor,
        rights: Rights,
    ) -> None:
        """`rights` are those of the account with which they came."""
        self._around = around
        self.connection = connection
        self._room = room
        self._fanout = fanout
        self._rights = rights
        self._session = Session(around.config)
        self._session.moderates = visitor.moderates
        self._held: list[str] | None = None
        self._here = False
        self._joining: Join | None = None
        """What waits for the answer to a challenge."""
        self._over = False
        self._welcomed = 0
        self.visitor = visitor
        self.place = GONE
        self.heard = around.clock.now()
        """When they sent something last."""
        self._rights_at = self.heard

    @property
    def greeted(self) -> bool:
        """Whether they have said hello."""
        return self._session.greeted

    @property
    def waiting(self) -> int:
        """Bytes that wait for them, not counting as many as the welcome had.

        A long history is no sign that they do not read: dropped for it, they would ask for the same again.
        """
        return self.connection.waiting - self._welcomed

    # -- the transport

    def text(self, message: str) -> None:
        """See `Peer.text`."""
        self.heard = now = self._around.clock.now()
        if self._over:
            return
        if self.visitor.account and now - self._rights_at > _RIGHTS_FOR:
            self._rights_at = now
            self._around.spawn(self._check_signed_in(), "account")
        if self._held is not None:
            self._held.append(message)
            if len(self._held) > _HELD:
                self.close(POLICY_VIOLATION, "too many messages")
            return
        command = self._session.receive(message, now)
        if command is not None:
            try:
                self._carry_out(command)
            except RefusalError as error:
                self._session.refuse(error, (command.txn or None) if isinstance(command, Post) else None)
        self._send()

    def gone(self) -> None:
        """See `Peer.gone`."""
        self._over = True
        self._fanout.remove(self)
        if self._here:
            self._here = False
            self._room.people.depart(self.visitor.author)
            self._fanout.count_soon()
        self._around.left(self)

    # -- the fan-out

    def too_slow(self) -> None:
        """See `Member.too_slow`."""
        self.close(POLICY_VIOLATION, TOO_SLOW)

    def banned(self, ban: Ban) -> None:
        """See `Member.banned`."""
        visitor = self.visitor
        if not visitor.moderates and ban.names(visitor.id, visitor.origin, visitor.matrix_id):
            self._put_out(ban)
            self._send()

    def lifted(self, ban: Ban) -> None:
        """See `Member.lifted`."""
        visitor = self.visitor
        named = ban.names(visitor.id, visitor.origin, visitor.matrix_id) and not visitor.moderates
        if named and self._around.service.find_ban(self._room, visitor) is None:
            self._session.send(messages.UNBANNED)
            self._send()

    def listed(self) -> None:
        """See `Member.listed`."""
        if self.visitor.matrix_id is None:
            return
        ban = self._around.service.find_ban(self._room, self.visitor)
        if ban is not None and ban.listed:
            self._put_out(ban)
            self._send()

    @property
    def author_id(self) -> str | None:
        """See `Member.author_id`."""
        return self.visitor.id

    @property
    def moderates(self) -> bool:
        """See `Member.moderates`."""
        return self.visitor.moderates

    def tell(self, text: str) -> None:
        """See `Member.tell`."""
        self._session.send(text)
        self._send()

    def kicked(self, text: str) -> None:
        """See `Member.kicked`."""
        self._session.send(messages.kicked(text))
        self.close(BANNED, "kicked")

    def renewed(self) -> None:
        """See `Member.renewed`."""
        author = self.visitor.author
        if author is None:
            return
        # Of those whose Matrix ID was named, only accounts have rights on a page: a browser is linked too easily.
        known = replace(author, mxid=self.visitor.mxid if self.visitor.account else None)
        moderates = self._around.service.moderation.moderates(self._room, known)
        if moderates != self.visitor.moderates and author.role is not Role.STREAMER:
            self.visitor.moderates = self._session.moderates = moderates
            self.rename(replace(author, role=Role.MODERATOR if moderates else Role.GUEST))

    def rename(self, author: Author) -> None:
        """The same person took another name on another page of theirs."""
        self._room.people.depart(self.visitor.author)
        self._room.people.arrive(author)
        self.visitor.author = self._session.author = author
        self._session.joined()
        self._send()

    def close(self, code: int, reason: str) -> None:
        """End the connection after what waits for it."""
        self._session.close(code, reason)
        self._send()

    # -- the service

    def stored(self, txn: str, message_id: int) -> None:
        """See `Receipt.stored`."""
        if self._over:
            return
        self._session.ack(txn, message_id)
        self._send()

    def refused(self, txn: str, error: ChatError) -> None:
        """See `Receipt.refused`."""
        if isinstance(error, RefusalError):
            self._session.refuse(error, txn)
            self._send()

    def held(self, txn: str, text: str) -> None:
        """See `Receipt.held`."""
        if not self._over:
            self._session.held(txn, text)
            self._send()

    def shadowed(self, txn: str, message: Message) -> None:
        """See `Receipt.shadowed`."""
        if not self._over:
            self._session.send(messages.said(message))
            self._send()

    # -- commands

    def _carry_out(self, command: Command) -> None:
        match command:
            case Post(txn, text, reply, emote):
                kind = Kind.EMOTE if emote else Kind.TEXT
                txn = txn or f"me-{secrets.token_hex(12)}"
                self._around.service.post(
                    self._room, self.visitor, txn=txn, text=text, reply_to=reply, receipt=self, kind=kind
                )
            case Hello():
                self._hold(self._greet(command), "hello")
            case Join():
                self._start_join(command)
            case Delete(message_id):
                self._around.spawn(self._answer(self._delete(message_id)), "delete")
            case BanAuthor():
                self._around.spawn(self._answer(self._ban(command)), "ban")
            case Edit(message_id, text):
                service = self._around.service
                edit = service.edit(self._room, self._actor(), message_id, text, visitor=self.visitor)
                self._around.spawn(self._answer(edit), "edit")
            case React():
                self._around.spawn(self._answer(self._react(command)), "react")
            case Moderate():
                self._hold(self._moderate(command), "act")
            case Decide(ids, allow):
                self._hold(self._decide(ids, allow), "decide")
            case SlashCommand(text):
                self._hold(self._command(text), "command")
            case WorkDone(nonce, answer):
                try:
                    self._around.service.banning.worked(self._room, self.visitor, nonce, answer)
                except WorkNeededError as needed:  # wrong, or too late
                    self._session.send(messages.challenge(needed.challenge.nonce, needed.challenge.bits))
                    return
                join, self._joining = self._joining, None
                if join is not None:
                    self._start_join(join)
            case Alive(playing):
                self._around.service.moderation.alive(self._room, self.visitor, playing=playing)
            case Who(author_id):
                self._around.spawn(self._answer(self._who(author_id)), "who")
            case Ping():  # answered by the session
                pass
            case AskPeople():
                authors = [author for author, _ in zip(self._room.people, range(_NAMES), strict=False)]
                self._session.people(len(self._room.people), authors)

    async def _greet(self, hello: Hello) -> None:
        room, session, visitor = self._room, self._session, self.visitor
        if hello.token is not None:
            try:
                await self._around.service.guests.recognise(room, visitor, hello.token)
            except RefusalError as error:
                # Without their name they can read, and the page may try to join.
                session.refuse(error)
        if not room.open:
            session.close(GOING_AWAY, "the stream was removed")
        if (ban := self._around.service.find_ban(room, visitor)) is not None and not ban.timeout:
            self._put_out(ban)
        if self._over or session.closing is not None:
            return
        session.author = visitor.author
        self._here = True
        room.people.arrive(visitor.author)
        news = None if hello.since is None else room.since(hello.since)
        said, deleted = (room.last(), []) if news is None else news
        changed = [] if news is None else room.changed(hello.since or 0)
        if shadows := room.shadows(visitor.id, 0 if news is None else hello.since or 0):
            said = sorted([*said, *shadows], key=lambda message: message.id)
        session.welcome(
            seq=room.seq,
            reset=news is None,
            said=said,
            changed=changed,
            deleted=deleted,
            pinned=self._around.service.moderation.pinned(room),
            rest=self._rest([*said, *changed]),
        )
        welcome = session.data_to_send()
        self._welcomed = len(welcome)
        self.connection.write(welcome)
        self._fanout.add(self)
        self._fanout.count_soon()

    def _put_out(self, ban: Ban) -> None:
        """Tell them that they are banned, and end the connection unless they may read meanwhile."""
        self._session.send(messages.banned(ban))
        if not ban.timeout:
            self._session.close(BANNED, "banned")

    def _rest(self, shown: Iterable[Message]) -> dict[str, Any]:
        """What a welcome has that is not about messages, and whose reactions are the viewer's."""
        room, visitor, service = self._room, self.visitor, self._around.service
        rest: dict[str, Any] = {"people": len(room.people), "rules": service.moderation.rules_json(room)}
        if (ban := service.find_ban(room, visitor)) is not None:
            rest["banned"] = messages.ban_members(ban)
        if visitor.moderates:
            rest["held"] = service.moderation.held_json(room)
        rest["matrix"] = room.matrix
        if room.emotes:
            rest["emotes"] = messages.emote_members(room.emotes)
        if visitor.author is not None:
            author_id = visitor.author.id
            reacted = [(message.id, message.reactions.of(author_id)) for message in shown if message.reactions]
            if mine := {str(message_id): keys for message_id, keys in reacted if keys}:
                rest["mine"] = mine
        return rest

    def _start_join(self, join: Join) -> None:
        try:
            self._around.service.check_join(self._room, self.visitor, join.name)
        except WorkNeededError as needed:
            self._joining = join
            self._session.send(messages.challenge(needed.challenge.nonce, needed.challenge.bits))
            return
        self._hold(self._join(join), "join")

    async def _join(self, join: Join) -> None:
        room, visitor = self._room, self.visitor
        author, token = await self._around.service.guests.join(room, visitor, join.name)
        if not self._here:  # they left meanwhile; the name is theirs when they come back
            room.people.depart(author)
            return
        room.people.depart(visitor.author)
        visitor.author = self._session.author = author
        self._session.joined(token)
        self._fanout.count_soon()
        for member in list(self._fanout.members):
            if isinstance(member, Viewer) and member is not self and member.visitor.id == author.id:
                member.rename(author)

    async def _delete(self, message_id: int) -> None:
        service, said = self._around.service, self._room.get(message_id)
        if self.visitor.moderates:
            await self._check_moderates()
            if said is None or said.author.id != self.visitor.id:  # what others wrote: with a line in the audit log
                await service.moderation.act(self._room, self._actor(), "delete", message_id=message_id)
                return
        await service.delete(self._room, self._actor(), [message_id], address=self.visitor.origin.address)

    def _actor(self) -> Actor:
        """Who does what this page asks for. Rights that were taken away are not in it."""
        author = self.visitor.author
        if author is None:
            raise NotAllowedError("Choose a name first.")
        if author.moderates and not self.visitor.moderates:
            author = replace(author, role=Role.GUEST)
        return Actor(author, "page")

    async def _ban(self, ban: BanAuthor) -> None:
        await self._check_moderates()
        await self._around.service.ban(
            self._room,
            self._actor(),
            ban.id,
            seconds=ban.seconds,
            reason=ban.reason,
            messages=ban.messages,
            watching=ban.watching,
        )

    async def _react(self, react: React) -> None:
        author = self._actor().author
        room = self._room
        key = self._around.service.reaction_key(room, react.id, react.key)
        await self._around.service.react(room, author, react.id, key, react.on, visitor=self.visitor)
        message = room.get(react.id)
        keys = [] if message is None or message.reactions is None else message.reactions.of(author.id)
        told = messages.mine(react.id, keys)
        if room.people.pages(author.id) <= 1:
            self._session.send(told)
            return
        for member in list(self._fanout.members):
            if member.author_id == author.id:
                member.tell(told)

    async def _moderate(self, act: Moderate) -> None:
        await self._check_moderates()
        await self._around.service.moderation.act(
            self._room,
            self._actor(),
            act.act,
            message_id=act.id,
            author_id=act.author,
            seconds=act.seconds,
            reason=act.reason,
            value=act.value,
        )

    async def _decide(self, ids: Sequence[int], allow: bool) -> None:
        await self._check_moderates()
        await self._around.service.moderation.decide(self._room, self._actor(), ids, allow=allow)

    async def _command(self, text: str) -> None:
        self._around.service.check_ban(self._room, self.visitor)
        if self.visitor.moderates:
            await self._check_moderates()
        for notice in await self._around.service.moderation.command(self._room, self._actor(), text):
            self._session.send(messages.notice(notice.text, notice.level))

    async def _who(self, author_id: str) -> None:
        await self._check_moderates()
        known = await self._around.service.who(self._room, author_id)
        if known is None:
            raise NotFoundError("Nothing is known of them.")
        self._session.send(messages.who(author_id, known))

    async def _check_moderates(self) -> None:
        """A session may have ended, or a role been taken away, since the socket was opened."""
        if not await self._rights.moderates():
            self.visitor.moderates = self._session.moderates = False
            raise NotAllowedError("You may not moderate this chat any more. Sign in again.")

    async def _check_signed_in(self) -> None:
        author = self.visitor.author
        if author is not None and not await self._rights.signed_in(author.id):
            self.close(POLICY_VIOLATION, "signed out")

    async def _answer(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RefusalError as error:
            self._session.refuse(error)
        self._send()

    def _hold(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._held = []
        self._around.spawn(self._release(work), name)

    async def _release(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await self._answer(work)
        finally:
            held, self._held = self._held or [], None
            for message in held:  # one of them may make the others wait again
                self.text(message)

    def _send(self) -> None:
        data = self._session.data_to_send()
        if self._over:
            return
        if data:
            self.connection.write(data)
            if self.waiting > self._around.config.waiting_bytes:
                self._session.close(POLICY_VIOLATION, TOO_SLOW)
        if self._session.closing is not None:
            self._over = True
            if self._session.closing[1] != TOO_SLOW:
                self._fanout.flush(self)
            self._fanout.remove(self)
            self.connection.close(*self._session.closing)
