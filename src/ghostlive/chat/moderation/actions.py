"""What moderators do: one method each, whether they do it on a page, by a command, in the studio or in a Matrix client.

Each checks the right and the target before it writes anything, stores what it changes together with its line in the
audit log and what the Matrix room has to learn of it, in one transaction, and tells the listeners when that is stored.
What is so already changes nothing and is told to nobody. `event` is the event by which it is done in the Matrix room
already.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from ghostlive.chat.banning import Newcomers, Order, Stored, check_mxid_pattern
from ghostlive.chat.bans import Ban
from ghostlive.chat.errors import NotAllowedError, NotFoundError
from ghostlive.chat.glob import matches
from ghostlive.chat.moderation.acts import Act, ActKind, Actor
from ghostlive.chat.moderation.audit import line_of
from ghostlive.chat.moderation.errors import BadRulesError
from ghostlive.chat.moderation.held import HeldQueue
from ghostlive.chat.moderation.pattern import PatternError
from ghostlive.chat.moderation.rules import Rules, from_full
from ghostlive.chat.moderation.state import Moderator, Trusted
from ghostlive.chat.moderation.words import WordFilter
from ghostlive.chat.people import Author, Role, matrix_author_id
from ghostlive.chat.room import DELETIONS, Room
from ghostlive.db.chat import ChatTransaction
from ghostlive.db.moderation import ModerationTransaction, NamedRecord
from ghostlive.db.users import Role as AccountRole
from ghostlive.db.users import UserRepository

if TYPE_CHECKING:
    from ghostlive.chat.service import ChatService

_log = structlog.get_logger("chat")

TIMEOUT: Final = 600.0
"""Seconds of a time-out for which nobody said how long."""
LONGEST_TIMEOUT: Final = 14 * 86400.0
LONGEST_MXID: Final = 255
WARNED: Final = "A moderator warns you. Keep to the rules of this chat."
KICKED: Final = "A moderator has sent you out of this chat."


class Actions:
    """Everything that needs a right."""

    def __init__(self, service: "ChatService", users: UserRepository, held: HeldQueue) -> None:
        """`service` stores; `held` is what waits."""
        self._service = service
        self._users = users
        self._held = held

    # -- messages

    async def delete(
        self,
        room: Room,
        actor: Actor,
        ids: Sequence[int],
        *,
        reason: str = "",
        event: str | None = None,
        redacted: str | None = None,
    ) -> list[int]:
        """Take messages away; the ids of those that were there. Raises `NotFoundError` when none is.

        `redacted` is the event of the message in Matrix, when `event` has taken it away there.
        """
        self._check(room, actor)

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Act, list[int]]:
            records = await transaction.messages(room.stream_id, ids)
            if not records:
                raise NotFoundError("That message is gone already.")
            gone = sorted(records)
            last = records[gone[-1]]
            authors = {record.author for record in records.values()}
            target = Author(last.author, last.name, Role(last.role), last.mxid) if len(authors) == 1 else None
            act = Act("delete", actor, target, reason=reason, detail=_detail(event, ids=gone, all=False))
            if redacted is not None:  # before the outbox can see the deletion, else it redacts that event once more
                await transaction.remove_event(redacted)
            await self._delete(transaction, room, seq, gone, act)
            return act, gone

        return (await self._service.change(store, lambda done, seq: self._deleted(room, done[1], done[0], seq)))[1]

    async def delete_all(
        self, room: Room, actor: Actor, author_id: str, *, reason: str = "", event: str | None = None
    ) -> list[int]:
        """Take away all that somebody said here, and what waits of them; the ids."""
        self._check(room, actor)

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Act, list[int], list[int]]:
            target = await self._target(transaction, room, author_id=author_id)
            gone = await transaction.messages_of(room.stream_id, target.id)
            act = Act("delete", actor, target, reason=reason, detail=_detail(event, ids=gone, all=True))
            dropped = await self._drop(transaction, room, actor, target)
            await self._delete(transaction, room, seq, gone, act)
            return act, gone, dropped

        def apply(done: tuple[Act, list[int], list[int]], seq: int) -> None:
            act, gone, dropped = done
            self._held.dropped(room, dropped)
            self._deleted(room, gone, act, seq)

        return (await self._service.change(store, apply))[1]

    async def clear(self, room: Room, actor: Actor) -> list[int]:
        """Take away the last thousand messages of everybody: all that pages show."""
        self._check(room, actor)

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Act, list[int]]:
            gone = await ModerationTransaction(transaction).alive(room.stream_id, DELETIONS)
            act = Act("clear", actor, detail={"ids": gone})
            await self._delete(transaction, room, seq, gone, act)
            return act, gone

        return (await self._service.change(store, lambda done, seq: self._deleted(room, done[1], done[0], seq)))[1]

    async def pin(self, room: Room, actor: Actor, message_id: int | None, *, event: str | None = None) -> bool:
        """Pin a message above the chat, or none; whether that is a change."""
        self._check(room, actor)

        async def store(transaction: ChatTransaction, seq: int) -> Act | None:
            if message_id is not None and not await transaction.messages(room.stream_id, [message_id]):
                raise NotFoundError("That message is gone, so it cannot be pinned.")
            moderation = ModerationTransaction(transaction)
            if await moderation.pinned(room.stream_id) == message_id:
                return None
            act = Act("pin", actor, detail=_detail(event, id=message_id))
            await moderation.pin(room.stream_id, message_id)
            await self._note(transaction, room, seq, act)
            return act

        def apply(act: Act | None, _seq: int) -> None:
            if act is not None:
                room.moderation.pinned = message_id
                tell(room, act)

        return await self._service.change(store, apply) is not None

    async def decide(self, room: Room, actor: Actor, ids: Sequence[int], *, allow: bool) -> None:
        """Say what waited, or do away with it. Raises `NotFoundError` when something was decided already."""
        self._check(room, actor)
        await self._held.decide(room, actor, ids, allow=allow)

    # -- people

    async def ban(
        self,
        room: Room,
        actor: Actor,
        *,
        message_id: int | None = None,
        author_id: str | None = None,
        mxid: str | None = None,
        seconds: float | None = None,
        reason: str = "",
        messages: bool = False,
        watch: bool = False,
        newcomers: Newcomers = "hold",
        event: str | None = None,
    ) -> Ban:
        """Ban somebody: by a message of theirs, by their author id, or by a Matrix ID (`*` and `?` may stand in it)."""
        order = Order(
            actor,
            message_id=message_id,
            author_id=author_id,
            mxid=mxid,
            seconds=seconds,
            reason=reason,
            messages=messages,
            watch=watch,
            newcomers=newcomers,
        )
        return await self._ban(room, actor, "ban", order, event)

    async def timeout(
        self,
        room: Room,
        actor: Actor,
        *,
        message_id: int | None = None,
        author_id: str | None = None,
        mxid: str | None = None,
        seconds: float | None = None,
        reason: str = "",
        messages: bool = False,
        watch: bool = False,
        event: str | None = None,
    ) -> Ban:
        """Let somebody only read for a while (or with `watch` not even that)."""
        seconds = TIMEOUT if seconds is None else min(max(seconds, 1.0), LONGEST_TIMEOUT)
        order = Order(
            actor,
            message_id=message_id,
            author_id=author_id,
            mxid=mxid,
            seconds=seconds,
            reason=reason,
            messages=messages,
            watch=watch,
            timeout=True,
        )
        return await self._ban(room, actor, "timeout", order, event)

    async def _ban(self, room: Room, actor: Actor, kind: ActKind, order: Order, event: str | None) -> Ban:
        self._check(room, actor)
        banning = self._service.banning

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Stored, Act, list[int]]:
            if order.mxid is None:
                target = await self._target(transaction, room, message_id=order.message_id, author_id=order.author_id)
                await self._spare(transaction, room, actor, target)
            else:
                _spare_oneself(actor, _matrix(order.mxid))
                await self._spare_mxids(transaction, room, order.mxid)
            stored = await banning.store(transaction, seq, room, order)
            target = stored.target
            dropped = await self._drop(transaction, room, actor, target)
            detail = _detail(event, ban=stored.ban.id, messages=order.messages)
            if order.mxid is not None:
                detail["mxid"] = order.mxid
            act = Act(kind, actor, target, order.seconds, order.reason, detail)
            if stored.deleted:
                await self._service.journal.deleted(transaction, room, seq, stored.deleted, actor)
            await self._note(transaction, room, seq, act)
            return stored, act, dropped

        def apply(done: tuple[Stored, Act, list[int]], seq: int) -> None:
            stored, act, dropped = done
            banning.apply(room, stored, seq)
            self._held.dropped(room, dropped)
            tell(room, act)

        return (await self._service.change(store, apply))[0].ban

    async def unban(
        self,
        room: Room,
        actor: Actor,
        *,
        ban_id: int | None = None,
        author_id: str | None = None,
        mxid: str | None = None,
        event: str | None = None,
    ) -> list[Ban]:
        """End one ban, or all that name somebody (time-outs too). Raises `NotFoundError` when there is none."""
        self._check(room, actor)
        banning = self._service.banning

        async def store(transaction: ChatTransaction, seq: int) -> tuple[list[Ban], list[Act]]:
            if ban_id is not None:
                bans = [await banning.store_lift(transaction, room.stream_id, ban_id)]
            else:
                person = mxid or author_id or ""
                bans = await banning.store_lift_of(transaction, room.stream_id, person)
                if not bans:
                    raise NotFoundError("They are not banned here.")
            acts = []
            for ban in bans:
                target = Author(ban.author_id, ban.name, mxid=ban.mxid) if ban.author_id else _matrix(ban.mxid or "")
                acts.append(Act("unban", actor, target, detail=_detail(event, ban=ban.id)))
                await self._note(transaction, room, seq, acts[-1])
            return bans, acts

        def apply(done: tuple[list[Ban], list[Act]], _seq: int) -> None:
            for ban, act in zip(*done, strict=True):
                banning.apply_lift(room.stream, ban, actor.author.name)
                tell(room, act)

        return (await self._service.change(store, apply))[0]

    async def end_timeouts(self, room: Room, actor: Actor, *, author_id: str, event: str | None = None) -> list[Ban]:
        """End the time-outs of somebody, and no ban; those that ended."""
        ended: list[Ban] = []
        for ban in await self._service.bans(room.stream):
            if ban.timeout and ban.author_id == author_id:
                ended += await self.unban(room, actor, ban_id=ban.id, event=event)
        return ended

    async def kick(
        self,
        room: Room,
        actor: Actor,
        author_id: str,
        *,
        mxid: str | None = None,
        reason: str = "",
        event: str | None = None,
    ) -> None:
        """Send somebody out: their pages close; they may come back. `mxid` is that of who may never have spoken."""
        await self._simple(room, actor, "kick", author_id, reason=reason or KICKED, event=event, mxid=mxid)

    async def warn(self, room: Room, actor: Actor, author_id: str, *, reason: str = "") -> None:
        """Tell somebody, and nobody else, to keep to the rules."""
        await self._simple(room, actor, "warn", author_id, reason=reason or WARNED, event=None)

    async def _simple(
        self,
        room: Room,
        actor: Actor,
        kind: ActKind,
        author_id: str,
        *,
        reason: str,
        event: str | None,
        mxid: str | None = None,
    ) -> None:
        self._check(room, actor)

        async def store(transaction: ChatTransaction, seq: int) -> Act:
            if mxid is None:
                target = await self._target(transaction, room, author_id=author_id)
            else:
                target = self._service.author(room, author_id) or _matrix(mxid)
            await self._spare(transaction, room, actor, target)
            act = Act(kind, actor, target, reason=reason, detail=_detail(event))
            await self._note(transaction, room, seq, act)
            return act

        def apply(act: Act, _seq: int) -> None:
            if act.kind == "warn" and act.target is not None:
                warnings = room.moderation.warnings
                warnings[act.target.id] = warnings.get(act.target.id, 0) + 1
            tell(room, act)

        await self._service.change(store, apply)

    async def trust(self, room: Room, actor: Actor, author_id: str, on: bool = True) -> bool:
        """Let the rules but read-only not count for somebody, or count again; whether that is a change."""
        self._check(room, actor)
        author = actor.author

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Act, Trusted] | None:
            moderation, now = ModerationTransaction(transaction), self._service.now()
            known = room.moderation.trusted.get(author_id)
            if on or known is None:
                target = await self._target(transaction, room, author_id=author_id)
            else:  # they may be known no more
                target = Author(author_id, known.name)
            record = NamedRecord(target.id, target.name, author.name, now)
            changed = (
                await moderation.trust(room.stream_id, record)
                if on
                else await moderation.distrust(room.stream_id, target.id)
            )
            if not changed:
                return None
            act = Act("trust", actor, target, detail={"on": on})
            await self._note(transaction, room, seq, act)
            return act, Trusted(target.id, target.name, author.name, now)

        def apply(done: tuple[Act, Trusted] | None, _seq: int) -> None:
            if done is None:
                return
            act, trusted = done
            if on:
                room.moderation.trusted[trusted.author] = trusted
            else:
                room.moderation.trusted.pop(trusted.author, None)
            tell(room, act)

        return await self._service.change(store, apply) is not None

    async def moderator(
        self,
        room: Room,
        actor: Actor,
        *,
        account: str | None = None,
        author_id: str | None = None,
        mxid: str | None = None,
        on: bool = True,
        event: str | None = None,
    ) -> bool:
        """Make somebody a moderator of this chat, or take that away; whether that is a change. For its streamer.

        By the name of an account, by an author id of either, or by a Matrix ID.
        """
        self._check(room, actor, streamer=True)
        target = await self._candidate(room, account=account, author_id=author_id, mxid=mxid, on=on)
        subject = target.mxid or target.id

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Act, Moderator] | None:
            moderation, now = ModerationTransaction(transaction), self._service.now()
            record = NamedRecord(subject, target.name, actor.author.name, now)
            changed = (
                await moderation.name_moderator(room.stream_id, record)
                if on
                else await moderation.remove_moderator(room.stream_id, subject)
            )
            if not changed:
                return None
            act = Act("moderator", actor, target, detail=_detail(event, on=on, mxid=target.mxid))
            await self._note(transaction, room, seq, act)
            return act, Moderator(subject, target.name, actor.author.name, now)

        def apply(done: tuple[Act, Moderator] | None, _seq: int) -> None:
            if done is None:
                return
            act, moderator = done
            if on:
                room.moderation.moderators[subject] = moderator
            else:
                room.moderation.moderators.pop(subject, None)
            tell(room, act)

        return await self._service.change(store, apply) is not None

    async def _candidate(
        self, room: Room, *, account: str | None, author_id: str | None, mxid: str | None, on: bool
    ) -> Author:
        if author_id is not None and author_id.startswith("u_") and author_id in room.moderation.moderators:
            return Author(author_id, room.moderation.moderators[author_id].name)
        if author_id is not None:
            found = self._service.author(room, author_id)
            mxid = None if found is None else found.mxid
            if found is not None and found.id.startswith("u_"):
                account = found.name
            elif mxid is None:
                raise NotAllowedError("Only somebody with an account here or at Matrix can moderate, no guest.")
        if mxid is not None:
            if not _is_mxid(mxid):
                raise NotFoundError("A Matrix ID is written @name:server.")
            return _matrix(mxid)
        user = await self._users.get(account or "")
        if user is None:
            named = [one for one in room.moderation.moderators.values() if one.name == account]
            if not on and named:  # the account is gone, and what it was made shall be, too
                return Author(named[0].subject, named[0].name)
            raise NotFoundError("There is no account of that name.")
        if on and user.role in (AccountRole.OWNER, AccountRole.ADMIN, AccountRole.MODERATOR):
            raise NotAllowedError(f"{user.name} moderates every chat of this server already.")
        return Author(f"u_{user.id}", user.name)

    # -- the room

    async def set_rules(self, room: Room, actor: Actor, changes: Mapping[str, Any]) -> Rules:
        """Set some rules; all as they are then. Raises `BadRulesError`."""
        return await self._set(room, actor, "rules", changes)

    async def shield(self, room: Room, actor: Actor, on: bool) -> Rules:
        """Slow, approve first and no new names with one switch; taken off, the rules are as they were."""
        return await self._set(room, actor, "shield", {"shield": on})

    async def _set(self, room: Room, actor: Actor, kind: ActKind, changes: Mapping[str, Any]) -> Rules:
        self._check(room, actor)
        room.moderation.rules.change(changes)  # what is wrong with it is said before anything waits

        async def store(transaction: ChatTransaction, seq: int) -> tuple[Act, Rules, WordFilter | None] | None:
            # Not those in memory: another change may be stored just now.
            before = from_full(await ModerationTransaction(transaction).rules(room.stream_id))
            rules = before.change(changes)
            if rules == before:
                return None
            try:
                words = room.moderation.filter_of(rules)
            except PatternError as error:
                raise BadRulesError(str(error)) from error
            if set(changes) == {"shield"}:
                act = Act("shield", actor, detail={"rules": rules.json(), "on": rules.shield})
            else:
                changed = {name: value for name, value in rules.full().items() if name in changes}
                act = Act(kind, actor, detail={"rules": rules.json(), "changes": changed})
            await ModerationTransaction(transaction).set_rules(room.stream_id, rules.full())
            await self._note(transaction, room, seq, act)
            return act, rules, words

        def apply(done: tuple[Act, Rules, WordFilter | None] | None, _seq: int) -> None:
            if done is not None:
                act, rules, words = done
                room.moderation.set(rules, words)
                tell(room, act)

        await self._service.change(store, apply)
        return room.moderation.rules

    # -- helpers

    def _check(self, room: Room, actor: Actor, *, streamer: bool = False) -> None:
        """Raises `NotAllowedError` when `actor` has not the right. Who asks for the REST API was asked for theirs."""
        author = actor.author
        if actor.via == "rule":
            return
        if streamer and author.role is not Role.STREAMER:
            raise NotAllowedError("Only the streamer says who moderates this chat.")
        if not room.moderation.moderates(author):
            raise NotAllowedError("Only moderators of this chat can do that.")

    async def _spare(self, transaction: ChatTransaction, room: Room, actor: Actor, target: Author) -> None:
        """Raises `NotAllowedError` when nobody may do that to `target`."""
        _spare_oneself(actor, target)
        if await self._moderates(transaction, room, target):
            raise NotAllowedError("They moderate this chat. Take that right from them first.")

    async def _moderates(self, transaction: ChatTransaction, room: Room, target: Author) -> bool:
        """Whether somebody moderates this chat now: what they said bears the role that they had then."""
        present = room.people.get(target.id)
        if room.moderation.named(target) or (present is not None and room.moderation.moderates(present)):
            return True
        links = self._service.banning.links
        mine = {target.id, target.mxid or links.get(target.id)}
        for subject in await ModerationTransaction(transaction).moderating(room.stream_id):
            if subject in mine or (subject in links and links[subject] in mine):
                return True
        return False

    async def _spare_mxids(self, transaction: ChatTransaction, room: Room, pattern: str) -> None:
        """Raises `NotAllowedError` when a Matrix ID, or a pattern, is that of one whom nobody may ban here."""
        banning = self._service.banning
        pattern = check_mxid_pattern(pattern)
        if banning.bot and matches(pattern, banning.bot):
            raise NotAllowedError(f"That is, or includes, {banning.bot}, by which this server keeps the room.")
        for subject in await ModerationTransaction(transaction).moderating(room.stream_id):
            mxid = subject if subject.startswith("@") else banning.links.get(subject)
            if mxid is not None and matches(pattern, mxid):
                raise NotAllowedError(f"That is, or includes, {mxid}, who moderates this chat.")

    async def _target(
        self,
        transaction: ChatTransaction,
        room: Room,
        *,
        message_id: int | None = None,
        author_id: str | None = None,
    ) -> Author:
        if message_id is not None:
            record = (await transaction.messages(room.stream_id, [message_id])).get(message_id)
            if record is None:
                raise NotFoundError("That message is gone, so its author cannot be found by it.")
            author_id = record.author
        found = None if author_id is None else self._service.author(room, author_id)
        if found is not None:
            return found
        for held in room.moderation.held.values():
            if held.author.id == author_id:
                return held.author
        stored = await ModerationTransaction(transaction).author(room.stream_id, author_id or "")
        if stored is None:
            raise NotFoundError("There is nobody of that name here.")
        return Author(stored.id, stored.name, Role(stored.role), stored.mxid)

    async def _drop(self, transaction: ChatTransaction, room: Room, actor: Actor, target: Author) -> list[int]:
        """Nothing that waits of `target` is ever said."""
        if not room.moderation.held_of.get(target.id):
            return []
        moderation, now = ModerationTransaction(transaction), self._service.now()
        return await moderation.deny_all(room.stream_id, target.id, by=actor.author.name, at=now)

    async def _delete(self, transaction: ChatTransaction, room: Room, seq: int, gone: Sequence[int], act: Act) -> None:
        await transaction.delete_messages(gone, seq=seq, by=act.actor.author.name)
        if gone:
            await self._service.journal.deleted(transaction, room, seq, gone, act.actor)
        await self._note(transaction, room, seq, act)

    def _deleted(self, room: Room, gone: Sequence[int], act: Act, seq: int) -> None:
        room.tell_deleted(seq, gone, act.actor)
        tell(room, act)

    async def _note(self, transaction: ChatTransaction, room: Room, seq: int, act: Act) -> None:
        """What is stored of every act, beside what it changes."""
        await ModerationTransaction(transaction).audit(room.stream_id, line_of(act, self._now()))
        await self._service.journal.acted(transaction, room, seq, act)

    def _now(self) -> datetime:
        return self._service.now()


def tell(room: Room, act: Act) -> None:
    """What was done is stored: tell the listeners."""
    for listener in list(room.listeners):
        listener.acted(act)
    _log.info(
        "moderated",
        stream=room.stream,
        act=act.kind,
        by=act.actor.author.name,
        via=act.actor.via,
        target=None if act.target is None else act.target.name,
    )


def _spare_oneself(actor: Actor, target: Author) -> None:
    if target.id == actor.author.id:
        raise NotAllowedError("That would be you.")


def _detail(event: str | None, **members: Any) -> dict[str, Any]:
    return members if event is None else {**members, "event": event}


def _matrix(mxid: str) -> Author:
    return Author(matrix_author_id(mxid), mxid, mxid=mxid)


def _is_mxid(text: str) -> bool:
    local, colon, server = text[1:].partition(":")
    return (
        text.startswith("@")
        and bool(local and colon and server)
        and len(text) <= 255
        and not any(map(str.isspace, text))
    )
