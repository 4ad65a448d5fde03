"""Messages that wait for a moderator: stored, so that they outlive us, and decided once.

What is let through is stored as a message in the same transaction that stores the decision, and then told like any
other: after a crash it was either said and decided, or it waits. Several are said in the order in which they came.
"""

import asyncio
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from ghostlive.chat.errors import BusyError, NotFoundError
from ghostlive.chat.matrix.media import PATH
from ghostlive.chat.message import More
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.audit import line
from ghostlive.chat.moderation.errors import HeldFullError, NotApprovedError
from ghostlive.chat.moderation.state import Held
from ghostlive.chat.moderation.verdict import told
from ghostlive.chat.room import Post, Receipt, Room
from ghostlive.chat.writer import NumberTakenError, find_quotes, row, tell_post
from ghostlive.db.chat import ChatRepository, ChatTransaction
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
_EMOTE: Final = re.compile(rf'<img class="emote" src="{PATH}([^"?]+)" alt="([^"]*)">')


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

        async def store(transaction: ChatTransaction, _seq: int) -> tuple[HeldRecord, Collection[str]]:
            known = await transaction.known_media([one.id for one in post.media])
            return await ModerationTransaction(transaction).hold(new), known

        def apply(result: tuple[HeldRecord, Collection[str]], _seq: int) -> None:
            record, known = result
            if record.decided_at is not None:  # sent again after it was decided
                state.held_keys.pop(key, None)
                self._forget(room, key)
                for receipt in waiting.receipts:
                    _tell_decided(receipt, post.txn, record.message_id)
                return
            held = _waits(record, post, known)
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

    async def load(self, room: Room, records: Sequence[HeldRecord], chat: ChatRepository) -> None:
        """What waits in a room that nobody has seen yet. Raises like the database."""
        posts: list[tuple[HeldRecord, Post]] = []
        for record in records:
            try:
                posts.append((record, Post.from_json(room, record.post)))
            except (ValueError, KeyError, TypeError) as error:  # of another version
                _log.warning("a message that waits cannot be read", stream=room.stream, id=record.id, error=str(error))
        known = await chat.known_media({one.id for _, post in posts for one in post.media})
        for record, post in posts:
            room.moderation.add_held(_waits(record, post, known))

    def forget(self, room: Room) -> None:
        """The room is no more."""
        for key in [key for key in self._waiting if key[0] == room.stream_id]:
            del self._waiting[key]

    def _forget(self, room: Room, key: tuple[str, str]) -> _Waiting | None:
        return self._waiting.pop((room.stream_id, *key), None)


def _waits(record: HeldRecord, post: Post, known: Collection[str]) -> Held:
    """A message that waits, as moderators see it; `known` are files that pages get already.

    The proxy gives out nothing that was not let through once, not even to moderators: pages ask it without saying who
    they are. So of any other picture there are the words that describe it.
    """
    more = post.more
    if more is not None:
        html = None
        if more.html is not None:
            html = _EMOTE.sub(lambda found: found[0] if found[1] in known else found[2], more.html)
        shown = more.media is not None and _media_id(more.media["url"]) in known
        more = More(more.kind, html, more.media if shown else None)
    return Held(record.id, post.author, record.txn, post.text, post.at, record.reason, record.post, more)


def _media_id(url: str) -> str:
    return url.removeprefix(PATH).partition("?")[0]


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
