"""Guests: people without an account, whom a token makes the same again. Tokens are stored as a hash only.

A name is taken at once and stored then, so that of two who want it at the same time one gets it.
"""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import structlog
from sqlalchemy.exc import SQLAlchemyError

from ghostlive.chat.config import ChatConfig
from ghostlive.chat.errors import BusyError, NameTakenError, NotAllowedError, RefusalError
from ghostlive.chat.identity import same_place
from ghostlive.chat.limits import Rate, take_all
from ghostlive.chat.names import check_name, skeleton
from ghostlive.chat.people import Author, Guest, Visitor, hash_token, make_guest_id, make_token
from ghostlive.chat.room import Room
from ghostlive.chat.writer import Change, Writer
from ghostlive.core.clock import Clock
from ghostlive.db.chat import ChatRepository, ChatTransaction, GuestRecord
from ghostlive.db.users import UserRepository

_log = structlog.get_logger("chat")

_NEW_GUESTS_INTERVAL: Final = 5.0
_ACCOUNTS_FOR: Final = 10.0
"""Seconds for which the names of accounts are remembered."""
_SEEN_EVERY: Final = timedelta(days=1)


class Joined(NamedTuple):
    """Somebody has a name now."""

    author: Author
    token: str | None
    """Told once, when the guest is new."""


class Guests:
    """Knows guests again and gives them names."""

    def __init__(
        self,
        *,
        repository: ChatRepository,
        users: UserRepository,
        writer: Writer,
        clock: Clock,
        config: ChatConfig,
        rates: tuple[Rate, Rate],
    ) -> None:
        """`rates` are those of messages, by person and by address: a name costs as much as one."""
        self._repository = repository
        self._users = users
        self._writer = writer
        self._clock = clock
        self._config = config
        self._by_person, self._by_address = rates
        self._new = Rate(config.guests_per_address, _NEW_GUESTS_INTERVAL)
        self._reading = asyncio.Lock()
        self._accounts: tuple[float, frozenset[str]] = (float("-inf"), frozenset())

    async def recognise(self, room: Room, visitor: Visitor, token: str) -> None:
        """Make `visitor` the guest whose token that is, under their name if nobody else has it by now.

        Raises `BusyError` when the database does not answer.
        """
        token_hash = hash_token(token)
        if token_hash is None or visitor.account:
            return
        try:
            record = await self._repository.guest_by_token(token_hash)
            accounts = await self._account_names()
        except (OSError, SQLAlchemyError) as error:
            raise _busy(error) from error
        if record is None:
            return
        visitor.guest = guest = Guest(
            record.id, record.name, record.address_hash, record.last_seen_at, record.created_at
        )
        if skeleton(guest.name) not in accounts and room.people.holder(guest.name) in (None, guest.id):
            visitor.author = Author(guest.id, guest.name, mxid=visitor.mxid)
        self._see(guest, visitor)

    async def join(self, room: Room, visitor: Visitor, name: str) -> Joined:
        """Give `visitor` a name. Raises a `RefusalError`.

        The name is theirs among `room.people` from now on, as that of one more page: let the page depart under which
        it was before.
        """
        if visitor.account:
            raise NotAllowedError("You are signed in, and speak under the name of your account.")
        try:
            accounts = await self._account_names()
        except (OSError, SQLAlchemyError) as error:
            raise _busy(error) from error
        name = check_name(name, self._config.name_length, accounts)
        guest = visitor.guest
        if room.people.holder(name) not in (None, guest and guest.id):
            raise NameTakenError("Somebody here has that name, or one that looks like it. Choose another one.")
        self._limit(visitor)
        author = Author(make_guest_id() if guest is None else guest.id, name, mxid=visitor.mxid)
        token = make_token() if guest is None else None
        before = room.people.get(author.id)
        room.people.arrive(author)
        try:
            await self._store(author, visitor, token)
        except BaseException:
            room.people.depart(author)
            if before is not None:
                room.people.rename(before)
            raise
        now = self._now()
        created_at = now if guest is None else guest.created_at
        visitor.guest = Guest(author.id, name, visitor.origin.hash, now, created_at)
        return Joined(author, token)

    async def may_be_called(self, room: Room, author_id: str, name: str) -> bool:
        """Whether a user of Matrix can be shown under the name that they have there, and nobody take them for another.

        Raises `BusyError` when the database does not answer.
        """
        try:
            accounts = await self._account_names()
        except (OSError, SQLAlchemyError) as error:
            raise _busy(error) from error
        try:
            check_name(name, self._config.name_length, accounts)
        except RefusalError:
            return False
        return room.people.holder(name) in (None, author_id)

    def _limit(self, visitor: Visitor) -> None:
        person = (self._new, visitor.origin.address) if visitor.guest is None else (self._by_person, visitor.guest.id)
        take_all(self._clock.now(), person, (self._by_address, visitor.origin.address))

    async def _store(self, author: Author, visitor: Visitor, token: str | None) -> None:
        now = self._now()
        address_hash = visitor.origin.hash
        token_hash = None if token is None else hash_token(token)

        async def store(transaction: ChatTransaction, _seq: int) -> None:
            if token_hash is None:
                await transaction.see_guest(author.id, name=author.name, address_hash=address_hash, at=now)
            else:
                await transaction.add_guest(GuestRecord(author.id, token_hash, author.name, address_hash, now, now))

        await self._writer.change(store, lambda _result, _seq: None)

    def _see(self, guest: Guest, visitor: Visitor) -> None:
        """Note that a guest is here, when that is news; nobody waits for it."""
        now, address_hash = self._now(), visitor.origin.hash
        known = guest.address_hash == address_hash
        if visitor.origin.new_browser:  # of a browser that keeps no cookie, each visit would be news
            known = same_place(guest.address_hash, address_hash)
        if known and abs(now - guest.seen_at) < _SEEN_EVERY:
            return

        async def store(transaction: ChatTransaction, _seq: int) -> None:
            await transaction.see_guest(guest.id, name=guest.name, address_hash=address_hash, at=now)

        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            self._writer.submit(Change(store, lambda _result, _seq: None, future))
        except BusyError:
            _log.debug("that a guest came was not noted", guest=guest.id)

    async def _account_names(self) -> Collection[str]:
        async with self._reading:  # one asks, the others wait for the answer
            read_at, names = self._accounts
            now = self._clock.now()
            if now - read_at > _ACCOUNTS_FOR:
                names = frozenset([skeleton(user.name) for user in await self._users.list()])
                self._accounts = (now, names)
            return names

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall_ns() / 1e9, UTC)


def _busy(error: Exception) -> BusyError:
    _log.warning("guests cannot be looked up", error=str(error))
    return BusyError("The server cannot look up names at the moment. Try again.", 5.0)
