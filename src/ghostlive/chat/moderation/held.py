"""Messages that wait for a moderator: stored, so that they outlive us, and decided once.

What is let through is stored as a message in the same transaction that stores the decision, and then told like any
other: after a crash it was either said and decided, or it waits. Several are said in the order in which they came.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from ghostlive.chat.errors import BusyError, NotFoundError
from ghostlive.chat.matrix.media import PATH, held_path
from ghostlive.chat.message import More
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.audit import line
from ghostlive.chat.moderation.errors import HeldFullError, NotApprovedError
from ghostlive.chat.moderation.state import Held
from ghostlive.chat.moderation.verdict import told
from ghostlive.chat.room import Post, Receipt, Room
from ghostlive.chat.writer import NumberTakenError, find_quotes, row, tell_post
from ghostlive.db.chat import ChatTransaction, MediaRecord
from ghostlive.db.moderation import HeldRecord, ModerationTransaction, NewHeld

if TYPE_CHECKING:
    from ghostlive.chat.service import ChatService

_log = structlog.get_logger("chat")

MOST_OF_ONE: Final = 10
"""How many messages of one author wait at most."""
MOST: Final = 1000
"""How many wait in one room at most."""
DENIED: Final = "A moderator did not let your message through."
WAITS: Final = "Your message waits for a moderator."
_EMOTE: Final = re.compile(rf'(?<=<img class="emote" src="){PATH}')


class _Waiting:
    """Who hears of a message that waits."""

    __slots__ = ("reason", "receipts")

    def __init__(self, reason: str, receipts: list[Receipt]) -> None:
        self.reason = reason
        self.receipts = receipts


class _Said(NamedTuple):
    """A decision that is stored."""

    post: Post | None
    earlier: int | None


class HeldQueue:
    """What waits in all rooms."""

    def __init__(self, service: "ChatService") -> None:
        """`service` stores."""
        self._service = service
        self._waiting: dict[tuple[int, str, str], _Waiting] = {}
        """By stream, author and txn; gone with us, unlike what waits."""

    def hold(self, room: Room, post: Post, reason: str) -> None:
        """Keep `post` until somebody decides. Raises `HeldFullError`."""
        state = room.moderation
        if len(state.held) >= MOST:
            raise HeldFullError("So many messages wait for a moderator that no more can. Try again later.", 60.0)
        if state.held_of.get(post.author.id, 0) >= MOST_OF_ONE:
            raise HeldFullError("Your earlier messages still wait for a moderator. Send this one after them.")
        key = (post.author.id, post.txn)
        waiting = self._waiting[room.stream_id, *key] = _Waiting(reason, post.receipts)
        new = NewHeld(room.stream_id, *key, post=post.to_json(), reason=reason, at=post.at)

        async def store(transaction: ChatTransaction, _seq: int) -> HeldRecord:
            return await ModerationTransaction(transaction).hold(new)

        def apply(record: HeldRecord, _seq: int) -> None:
            if record.decided_at is not None:  # sent again after it was decided
                state.held_keys.pop(key, None)
                self._forget(room, key)
                for receipt in waiting.receipts:
                    _tell_decided(receipt, post.txn, record.message_id)
                return
            held = _waits(room, record, post)
            state.add_held(held)
            for receipt in waiting.receipts:
                receipt.held(post.txn, told(reason))
            for listener in room.listeners:
                listener.held([held], [])

        state.held_keys[key] = 0
        future = asyncio.ensure_future(self._service.change(store, apply))
        future.add_done_callback(lambda done: self._stored(room, key, done))

    def _stored(self, room: Room, key: tuple[str, str], done: "asyncio.Future[Any]") -> None:
        error = None if done.cancelled() else done.exception()
        if error is None and not done.cancelled():
            return
        room.moderation.held_keys.pop(key, None)
        waiting = self._forget(room, key)
        refusal = (
            error if isinstance(error, BusyError) else BusyError("Your message could not be stored. Try again.", 5.0)
        )
        for receipt in [] if waiting is None else waiting.receipts:
            receipt.refused(key[1], refusal)

    def again(self, room: Room, author_id: str, txn: str, receipt: Receipt) -> None:
        """A message that waits was sent again."""
        key = (author_id, txn)
        waiting = self._waiting.get((room.stream_id, *key))
        if waiting is None:
            held = room.moderation.held.get(room.moderation.held_keys.get(key, 0))
            waiting = self._waiting[room.stream_id, *key] = _Waiting(WAITS if held is None else held.reason, [])
        waiting.receipts.append(receipt)
        if room.moderation.held_keys.get(key):
            receipt.held(txn, told(waiting.reason))  # else it is told when it is stored

    async def decide(self, room: Room, actor: Actor, ids: Sequence[int], *, allow: bool) -> None:
        """Say what waited, in the order in which it came, or do away with it.

        Raises `NotFoundError` when one of them was decided already; the others are decided nevertheless.
        """
        found = [held for held in room.moderation.held.values() if held.id in set(ids)]
        work = [self._decide(room, actor, held, allow=allow) for held in found]
        outcomes = await asyncio.gather(*work, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        if len(found) < len(set(ids)):
            raise NotFoundError("Somebody has decided that already.")

    async def _decide(self, room: Room, actor: Actor, held: Held, *, allow: bool) -> None:
        service, state = self._service, room.moderation

        async def store(transaction: ChatTransaction, seq: int) -> _Said:
            moderation, now = ModerationTransaction(transaction), service.now()
            post, earlier = None, None
            if allow:
                post = Post.from_json(room, held.post)
                # It is said now: who watches with a delay must not have it before the picture it was let through at.
                post.seq, post.at = seq, now
                earlier = await transaction.find_txn(room.stream_id, post.author.id, post.txn)
            by = actor.author.name
            message_id = None if post is None else earlier or seq
            if not await moderation.decide(room.stream_id, held.id, by=by, at=now, message_id=message_id):
                raise NotFoundError("That was decided already, or has waited for too long.")
            if post is not None and earlier is None:
                await _say(service, transaction, post)
            detail = {} if message_id is None else {"id": message_id}
            kind = "allow" if allow else "deny"
            await moderation.audit(room.stream_id, line(kind, actor, now, target=held.author, detail=detail))
            return _Said(post, earlier)

        def apply(said: _Said, _seq: int) -> None:
            state.remove_held(held.id)
            waiting = self._forget(room, (held.author.id, held.txn))
            receipts = [] if waiting is None else waiting.receipts
            if said.post is not None:
                state.approved.add(held.author.id)
                said.post.receipts[:] = receipts
                tell_post(said.post, said.earlier)
            else:
                for receipt in receipts:
                    receipt.refused(held.txn, NotApprovedError(DENIED))
            for listener in room.listeners:
                listener.held([], [held.id])

        try:
            await service.change(store, apply)
        except NotFoundError:
            self.dropped(room, [held.id])  # as when it was forgotten after the days for which messages are kept
            raise

    def dropped(self, room: Room, ids: Sequence[int]) -> None:
        """It is stored that nothing of these is ever said: their author was banned, or all of theirs deleted."""
        gone = [held for held_id in ids if (held := room.moderation.remove_held(held_id)) is not None]
        for held in gone:
            waiting = self._forget(room, (held.author.id, held.txn))
            for receipt in [] if waiting is None else waiting.receipts:
                receipt.refused(held.txn, NotApprovedError(DENIED))
        if gone:
            for listener in room.listeners:
                listener.held([], [held.id for held in gone])

    def load(self, room: Room, records: Sequence[HeldRecord]) -> None:
        """What waits in a room that nobody has seen yet."""
        for record in records:
            try:
                post = Post.from_json(room, record.post)
            except (ValueError, KeyError, TypeError) as error:  # of another version
                _log.warning("a message that waits cannot be read", stream=room.stream, id=record.id, error=str(error))
            else:
                room.moderation.add_held(_waits(room, record, post))

    def file(self, room: Room, held_id: int, media_id: str) -> MediaRecord:
        """A file of a message, for as long as that waits. Raises `NotFoundError`."""
        held = room.moderation.held.get(held_id)
        if held is None:
            raise NotFoundError("That message does not wait any more.")
        found = next((one for one in Post.from_json(room, held.post).media if one.id == media_id), None)
        if found is None:
            raise NotFoundError("There is no such file in that message.")
        return found

    def forget(self, room: Room) -> None:
        """The room is no more."""
        for key in [key for key in self._waiting if key[0] == room.stream_id]:
            del self._waiting[key]

    def _forget(self, room: Room, key: tuple[str, str]) -> _Waiting | None:
        return self._waiting.pop((room.stream_id, *key), None)


def _waits(room: Room, record: HeldRecord, post: Post) -> Held:
    """A message that waits, as moderators see it.

    The media proxy asks nobody who they are, so it gives out nothing that was not let through; what waits is got from
    elsewhere, by moderators only, until it is decided.
    """
    here = held_path(room.stream, record.id)
    author, more = post.author, post.more
    if more is not None:
        html = None if more.html is None else _EMOTE.sub(lambda _: here, more.html)
        media = None
        if more.media is not None:
            media = {**more.media, "url": _moved(more.media["url"], here), "thumb": _moved(more.media["thumb"], here)}
        more = More(more.kind, html, media)
    avatar = None if author.avatar is None else _moved(author.avatar, here)
    return Held(record.id, author, record.txn, post.text, post.at, record.reason, record.post, avatar, more)


def _moved(path: str, here: str) -> str:
    return here + path.removeprefix(PATH)


async def _say(service: "ChatService", transaction: ChatTransaction, post: Post) -> None:
    """Store a message as the writer does, but for its event: one that waited was taken out of its Matrix room.

    So it has none, and the outbox has the bot say it there.
    """
    await find_quotes(transaction, [post])
    if post.seq not in await transaction.add_messages([row(post)]):
        raise NumberTakenError
    if post.media:
        await transaction.add_media(post.media, at=post.at)
    await service.journal.said(transaction, [post])


def _tell_decided(receipt: Receipt, txn: str, message_id: int | None) -> None:
    if message_id is None:
        receipt.refused(txn, NotApprovedError(DENIED))
    else:
        receipt.stored(txn, message_id)
