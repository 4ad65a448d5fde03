"""What else is written in the transaction that stores something of the chat: what waits for other servers."""

from collections.abc import Sequence

from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.room import Post, Reaction, Room
from ghostlive.db.chat import ChatTransaction


class Journal:
    """Called inside the transaction, which may run several times; what it raises fails the transaction.

    This one writes nothing: that of a server without others.
    """

    async def said(self, transaction: ChatTransaction, posts: Sequence[Post]) -> None:
        """New messages, with their numbers."""

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
        """A message says something else now."""

    async def deleted(
        self, transaction: ChatTransaction, room: Room, seq: int, ids: Sequence[int], actor: Actor
    ) -> None:
        """Messages are gone."""

    async def reacted(self, transaction: ChatTransaction, room: Room, reaction: Reaction) -> None:
        """Somebody reacted, or took that back. What the message has then is not known yet (`reactions` is empty)."""

    async def acted(self, transaction: ChatTransaction, room: Room, seq: int, act: Act) -> None:
        """Something was done by who moderates."""

    async def acted_everywhere(self, transaction: ChatTransaction, streams: Sequence[int], seq: int, act: Act) -> None:
        """The same in the chats of all those streams."""
