"""What is to become of something that somebody wants to say, and who decides it.

Here are the seams only, so that the chat's core can be made, and tested, without rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from ghostlive.chat.errors import NotAllowedError, RefusalError
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.people import Author, Visitor

if TYPE_CHECKING:
    from ghostlive.chat.message import Message
    from ghostlive.chat.room import Post, Receipt, Room


@dataclass(frozen=True, slots=True)
class Refusal:
    """It is not accepted; the author is told why."""

    error: RefusalError


@dataclass(frozen=True, slots=True)
class Hold:
    """It waits for a moderator. The author is told the first line of `reason`; others are for moderators (`told`)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Shadow:
    """Its author believes that it was said; nobody else sees it."""


Verdict = Refusal | Hold | Shadow | None
"""None: go on."""


def told(reason: str) -> str:
    """What the author of something is told of why it waits."""
    return reason.partition("\n")[0]


class Reviewer(Protocol):
    """Asked before anything is said, from whatever side it comes. Never awaits."""

    def review(
        self, room: "Room", visitor: Visitor, text: str, kind: str, now: datetime, *, html: str | None = None
    ) -> Verdict:
        """`kind` is `text`, `notice`, `emote`, `image`, `sticker` or `unreadable`; `now` in UTC.

        Called once for each message that is new (not for one that is sent again); what it counts, it counts then.
        """

    def review_reaction(self, room: "Room", visitor: Visitor) -> Verdict:
        """The same for a reaction, which is not counted."""


class NoRules:
    """Everything may be said."""

    def review(
        self, room: "Room", visitor: Visitor, text: str, kind: str, now: datetime, *, html: str | None = None
    ) -> Verdict:
        """See `Reviewer.review`."""
        return None

    def review_reaction(self, room: "Room", visitor: Visitor) -> Verdict:
        """See `Reviewer.review_reaction`."""
        return None


class Notice(NamedTuple):
    """One line for the person who asked, and for nobody else."""

    text: str
    level: Literal["info", "error"] = "info"


class Moderator(Reviewer, Protocol):
    """What the chat's core asks of moderation; `moderation.Moderation` is the real one."""

    async def load(self, room: "Room") -> None:
        """Read the rules, and what waits, of a room that nobody has seen yet. Raises like the database."""

    def check_join(self, room: "Room", visitor: Visitor, name: str) -> None:
        """Raises a `RefusalError` when nobody new takes a name at the moment, or nobody takes that one."""

    def is_held(self, room: "Room", author_id: str, txn: str) -> bool:
        """Whether this message waits for a moderator already."""

    def held_again(self, room: "Room", author_id: str, txn: str, receipt: "Receipt") -> None:
        """A message that waits was sent again; `receipt` is told what becomes of it."""

    def hold(self, room: "Room", visitor: Visitor, post: "Post", reason: str) -> None:
        """Keep `post` until a moderator decides; its receipts are told. Raises a `RefusalError`."""

    def alive(self, room: "Room", visitor: Visitor, *, playing: bool) -> None:
        """Their page says every 30 s whether it plays."""

    def moderates(self, room: "Room", author: Author) -> bool:
        """Whether they were made a moderator of this room."""

    async def act(
        self,
        room: "Room",
        actor: Actor,
        act: str,
        *,
        message_id: int | None = None,
        author_id: str | None = None,
        seconds: float | None = None,
        reason: str = "",
        value: Any = None,
    ) -> None:
        """What a page asks for with `act`. Raises a `RefusalError`."""

    async def decide(self, room: "Room", actor: Actor, ids: Sequence[int], *, allow: bool) -> None:
        """Say what waited, or do away with it. Raises a `RefusalError`."""

    def is_command(self, text: str) -> bool:
        """Whether `text`, without its slash or mark, begins with the name of a command."""

    async def command(self, room: "Room", actor: Actor, text: str) -> list[Notice]:
        """Carry out a command, without its slash or mark. Never raises a `RefusalError`: that is a notice too."""

    def rules_json(self, room: "Room") -> dict[str, Any]:
        """The rules as every page sees them."""

    def held_json(self, room: "Room") -> list[dict[str, Any]]:
        """What waits, for who moderates."""

    def pinned(self, room: "Room") -> "Message | None":
        """The message that is pinned."""

    def who_json(self, room: "Room", author: Author) -> dict[str, Any]:
        """What moderators are told of somebody: `tag`, `since`, `trusted`, `warnings`, `watched`, as far as known."""


class NoModeration(NoRules):
    """Nothing is moderated: what the chat's core has until composition gives it the real one."""

    async def load(self, room: "Room") -> None:
        """See `Moderator.load`."""

    def check_join(self, room: "Room", visitor: Visitor, name: str) -> None:
        """See `Moderator.check_join`."""

    def is_held(self, room: "Room", author_id: str, txn: str) -> bool:
        """See `Moderator.is_held`."""
        return False

    def held_again(self, room: "Room", author_id: str, txn: str, receipt: "Receipt") -> None:
        """See `Moderator.held_again`."""

    def hold(self, room: "Room", visitor: Visitor, post: "Post", reason: str) -> None:
        """There is nobody who could let it through."""
        for receipt in post.receipts:
            receipt.refused(post.txn, NotAllowedError(reason))

    def alive(self, room: "Room", visitor: Visitor, *, playing: bool) -> None:
        """See `Moderator.alive`."""

    def moderates(self, room: "Room", author: Author) -> bool:
        """See `Moderator.moderates`."""
        return False

    async def act(
        self,
        room: "Room",
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
        raise NotAllowedError("This chat is not moderated.")

    async def decide(self, room: "Room", actor: Actor, ids: Sequence[int], *, allow: bool) -> None:
        """See `Moderator.decide`."""
        raise NotAllowedError("This chat is not moderated.")

    def is_command(self, text: str) -> bool:
        """See `Moderator.is_command`."""
        return False

    async def command(self, room: "Room", actor: Actor, text: str) -> list[Notice]:
        """See `Moderator.command`."""
        return [Notice("There are no commands here.", "error")]

    def rules_json(self, room: "Room") -> dict[str, Any]:
        """See `Moderator.rules_json`."""
        return {}

    def held_json(self, room: "Room") -> list[dict[str, Any]]:
        """See `Moderator.held_json`."""
        return []

    def pinned(self, room: "Room") -> "Message | None":
        """See `Moderator.pinned`."""
        return None

    def who_json(self, room: "Room", author: Author) -> dict[str, Any]:
        """See `Moderator.who_json`."""
        return {}
