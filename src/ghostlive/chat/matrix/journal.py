"""Writes down what the homeserver is to get besides messages, in the transaction that stores it.

Messages and deletions need no writing: the outbox finds them in the chat's own tables.
"""

from collections.abc import Sequence
from typing import Any, Final

from ghostlive.chat.journal import Journal
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.room import Reaction, Room
from ghostlive.core.clock import Clock, SystemClock
from ghostlive.db.chat import ChatTransaction
from ghostlive.db.matrix import add_pending

EVENT: Final = "event"
"""In `Act.detail`: the event in the room that did it already. Commands that are typed there have none."""
_MIRRORED: Final = frozenset({"ban", "unban", "kick", "timeout", "pin"})


class MatrixJournal(Journal):
    """That of a server that has a bridge."""

    def __init__(self, clock: Clock | None = None) -> None:
        """`clock` says when something was done: the time that its event has in the room."""
        self._clock = clock or SystemClock()

    async def edited(
        self,
        transaction: ChatTransaction,
        room: Room,
        seq: int,
        message_id: int,
        *,
        text: str,
        html: str | None,
        actor: Actor,
    ) -> None:
        """See `Journal.edited`."""
        if actor.via == "matrix":
            return
        payload = {"message": message_id, "text": text, "html": html, "at": self._now_ms()}
        await add_pending(transaction.connection, room.stream_id, seq=seq, kind="edit", payload=payload)

    async def reacted(self, transaction: ChatTransaction, room: Room, reaction: Reaction) -> None:
        """See `Journal.reacted`."""
        if reaction.via == "matrix":
            return
        payload = {
            "message": reaction.message_id,
            "author": reaction.author.id,
            "name": reaction.author.name,
            "key": reaction.key,
            "on": reaction.on,
            "at": self._now_ms(),
        }
        await add_pending(transaction.connection, room.stream_id, seq=reaction.seq, kind="react", payload=payload)

    async def acted(self, transaction: ChatTransaction, room: Room, seq: int, act: Act) -> None:
        """See `Journal.acted`."""
        await self.acted_everywhere(transaction, [room.stream_id], seq, act)

    async def acted_everywhere(self, transaction: ChatTransaction, streams: Sequence[int], seq: int, act: Act) -> None:
        """See `Journal.acted_everywhere`."""
        if act.kind not in _MIRRORED:
            return
        payload: dict[str, Any] = {
            "act": act.kind,
            "target": None if act.target is None else act.target.id,
            "mxid": None if act.target is None else act.target.mxid,
            "seconds": act.seconds,
            "reason": act.reason,
            "done": EVENT in act.detail,
            "site": act.detail.get("site") is True,
        }
        if act.kind == "pin":
            payload["message"] = act.detail.get("id")
        for stream_id in streams:
            await add_pending(transaction.connection, stream_id, seq=seq, kind="act", payload=payload)

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // 1_000_000
