"""Puts into the database what the chat has to keep: everything that waits goes into one transaction.

A transaction costs a flush of the disk whatever is in it, so while one is under way the next one gathers. Numbers are
given in the order of arrival. Nothing is told to anybody before it is stored; afterwards everything of a batch is, in
order and without a pause in between. A database that is locked is tried again for `PATIENCE` seconds.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ghostlive.chat.errors import BusyError, ChatError
from ghostlive.chat.journal import Journal
from ghostlive.chat.message import Message, from_record
from ghostlive.chat.people import Author, to_json
from ghostlive.chat.room import Post, Room
from ghostlive.core.clock import Clock
from ghostlive.db.chat import ChatRepository, ChatTransaction, NewMessage

_log = structlog.get_logger("chat")
T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds for which a database that cannot be written is tried again."""
_WAITING: Final = 4096
"""Most that may wait to be stored."""
_BATCH: Final = 256
"""Most that goes into one transaction: telling everybody is one turn of the event loop."""
_GATHER: Final = 0.003
"""Seconds that a busy writer lets messages gather: a transaction of one costs nearly as much as one of fifty."""
_BUSY_BATCH: Final = 4
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_PASSING = (OperationalError, PoolTimeoutError, OSError)
"""What may be over in a moment: locked, disk full, server gone."""


class Change(Generic[T]):
    """Something else that is to be stored, and what follows from it."""

    __slots__ = ("apply", "error", "future", "result", "seq", "store")

    def __init__(
        self,
        store: Callable[[ChatTransaction, int], Awaitable[T]],
        apply: Callable[[T, int], None],
        future: "asyncio.Future[T]",
    ) -> None:
        """`store` gets a number of the counter, and may run several times. `apply` runs once that is stored."""
        self.store = store
        self.apply = apply
        self.future = future
        self.seq = 0
        self.result: T | None = None
        self.error: ChatError | None = None


Item = Post | Change[Any]


class Writer:
    """The queue before the database, and its one reader."""

    def __init__(self, repository: ChatRepository, clock: Clock, on_broken: Callable[[Room], None]) -> None:
        """`on_broken` is told a room whose messages the database refuses: its stream may be gone."""
        self._repository = repository
        self._clock = clock
        self._on_broken = on_broken
        self._queue: deque[Item] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._closing = False
        self._since: float | None = None
        self._counter = 0
        self.journal: Journal = Journal()
        self.stored = {"page": 0, "matrix": 0}
        """Messages since the start, by where they came from."""

    async def start(self) -> None:
        """Find out where the counter stands."""
        # The clock's milliseconds too: what was stored last may have been removed with its stream.
        self._counter = max(await self._repository.newest(), self._clock.wall_ns() // 1_000_000)

    def close(self) -> None:
        """Let `run` store what waits, then end."""
        self._closing = True
        self._awake()

    def check(self) -> None:
        """Raises `BusyError` when nothing more can be stored at the moment."""
        stuck = self._since is not None and self._clock.now() - self._since > PATIENCE
        if stuck or self._closing or len(self._queue) >= _WAITING:
            raise _busy()

    def submit(self, item: Item) -> None:
        """Store `item` soon. Raises `BusyError`."""
        self.check()
        self._queue.append(item)
        self._awake()

    async def change(self, store: Callable[[ChatTransaction, int], Awaitable[T]], apply: Callable[[T, int], None]) -> T:
        """Store something and wait until it is. Raises what `store` raises, and `BusyError`."""
        change: Change[T] = Change(store, apply, asyncio.get_running_loop().create_future())
        self.submit(change)
        return await change.future

    def later(self, store: Callable[[ChatTransaction, int], Awaitable[T]], apply: Callable[[T, int], None]) -> None:
        """Store something for which nobody waits. Raises `BusyError`."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.submit(Change(store, apply, future))

    async def run(self) -> None:
        """Write until closed."""
        while True:
            while not self._queue:
                if self._closing:
                    return
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            self._since = self._clock.now()
            try:
                await self._write(batch)
            except Exception:
                _log.exception("messages could not be stored")
                _fail(batch)
            finally:
                self._since = None
            if len(batch) >= _BUSY_BATCH and len(self._queue) < _BATCH and not self._closing:
                await asyncio.sleep(_GATHER)

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _write(self, batch: Sequence[Item]) -> None:
        began, pause = self._clock.now(), _FIRST_PAUSE
        while True:
            try:
                earlier = await self._store(batch)
            except NumberTakenError:
                self._counter = max(self._counter, await self._repository.newest())
                for item in batch:
                    item.seq = 0
            except _PASSING as error:
                if self._clock.now() - began >= PATIENCE:
                    _log.error("the database cannot be written", error=str(error), lost=len(batch))
                    _fail(batch)
                    return
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            except SQLAlchemyError as error:
                await self._separate(batch, error)
                return
            else:
                for item in batch:
                    if isinstance(item, Post) and item not in earlier:
                        self.stored["page" if item.event_id is None else "matrix"] += 1
                _tell(batch, earlier)
                return

    async def _separate(self, batch: Sequence[Item], error: SQLAlchemyError) -> None:
        """One of them is refused: find out which, so that the others are stored."""
        if len(batch) > 1:
            for item in batch:
                await self._write([item])
            return
        [item] = batch
        _log.warning("a message is refused by the database", error=str(error))
        _fail(batch)
        if isinstance(item, Post):
            self._on_broken(item.room)

    async def _store(self, batch: Sequence[Item]) -> dict[Post, int]:
        """In one transaction; those posts that were stored before, under another number."""
        posts = [item for item in batch if isinstance(item, Post)]
        changes = [item for item in batch if not isinstance(item, Post)]
        for item in sorted(batch, key=lambda item: not isinstance(item, Post)):
            if not item.seq:
                self._counter += 1
                item.seq = self._counter
        earlier: dict[Post, int] = {}
        async with self._repository.transaction() as transaction:
            if posts:
                await find_quotes(transaction, posts)
                stored = await transaction.add_messages([row(post) for post in posts])
                for post in posts:
                    if post.seq in stored:
                        continue
                    found = await transaction.find_txn(post.room.stream_id, post.author.id, post.txn)
                    if found is None:
                        raise NumberTakenError
                    if found != post.seq:  # else a commit succeeded of which we were told that it failed
                        earlier[post] = found
                await self._note(transaction, [post for post in posts if post.seq in stored])
            for change in changes:
                change.error = None
                try:
                    change.result = await change.store(transaction, change.seq)
                except ChatError as error:
                    change.error = error
        return earlier

    async def _note(self, transaction: ChatTransaction, posts: Sequence[Post]) -> None:
        """What else is stored of messages."""
        await transaction.add_message_events(
            (post.room.stream_id, post.event_id, post.seq) for post in posts if post.event_id is not None
        )
        await transaction.add_media_of((one, post.at) for post in posts for one in post.media)
        await self.journal.said(transaction, posts)


class NumberTakenError(Exception):
    """Another process writes messages into the same database."""


def _tell(batch: Sequence[Item], earlier: dict[Post, int]) -> None:
    """In the order of their numbers. What is stored is told, whatever goes wrong with one of them."""
    for item in sorted(batch, key=lambda item: item.seq):
        try:
            if isinstance(item, Post):
                tell_post(item, earlier.get(item))
            else:
                _tell_change(item)
        except Exception:
            _log.exception("what was stored could not be told")


def tell_post(post: Post, earlier: int | None = None) -> None:
    """A message is stored, or was `earlier` under another number."""
    room = post.room
    room.pending.pop((post.author.id, post.txn), None)
    for receipt in post.receipts:
        receipt.stored(post.txn, earlier or post.seq)
    if earlier is None:
        message = make_message(post)
        room.add(message)
        for listener in room.listeners:
            listener.said(message)


def _tell_change(change: Change[Any]) -> None:
    if change.error is None:
        change.apply(change.result, change.seq)
    if change.future.done():  # nobody waits for it any more
        return
    if change.error is None:
        change.future.set_result(change.result)
    else:
        change.future.set_exception(change.error)


def _fail(batch: Sequence[Item]) -> None:
    error = _busy()
    for item in batch:
        if isinstance(item, Post):
            if item.room.pending.pop((item.author.id, item.txn), None) is not None:
                for receipt in item.receipts:
                    receipt.refused(item.txn, error)
        elif not item.future.done():
            item.future.set_exception(error)


def make_message(post: Post) -> Message:
    """The message that was on its way, once it has a number."""
    return Message(
        post.seq,
        post.author,
        txn=post.txn,
        text=post.text,
        sent_at=post.at,
        quote=post.quote,
        origin=post.origin,
        more=post.more,
    )


def row(post: Post) -> NewMessage:
    """A message that is to be stored, once it has a number."""
    author, more = post.author, post.more
    extra = None
    if author.avatar is not None or more is not None:
        extra = extra_of(author, None if more is None else more.media)
    return NewMessage(
        post.seq,
        post.room.stream_id,
        author.id,
        post.txn,
        author.name,
        author.role.value,
        post.text,
        None if post.quote is None else post.quote.id,
        post.at,
        "text" if more is None else more.kind.value,
        author.mxid,
        None if more is None else more.html,
        extra,
    )


def extra_of(author: Author, media: Mapping[str, Any] | None) -> str | None:
    """What few messages have, as it is stored."""
    if author.avatar is None and media is None:
        return None
    return to_json({"avatar": author.avatar, "media": media})


async def find_quotes(transaction: ChatTransaction, posts: Sequence[Post]) -> None:
    """What replies answer; a reply to a message that is gone becomes a message like others."""
    older: dict[int, list[Post]] = {}
    for post in posts:
        if post.reply_to is None:
            continue
        answered = post.room.get(post.reply_to)
        post.quote = None if answered is None else answered.quoted()
        if answered is None:
            older.setdefault(post.room.stream_id, []).append(post)
    for stream_id, some in older.items():
        found = await transaction.messages(stream_id, {post.reply_to for post in some if post.reply_to is not None})
        for post in some:
            if (record := found.get(post.reply_to or 0)) is not None:
                post.quote = from_record(record).quoted()


def _busy() -> BusyError:
    return BusyError("The server cannot store messages at the moment. Nothing is lost: send it again.", 5.0)
