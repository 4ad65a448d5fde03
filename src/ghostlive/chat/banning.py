"""Banning: who is kept out of a chat, how a ban is made and how it ends.

A ban is made in two steps, so that it is stored together with what else belongs to it (a line in the audit log):
`store` in a transaction, `apply` where that is stored. `ban` does both for who has nothing to add. That the actor may
is checked by who calls.

Whom a ban names is kept out. Who comes new from the network around it is let in, but what they say waits for a
moderator: they may be the same person, or a neighbour. The address is that of the connection, or what a trusted proxy
says (`web.clientaddress`); what a browser claims counts only where we signed it.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ghostlive.access.browser import make_browser, read_browser, set_cookie
from ghostlive.chat import bans as stored_bans
from ghostlive.chat.bans import Ban, Bans
from ghostlive.chat.errors import (
    BannedError,
    ListedError,
    NotAllowedError,
    NotFoundError,
    SignInNeededError,
    UnknownStreamError,
    WorkNeededError,
)
from ghostlive.chat.gate import Gate
from ghostlive.chat.glob import has_wildcards
from ghostlive.chat.identity import Keys, Origin, browser_subject, marks_of, tag_of
from ghostlive.chat.matrix.pace import Budget
from ghostlive.chat.matrix.policy import ON_LIST, Policies, Rule
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.pipeline import NEWCOMER
from ghostlive.chat.moderation.verdict import Hold, Shadow, Verdict
from ghostlive.chat.people import Author, Role, Visitor, matrix_author_id
from ghostlive.chat.room import Room
from ghostlive.chat.watching import Watching
from ghostlive.chat.work import Challenge, Seeker, Work
from ghostlive.chat.writer import Writer
from ghostlive.core.clock import Clock, Timer
from ghostlive.db.bans import BanRepository, NewBan, add_ban, bans_of_person, lift_ban
from ghostlive.db.chat import ChatRepository, ChatTransaction
from ghostlive.db.moderation import ModerationTransaction

_log = structlog.get_logger("chat")

Newcomers = Literal["hold", "shadow", "open"]
"""What is done with new people from the network of who was banned: their messages wait, are shown to themselves only,
or nothing."""
NEWCOMERS: Final[tuple[Newcomers, ...]] = ("hold", "shadow", "open")
GuestRule = Callable[[Room], str]
"""What becomes of new guests in a room: `open`, `hold`, `work` or `signin`."""

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at all open pages for people whom lists name, as rules come by the thousand."""
_LOOKS: Final = 5
"""Looks that may follow each other at once: people write a few rules, and expect to see what they do."""
NOBODY: Final = "That message is gone, so its author cannot be found by it."
EPOCH: Final = timedelta(days=30)
"""For how long one key makes the hashes."""
KEPT: Final = timedelta(days=30)
"""For how long the hashes of a ban outlive it."""
_KNOWN: Final = timedelta(hours=1)
"""Who came for the first time less than this before a ban of somebody from their network is new all the same."""
_EVERY: Final = 3600.0
_LONGEST_MXID: Final = 255
_WILD: Final = str.maketrans("", "", "*?")
_READING = (OSError, SQLAlchemyError)


@dataclass(frozen=True, slots=True)
class Order:
    """A ban that somebody wants. One of `message_id`, `author_id` and `mxid` says of whom."""

    by: Actor
    message_id: int | None = None
    """Ban the author of this message, and where it came from."""
    author_id: str | None = None
    """Ban this author, from where they spoke or came last."""
    mxid: str | None = None
    """Ban a Matrix ID, or all of a pattern with `*` and `?`."""
    seconds: float | None = None
    """None for good."""
    reason: str = ""
    messages: bool = False
    """Take away all that they said here."""
    timeout: bool = False
    """For a little while: their page stays open, and they read."""
    watch: bool = False
    """Keep them from watching, too."""
    newcomers: Newcomers = "hold"
    site: bool = False
    """In all chats of this server; for its owner."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A ban that is stored and not in force yet."""

    ban: Ban
    target: Author
    """Who was banned; of a pattern, the pattern by name and Matrix ID."""
    deleted: list[int]
    """Messages that went with it."""
    by: Actor


class Banning:
    """The bans of all chats. `start` before use."""

    def __init__(
        self,
        *,
        repository: ChatRepository,
        writer: Writer,
        rooms: Mapping[str, Room],
        clock: Clock,
        now: Callable[[], datetime],
        secret: bytes,
    ) -> None:
        """`rooms` are those in memory; `now` is the time that people read, `secret` the server's."""
        self._repository = repository
        self._stored = BanRepository(repository.database)
        self._writer = writer
        self._rooms = rooms
        self._clock = clock
        self._now = now
        self.keys = Keys(secret)
        self.site = Bans()
        """The bans of the whole site."""
        self.watching = Watching(self.keys, now)
        self.policies = Policies(self._stored, now)
        self.policies.changed = self._lists_changed
        self.lists_changed: list[Callable[[], object]] = []
        """Told when policy lists name other people, once open pages were looked through."""
        self.site_changed: list[Callable[[], object]] = []
        """Told when something was stored for the rooms of all chats."""
        self.work = Work(secret)
        self.links: Mapping[str, str] = {}
        """Matrix IDs by account or browser (`chat.matrix.codes`)."""
        self.bot = ""
        """The Matrix ID of ours that keeps the rooms; empty while it is not known."""
        self.guest_rule: GuestRule = lambda _room: "open"
        self._looks = Budget(1.0 / _LOOK_EVERY, _LOOKS)
        self._looking: Timer | None = None

    async def start(self) -> None:
        """Read what holds everywhere. Raises like the database."""
        try:
            await self._renew()
        except OperationalError as error:  # locked: what is stored is enough to begin with
            _log.warning("no new key for hashes could be stored", error=str(error))
            await self._read_keys()
        self.site = Bans(await self._of(None))
        self.watching.load(
            (one.stream, stored_bans.from_record(one.ban)) for one in await self._stored.from_watching(now=self._now())
        )
        await self.policies.load()

    async def run(self) -> None:
        """Once an hour: forget the hashes of bans that are over for long, and change the key when that is due."""
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.tidy()
            except _READING as error:
                _log.warning("old bans could not be forgotten", error=str(error))

    async def tidy(self) -> None:
        """See `run`."""
        for bans in (self.site, *(room.bans for room in self._rooms.values())):
            bans.prune(self._now())
        self.watching.prune()
        await self._renew()
        if gone := await self._stored.purge(before=self._now() - KEPT):
            _log.info("hashes of bans that are over were deleted", removed=gone)
        await self._read_keys()

    async def load(self, room: Room) -> list[Ban]:
        """The bans in force of a room that nobody has seen yet. Raises like the database."""
        return await self._of(room.stream_id)

    # -- who it is

    def origin(self, address: str, cookie: str | None = None) -> Origin:
        """Where somebody comes from: an IP address, and what their browser brings as the cookie of `access.browser`.

        A browser that brings none that we made gets a new one (`Origin.new_browser`).
        """
        browser = read_browser(self.keys.secret, cookie)
        return Origin(self.keys, address, browser or make_browser(), new_browser=not browser)

    def cookie_for(self, origin: Origin, *, secure: bool) -> list[tuple[bytes, bytes]]:
        """The header fields by which a browser that we did not know gets its number."""
        if not origin.new_browser:
            return []
        return [(b"set-cookie", set_cookie(self.keys.secret, origin.browser, secure=secure).encode())]

    def linked(self, visitor: Visitor) -> str | None:
        """The Matrix ID that the account, or the browser, of `visitor` has proven to be theirs."""
        if visitor.account and visitor.author is not None:
            return self.links.get(visitor.author.id)
        return self.links.get(browser_subject(visitor.origin.browser)) if self.links else None

    def nowhere(self) -> Origin:
        """The origin of who did not come by an address of ours."""
        return Origin(self.keys, "")

    # -- whom they keep out

    def check(self, room: Room, visitor: Visitor) -> None:
        """Raises `BannedError` when `visitor` may not take part."""
        if visitor.moderates:
            return
        if (ban := self.find(room, visitor)) is not None:
            raise banned_error(ban)

    def check_mxid(self, room: Room, mxid: str) -> None:
        """Raises `BannedError` when a user of Matrix may not take part: by a ban, or by a policy list."""
        now = self._now()
        for bans in (room.bans, self.site):
            if bans and (ban := bans.find(matrix_author_id(mxid), None, mxid, now)) is not None:
                raise banned_error(ban)
        self.policies.check(room.stream, mxid)

    def find(self, room: Room, visitor: Visitor) -> Ban | None:
        """What keeps `visitor` out: a ban, or one in place of a policy list's rule; nothing keeps out who moderates."""
        if visitor.moderates:
            return None
        mxid = visitor.matrix_id
        if room.bans or self.site:
            now = self._now()
            for bans in (room.bans, self.site):
                if bans and (ban := bans.find(visitor.id, visitor.origin, mxid, now)) is not None:
                    return ban
        rule = None if mxid is None else self.policies.find(room.stream, mxid)
        return None if rule is None else _listed(rule, mxid, self._now())

    async def gate(self, stream: str) -> Gate:
        """Who may not be in the room of a stream. Raises like the database."""
        room = self._rooms.get(stream)
        if room is not None:
            bans = room.bans
        else:
            found = await self._repository.stream(stream)
            bans = Bans() if found is None else Bans(await self._of(found.id))
        return Gate(stream, (bans, self.site), self.policies, self._now())

    def verdict(self, room: Room, visitor: Visitor) -> Verdict:
        """What becomes of what somebody says who is not banned: they may be a banned one under another name."""
        if not (room.bans or self.site) or visitor.moderates or visitor.account or visitor.author is None:
            return None
        now, guest = self._now(), visitor.guest
        found = [
            ban
            for bans in (room.bans, self.site)
            for ban in bans.around(visitor.origin, now)
            if ban.newcomers != "open" and (guest is None or guest.created_at > ban.created_at - _KNOWN)
        ]
        if not found or visitor.author.id in room.moderation.trusted:
            return None
        # Nothing in the reason tells them why.
        held = next((ban for ban in found if ban.newcomers == "hold"), None)
        return Shadow() if held is None else Hold(f"{NEWCOMER}\nFrom near {held.tag or 'somebody'}, who was banned.")

    def admit(self, room: Room, visitor: Visitor) -> None:
        """Whether a new guest may take a name under the room's rule for them.

        Raises `SignInNeededError`, or `WorkNeededError` with what their browser is to solve.
        """
        if visitor.guest is not None or visitor.account or visitor.mxid is not None or visitor.worked:
            return
        match self.guest_rule(room):
            case "signin":
                raise SignInNeededError("Here, only people who have signed in can write.")
            case "work":
                raise WorkNeededError(self.challenge(room, visitor))

    def challenge(self, room: Room, visitor: Visitor) -> Challenge:
        """What the browser of `visitor` is to solve."""
        return self.work.challenge(_seeker(room, visitor), self._clock.now())

    def worked(self, room: Room, visitor: Visitor, nonce: str, answer: str) -> None:
        """Their browser has solved it. Raises `WorkNeededError` with another challenge when it has not."""
        if not self.work.check(_seeker(room, visitor), nonce, answer, self._clock.now()):
            raise WorkNeededError(self.challenge(room, visitor))
        visitor.worked = True

    # -- making and ending them

    async def ban(self, room: Room, order: Order) -> Ban:
        """Ban somebody. Raises a `RefusalError`."""

        async def store(transaction: ChatTransaction, seq: int) -> Stored:
            target, _ = await self._target(transaction, room, order)
            if target.role is not Role.GUEST:
                raise NotAllowedError("Who moderates this chat cannot be banned from it.")
            return await self.store(transaction, seq, room, order)

        return (await self._writer.change(store, lambda stored, seq: self.apply(room, stored, seq))).ban

    async def store(self, transaction: ChatTransaction, seq: int, room: Room, order: Order) -> Stored:
        """Store a ban. May run several times. Raises a `RefusalError`.

        That nobody is banned who moderates, who calls has to look after: what somebody said last bears the role that
        they had then.
        """
        target, trace = await self._target(transaction, room, order)
        if target.id == order.by.author.id:
            raise NotAllowedError("You cannot ban yourself.")
        now = self._now()
        record = await add_ban(
            transaction.connection,
            NewBan(
                stream_id=None if order.site else room.stream_id,
                guest_id=target.id,
                mxid=target.mxid,
                marks=tuple((mark.kind, mark.text) for mark in marks_of(trace)),
                tag=tag_of(trace),
                name=target.name,
                reason=order.reason,
                kind="timeout" if order.timeout else "ban",
                watch=order.watch,
                newcomers=order.newcomers,
                created_by=order.by.author.name,
                created_at=now,
                expires_at=None if order.seconds is None else now + timedelta(seconds=order.seconds),
            ),
        )
        ids = await transaction.messages_of(room.stream_id, target.id) if order.messages and target.id else []
        await transaction.delete_messages(ids, seq=seq, by=order.by.author.name)
        return Stored(stored_bans.from_record(record), target, ids, order.by)

    def apply(self, room: Room, stored: Stored, seq: int) -> None:
        """A ban begins, and what was said goes."""
        ban = stored.ban
        bans = self.site if ban.site else room.bans
        bans.add(ban)
        if ban.watch:
            self.watching.add(None if ban.site else room.stream, ban)
        # Before their pages close, so that they do not keep what they said.
        room.tell_deleted(seq, stored.deleted, stored.by)
        for one in list(self._rooms.values()) if ban.site else [room]:
            for listener in one.listeners:
                listener.banned(ban)
        _log.info(
            "banned",
            stream="" if ban.site else room.stream,
            name=ban.name,
            by=ban.by,
            until=ban.expires_at,
            tag=ban.tag,
        )

    async def bans(self, stream: str | None) -> list[Ban]:
        """The bans in force of a stream, or (None) of the whole site; newest first. Raises `UnknownStreamError`."""
        return await self._of(None if stream is None else await self._stream_id(stream))

    async def lift(self, stream: str | None, ban_id: int, by: str) -> None:
        """End a ban of a stream, or of the whole site. Raises `NotFoundError`, `UnknownStreamError`, `BusyError`."""
        stream_id = None if stream is None else await self._stream_id(stream)

        async def store(transaction: ChatTransaction, _seq: int) -> Ban:
            return await self.store_lift(transaction, stream_id, ban_id)

        await self._writer.change(store, lambda ban, _seq: self.apply_lift(stream, ban, by))

    async def store_everywhere(self, transaction: ChatTransaction, ban: Ban, by: str) -> Ban:
        """Store that a ban of one chat holds on the whole site, too."""
        return stored_bans.from_record(await add_ban(transaction.connection, stored_bans.for_site(ban, by)))

    def apply_everywhere(self, ban: Ban) -> None:
        """A ban of the whole site begins."""
        self.site.add(ban)
        if ban.watch:
            self.watching.add(None, ban)
        for room in list(self._rooms.values()):
            for listener in room.listeners:
                listener.banned(ban)
        _log.info("banned everywhere", name=ban.name, by=ban.by, until=ban.expires_at, tag=ban.tag)

    async def store_lift(self, transaction: ChatTransaction, stream_id: int | None, ban_id: int) -> Ban:
        """Store that a ban ends. Raises `NotFoundError`."""
        record = await lift_ban(transaction.connection, stream_id, ban_id, at=self._now())
        if record is None:
            raise NotFoundError("There is no such ban in force.")
        return stored_bans.from_record(record)

    async def store_lift_of(self, transaction: ChatTransaction, stream_id: int | None, person: str) -> list[Ban]:
        """Store that all bans of an author, or of a Matrix ID, end; empty when there is none."""
        ids = await bans_of_person(transaction.connection, stream_id, person, now=self._now())
        return [await self.store_lift(transaction, stream_id, ban_id) for ban_id in ids]

    def apply_lift(self, stream: str | None, ban: Ban, by: str) -> None:
        """A ban ends."""
        self.watching.remove(ban.id)
        if ban.site:
            self.site.remove(ban.id)
        for name, room in list(self._rooms.items()):
            if ban.site or name == stream:
                room.bans.remove(ban.id)
                for listener in room.listeners:
                    listener.lifted(ban)
        _log.info("ban lifted", stream=stream or "", name=ban.name, by=by)

    def _lists_changed(self) -> None:
        """Look through all open pages: at once, but for many changes in a row only once a second."""
        if self._looking is not None:
            return
        if self._looks.take(self._clock.now()):
            self._look()
        else:
            self._looking = self._clock.call_later(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._looking = None
        for room in list(self._rooms.values()):
            for listener in list(room.listeners):
                listener.listed()
        for changed in self.lists_changed:
            changed()

    # -- helpers

    async def _target(self, transaction: ChatTransaction, room: Room, order: Order) -> tuple[Author, str]:
        """Who is meant, and the trace of where they spoke from."""
        if order.mxid is not None:
            return _of_matrix(order.mxid), await self._trace_of(transaction, room, room.guest_of(order.mxid))
        author_id, trace, target = order.author_id or "", "", None
        if order.message_id is not None:
            record = (await transaction.messages(room.stream_id, [order.message_id])).get(order.message_id)
            if record is None:
                raise NotFoundError(NOBODY)
            target = Author(record.author, record.name, Role(record.role), record.mxid)
            author_id = record.author
            said = room.get(order.message_id)
            # Not where they were seen last: with the same token, they can be seen anywhere at any time.
            trace = "" if said is None else said.origin
        guest = await transaction.guest(author_id)
        target = target or room.people.get(author_id) or room.author(author_id)
        if target is None:
            # All that they said may be taken away by now, or be older than what a room keeps.
            stored = await ModerationTransaction(transaction).author(room.stream_id, author_id)
            if stored is None:
                raise NotFoundError("There is nobody of that name here.")
            target = Author(stored.id, stored.name, Role(stored.role), stored.mxid)
        trace = trace or room.origin_of(author_id) or ("" if guest is None else guest.address_hash)
        return target, trace

    async def _trace_of(self, transaction: ChatTransaction, room: Room, guest_id: str) -> str:
        """From where a guest spoke who has signed in with Matrix: they could sign out again, and be nobody there."""
        guest = await transaction.guest(guest_id) if guest_id else None
        return room.origin_of(guest_id) or ("" if guest is None else guest.address_hash)

    async def _of(self, stream_id: int | None) -> list[Ban]:
        return [stored_bans.from_record(record) for record in await self._stored.bans(stream_id, now=self._now())]

    async def _stream_id(self, stream: str) -> int:
        found = await self._repository.stream(stream)
        if found is None:
            raise UnknownStreamError("There is no stream of that name.")
        return found.id

    async def _renew(self) -> None:
        now = self._now()
        await self._stored.renew_salt(secrets.token_hex(16), at=now, older_than=now - EPOCH)
        await self._read_keys()

    async def _read_keys(self) -> None:
        self.keys.replace({epoch: bytes.fromhex(salt) for epoch, salt in (await self._stored.salts()).items()})


def banned_error(ban: Ban) -> BannedError:
    """What somebody is told whom `ban` keeps out."""
    if ban.listed:
        return ListedError(ON_LIST)
    if ban.expires_at is None:
        return BannedError("You were banned from this chat.")
    return BannedError(f"You were banned from this chat until {ban.expires_at:%Y-%m-%d %H:%M} UTC.")


def check_mxid_pattern(text: str) -> str:
    """A Matrix ID or a pattern of some, as a moderator wrote it. Raises `NotAllowedError` for what is none."""
    text = text.strip()
    if "*" in text and not text.translate(_WILD).strip("@:."):
        raise NotAllowedError("That is everybody. Name a person, or a server: @spam*:server, *:server.")
    if (
        not text.translate(_WILD).strip("@:")
        or len(text) > _LONGEST_MXID
        or not text.startswith(("@", "*"))
        or not text.isprintable()
    ):
        raise NotAllowedError(
            "That is no Matrix ID: write @name:server, or a pattern such as @spam*:server or *:server."
        )
    return text


def _listed(rule: Rule, mxid: str | None, now: datetime) -> Ban:
    """A ban in place of a rule, for those to whom it is all the same."""
    return Ban(0, "", mxid or "", rule.reason, "a policy list", now, None, mxid=mxid, listed=True)


def _of_matrix(text: str) -> Author:
    mxid = check_mxid_pattern(text)
    if has_wildcards(mxid):
        return Author("", mxid, mxid=mxid)
    return Author(matrix_author_id(mxid), mxid[1:].partition(":")[0] or mxid, mxid=mxid)


def _seeker(room: Room, visitor: Visitor) -> Seeker:
    return Seeker(room.stream, visitor.origin.browser or visitor.origin.address, visitor.origin.address)
