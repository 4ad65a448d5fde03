"""Commands that people type: `/` on a page, `!` in a Matrix client that keeps `/` for itself. The same in both.

Each is one row of a table: how it is called, how it is used, what it does, and who may. `help` is made from the table,
so it lists all. What cannot be carried out is answered with what to do instead.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from ghostlive.chat.errors import NotAllowedError
from ghostlive.chat.moderation.actions import Actions
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.duration import parse_duration, say_duration
from ghostlive.chat.moderation.errors import CommandError
from ghostlive.chat.moderation.rules import Rules
from ghostlive.chat.moderation.verdict import Notice
from ghostlive.chat.moderation.words import Word
from ghostlive.chat.names import skeleton
from ghostlive.chat.people import Author, Role, matrix_author_id
from ghostlive.chat.room import Room

if TYPE_CHECKING:
    from ghostlive.chat.service import ChatService

Right = Literal["all", "moderator", "streamer"]
_ON: Final = frozenset({"on", "yes", "true", "1"})
_OFF: Final = frozenset({"off", "no", "false", "0", "none"})
ME: Final = "me"
"""The command that is a message: pages send it as one, and a Matrix client has it of its own."""
_KINDS: Final = ("exact", "glob", "regex")
_LISTED: Final = 20


class Call:
    """One command that somebody typed, with what stands behind its name."""

    __slots__ = ("actor", "command", "prefix", "rest", "room")

    def __init__(self, room: Room, actor: Actor, command: "Command", rest: str) -> None:
        self.room = room
        self.actor = actor
        self.command = command
        self.rest = rest.strip()
        self.prefix = "!" if actor.via == "matrix" else "/"

    def usage(self, why: str) -> CommandError:
        """Why it cannot be carried out, and how it would be written."""
        return CommandError(f"{why} Write: {self.prefix}{self.command.usage}")

    def word(self, what: str | None = None) -> str:
        """The next word; raises a `CommandError` that says `what` is missing, or returns nothing where it may."""
        word, _, self.rest = self.rest.partition(" ")
        self.rest = self.rest.strip()
        if not word and what is not None:
            raise self.usage(f"{what} is missing.")
        return word

    def duration(self) -> float | None:
        """A length of time, if one comes next."""
        first = self.rest.partition(" ")[0]
        seconds = parse_duration(first)
        if seconds is not None:
            self.word()
        return seconds

    def switch(self, now: bool) -> bool:
        """`on` or `off`; without either, the opposite of what is `now`."""
        word = self.word().lower()
        if word and word not in _ON | _OFF:
            raise self.usage(f"{word[:20]!r} is neither on nor off.")
        return word in _ON if word else not now

    def number(self, default: int, most: int) -> int:
        """A number, or `off` for 0, or `on` and nothing for `default`."""
        word = self.word().lower()
        if not word or word in _ON - {"1"}:
            return default
        if word in _OFF:
            return 0
        seconds = parse_duration(word.removesuffix("%"))
        if seconds is None or seconds > most:
            raise self.usage(f"{word[:20]!r} is no number from 0 to {most}.")
        return int(seconds)


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table."""

    names: tuple[str, ...]
    """The first is the one that `help` shows."""
    usage: str
    help: str
    right: Right
    run: Callable[[Call], Awaitable[str | list[str]]]


class Commands:
    """The table, and what stands behind it."""

    def __init__(self, actions: Actions, service: "ChatService") -> None:
        """`actions` do what is asked for."""
        self._actions = actions
        self._service = service
        self.table: list[Command] = [
            Command(("help", "commands"), "help [command]", "lists what you can do", "all", self._help),
            Command((ME,), "me words", "says what you do, after your name", "all", self._me),
            Command(("rules",), "rules", "says which rules this chat has", "all", self._rules),
            Command(("mods",), "mods", "says who was made a moderator here", "all", self._mods),
            _mod(("ban",), "ban name [length] [reason]", "keeps somebody out", self._ban),
            _mod(("unban", "untimeout"), "unban name", "lets somebody in again", self._unban),
            _mod(("bans",), "bans", "lists who is banned", self._bans),
            _mod(("timeout", "mute"), "timeout name [length] [reason]", "lets somebody only read", self._timeout),
            _mod(("kick",), "kick name [reason]", "sends somebody out, who may come back", self._kick),
            _mod(("warn",), "warn name [reason]", "tells somebody to keep to the rules", self._warn),
            _mod(("delete", "del"), "delete name|number", "takes the last message of somebody away", self._delete),
            _mod(("purge",), "purge name", "takes away all that somebody said", self._purge),
            _mod(("clear",), "clear", "takes away what everybody said", self._clear),
            _mod(("pin",), "pin [name|number]", "pins the last message of somebody, or yours", self._pin),
            _mod(("unpin",), "unpin", "takes the pinned message down", self._unpin),
            _mod(("trust", "vip"), "trust name", "exempts somebody from the rules", self._trust),
            _mod(("untrust", "unvip"), "untrust name", "the rules count for them again", self._untrust),
            _mod(("shield",), "shield [on|off]", "slow, approve first and no new names, at once", self._shield),
            _mod(("slow",), "slow [seconds|off]", "one message in so many seconds", self._slow),
            _mod(
                ("followers", "watched"), "followers [minutes|off]", "who writes has watched so long", self._followers
            ),
            self._flag(("approve",), "each message waits for a moderator", "approve"),
            self._flag(("links",), "whether links may be sent", "links"),
            self._flag(("emotes", "emoteonly"), "nothing but emotes and emoji", "emotes"),
            self._flag(("readonly",), "only moderators write", "readonly"),
            _mod(("guests",), "guests open|hold|work|signin", "what becomes of new guests", self._guests),
            _mod(("caps",), "caps [percent|off]", "most capital letters in a message", self._caps),
            _mod(("duplicates",), "duplicates [seconds|off]", "nobody says the same twice so soon", self._duplicates),
            _mod(
                ("word", "words"),
                "word add|hold|remove|list [exact|glob|regex] word",
                "what is refused, or waits, when it occurs",
                self._word,
            ),
            _mod(("held", "queue"), "held", "lists what waits", self._held),
            _mod(("allow",), "allow number|all", "lets through what waits", self._allow),
            _mod(("deny",), "deny number|all", "does away with what waits", self._deny),
            Command(("mod",), "mod account|@name:server", "makes somebody a moderator", "streamer", self._mod),
            Command(("unmod",), "unmod account|@name:server", "takes that away", "streamer", self._unmod),
        ]
        self._by_name = {name: command for command in self.table for name in command.names}

    def knows(self, text: str) -> bool:
        """Whether `text` begins with the name of a command."""
        return _split(text)[0] in self._by_name

    async def run(self, room: Room, actor: Actor, text: str) -> list[Notice]:
        """Carry out a command. Raises a `RefusalError`."""
        name, rest = _split(text)
        command = self._by_name.get(name)
        prefix = "!" if actor.via == "matrix" else "/"
        if command is None:
            raise CommandError(f"There is no {prefix}{name[:20]}. {prefix}help lists what there is.")
        if not self._may(room, actor, command):
            who = "the streamer" if command.right == "streamer" else "moderators"
            raise NotAllowedError(f"{prefix}{command.names[0]} is for {who} of this chat.")
        answer = await command.run(Call(room, actor, command, rest))
        return [Notice(line) for line in ([answer] if isinstance(answer, str) else answer)]

    def _may(self, room: Room, actor: Actor, command: Command) -> bool:
        author = actor.author
        match command.right:
            case "all":
                return True
            case "moderator":
                return room.moderation.moderates(author)
            case _:
                return author.role is Role.STREAMER

    # -- for everybody

    async def _help(self, call: Call) -> list[str]:
        asked = call.word().lstrip("/!").lower()
        if asked:
            command = self._by_name.get(asked)
            if command is None:
                raise call.usage(f"There is no command {asked[:20]!r}.")
            return [f"{call.prefix}{command.usage}: {command.help}"]
        mine = [command for command in self.table if self._may(call.room, call.actor, command)]
        return [f"{call.prefix}{command.usage}: {command.help}" for command in mine]

    async def _me(self, call: Call) -> str:
        raise call.usage("What you do is missing.")

    async def _rules(self, call: Call) -> str:
        return say_rules(call.room.moderation.rules)

    async def _mods(self, call: Call) -> str:
        names = [moderator.name for moderator in call.room.moderation.moderators.values()]
        return "Moderators of this chat: " + (", ".join(names) if names else "nobody but the streamer") + "."

    # -- people

    async def _ban(self, call: Call) -> str:
        target = self._person(call)
        seconds, reason = call.duration(), call.rest
        mxid = target.mxid if target.name == target.mxid else None  # who may never have been here
        author_id = None if mxid is not None else target.id
        await self._actions.ban(call.room, call.actor, author_id=author_id, mxid=mxid, seconds=seconds, reason=reason)
        return f"{target.name} is banned {'for good' if seconds is None else f'for {say_duration(seconds)}'}."

    async def _timeout(self, call: Call) -> str:
        target = self._person(call)
        seconds, reason = call.duration(), call.rest
        ban = await self._actions.timeout(call.room, call.actor, author_id=target.id, seconds=seconds, reason=reason)
        assert ban.expires_at is not None
        return f"{target.name} only reads for {say_duration((ban.expires_at - ban.created_at).total_seconds())}."

    async def _unban(self, call: Call) -> str:
        name = _name(call.rest)
        if not name:
            raise call.usage("A name is missing.")
        bans = await self._service.bans(call.room.stream)
        bare = skeleton(name.removeprefix("@"))
        ids = [
            ban.id
            for ban in bans
            if name in (ban.author_id, ban.mxid) or (bare and skeleton(ban.name.removeprefix("@")) == bare)
        ]
        if not ids:
            raise CommandError(f"Nobody called {name[:40]!r} is banned here. {call.prefix}bans lists who is.")
        for ban_id in ids:
            await self._actions.unban(call.room, call.actor, ban_id=ban_id)
        return f"{name} may come in again."

    async def _bans(self, call: Call) -> str | list[str]:
        bans = await self._service.bans(call.room.stream)
        if not bans:
            return "Nobody is banned here."
        now = self._service.now()
        lines = [
            f"{ban.name}, by {ban.by}"
            + ("" if ban.expires_at is None else f", for {say_duration((ban.expires_at - now).total_seconds())} more")
            + (f": {ban.reason}" if ban.reason else "")
            for ban in bans
        ]
        return _some(lines)

    async def _kick(self, call: Call) -> str:
        target = self._person(call)
        await self._actions.kick(call.room, call.actor, target.id, reason=call.rest)
        return f"{target.name} is sent out."

    async def _warn(self, call: Call) -> str:
        target = self._person(call)
        await self._actions.warn(call.room, call.actor, target.id, reason=call.rest)
        return f"{target.name} is warned."

    async def _trust(self, call: Call) -> str:
        target = self._person(call)
        changed = await self._actions.trust(call.room, call.actor, target.id, on=True)
        return f"{target.name} is {'' if changed else 'already '}trusted."

    async def _untrust(self, call: Call) -> str:
        target = self._person(call)
        changed = await self._actions.trust(call.room, call.actor, target.id, on=False)
        return f"{target.name} is {'not trusted any more' if changed else 'not trusted'}."

    async def _mod(self, call: Call) -> str:
        name = await self._moderator(call, on=True)
        return f"{name} moderates this chat."

    async def _unmod(self, call: Call) -> str:
        name = await self._moderator(call, on=False)
        return f"{name} does not moderate this chat any more."

    async def _moderator(self, call: Call, *, on: bool) -> str:
        name = _name(call.rest)
        if not name:
            raise call.usage("A name is missing.")
        if name.startswith("@") and ":" in name:
            await self._actions.moderator(call.room, call.actor, mxid=name, on=on)
        else:
            await self._actions.moderator(call.room, call.actor, account=name.removeprefix("@"), on=on)
        return name

    # -- messages

    async def _delete(self, call: Call) -> str:
        await self._actions.delete(call.room, call.actor, [self._message(call)])
        return "The message is gone."

    async def _purge(self, call: Call) -> str:
        target = self._person(call)
        gone = await self._actions.delete_all(call.room, call.actor, target.id)
        return f"{len(gone)} message{'' if len(gone) == 1 else 's'} of {target.name} {_are(len(gone))} gone."

    async def _clear(self, call: Call) -> str:
        gone = await self._actions.clear(call.room, call.actor)
        return f"{len(gone)} message{'' if len(gone) == 1 else 's'} {_are(len(gone))} gone."

    async def _pin(self, call: Call) -> str:
        number = self._last_of(call, call.actor.author) if not call.rest else self._message(call)
        await self._actions.pin(call.room, call.actor, number)
        return "The message is pinned."

    async def _unpin(self, call: Call) -> str:
        changed = await self._actions.pin(call.room, call.actor, None)
        return "Nothing is pinned any more." if changed else "Nothing is pinned."

    async def _held(self, call: Call) -> str | list[str]:
        held = call.room.moderation.held
        if not held:
            return "Nothing waits."
        return _some([f"{one.id} {one.author.name}: {one.text}"[:200] for one in held.values()])

    async def _allow(self, call: Call) -> str:
        return await self._decide(call, allow=True)

    async def _deny(self, call: Call) -> str:
        return await self._decide(call, allow=False)

    async def _decide(self, call: Call, *, allow: bool) -> str:
        word = call.word("A number")
        waiting = call.room.moderation.held
        if word.lower() == "all":
            ids = list(waiting)
        elif word.isascii() and word.isdecimal() and len(word) < 16 and int(word) in waiting:
            ids = [int(word)]
        else:
            raise CommandError(f"Nothing of the number {word[:20]} waits. {call.prefix}held lists what does.")
        if not ids:
            return "Nothing waits."
        await self._actions.decide(call.room, call.actor, ids, allow=allow)
        messages = "1 message is" if len(ids) == 1 else f"{len(ids)} messages are"
        return f"{messages} {'let through' if allow else 'done away with'}."

    # -- rules

    async def _shield(self, call: Call) -> str:
        on = call.switch(call.room.moderation.rules.shield)
        await self._actions.shield(call.room, call.actor, on)
        if on:
            return "The shield is up: slow, each message waits, and nobody new takes a name."
        return "The shield is down: the rules are as they were."

    async def _slow(self, call: Call) -> str:
        seconds = call.number(10, 6 * 3600)
        await self._set(call, slow=seconds)
        return f"One message every {say_duration(seconds)}." if seconds else "Slow mode is off."

    async def _followers(self, call: Call) -> str:
        first = call.rest.partition(" ")[0].lower()
        if first and not first.isdecimal() and (seconds := parse_duration(first)) is not None:
            call.word()
            minutes = max(1, round(seconds / 60))
        else:
            minutes = call.number(10, 7 * 24 * 60)
        await self._set(call, followers=minutes)
        return f"Who writes has watched for {say_duration(60 * minutes)}." if minutes else "Everybody may write."

    async def _guests(self, call: Call) -> str:
        await self._set(call, guests=call.word("What becomes of them").lower())
        return say_rules(call.room.moderation.rules)

    async def _caps(self, call: Call) -> str:
        percent = call.number(70, 100)
        await self._set(call, caps=percent)
        return f"At most {percent} % capital letters." if percent else "Capital letters are welcome."

    async def _duplicates(self, call: Call) -> str:
        seconds = call.number(30, 3600)
        await self._set(call, duplicates=seconds)
        return f"Nobody says the same within {say_duration(seconds)}." if seconds else "The same may be said again."

    async def _word(self, call: Call) -> str | list[str]:
        words = list(call.room.moderation.rules.words)
        match call.word("What to do").lower():
            case "list":
                if not words:
                    return "There is no word that is refused or held."
                return _some([f"{word.action}: {word.text} ({word.kind})" for word in words])
            case "add" | "refuse" | "hold" as what:
                word = _word_of(call, "hold" if what == "hold" else "refuse")
                words = [one for one in words if (one.text, one.kind) != (word.text, word.kind)]
                await self._set(call, words=[*words, word])
                return f"{word.text!r} is {'held for a moderator' if word.action == 'hold' else 'refused'} from now on."
            case "remove" | "delete":
                text = _word_of(call, "refuse").text
                left = [one for one in words if one.text != text]
                if len(left) == len(words):
                    raise CommandError(f"There is no word {text[:40]!r}. {call.prefix}word list says which there are.")
                await self._set(call, words=left)
                return f"{text!r} may be said again."
            case other:
                raise call.usage(f"{other[:20]!r} cannot be done with a word.")

    def _flag(self, names: tuple[str, ...], text: str, rule: str) -> Command:
        async def run(call: Call) -> str:
            on = call.switch(getattr(call.room.moderation.rules, rule))
            await self._set(call, **{rule: on})
            return say_rules(call.room.moderation.rules)

        return Command(names, f"{names[0]} [on|off]", text, "moderator", run)

    async def _set(self, call: Call, **changes: Any) -> None:
        await self._actions.set_rules(call.room, call.actor, changes)

    # -- whom and what they mean

    def _person(self, call: Call) -> Author:
        """Whom the next words name: somebody who is here, or spoke here lately, or whose message waits."""
        if not call.rest:
            raise call.usage("A name is missing.")
        quoted = call.rest[0] == '"' and '"' in call.rest[1:]
        if quoted:
            name, _, rest = call.rest[1:].partition('"')
            call.rest = rest.strip()
            return self._named(call, name)
        first = call.rest.partition(" ")[0]
        if first.startswith("@") and ":" in first:
            call.word()
            return Author(matrix_author_id(first), first, mxid=first)
        # Names may have spaces: the longest that is known.
        bare = call.rest.removeprefix("@").casefold()
        fitting = [
            author
            for author in self._known(call.room)
            if bare.startswith(author.name.casefold()) and bare[len(author.name.casefold()) :][:1] in ("", " ")
        ]
        if fitting:
            longest = max(fitting, key=lambda author: len(author.name))
            cut = len(call.rest) - len(call.rest.removeprefix("@")) + len(longest.name)
            call.rest = call.rest[cut:].strip()
            return self._named(call, longest.name)
        return self._named(call, call.word())

    def _named(self, call: Call, name: str) -> Author:
        name = name.removeprefix("@").strip()
        known = list(self._known(call.room))
        found = {author.id: author for author in known if name in {author.id, author.name}}
        if not found:
            bare = skeleton(name)
            found = {author.id: author for author in known if skeleton(author.name) == bare}
        if not found:
            raise CommandError(f"There is nobody called {name[:40]!r} here. Is it written as they are shown?")
        if len(found) > 1:
            ids = ", ".join(list(found)[:5])
            raise CommandError(f"Several people are called {name[:40]!r}. Say which by their number: {ids}.")
        return next(iter(found.values()))

    def _known(self, room: Room) -> Iterator[Author]:
        seen: set[str] = set()
        for author in (
            *room.people,
            *(message.author for message in reversed(room.last())),
            *(held.author for held in room.moderation.held.values()),
            *(Author(one.author, one.name) for one in room.moderation.trusted.values()),
        ):
            if author.id not in seen:
                seen.add(author.id)
                yield author

    def _message(self, call: Call) -> int:
        word = call.rest.partition(" ")[0]
        if word.isascii() and word.isdecimal() and len(word) < 16 and call.room.get(int(word)) is not None:
            return int(word)
        return self._last_of(call, self._person(call))

    def _last_of(self, call: Call, author: Author) -> int:
        for message in reversed(call.room.last()):
            if message.author.id == author.id:
                return message.id
        raise CommandError(f"{author.name} has said nothing here that is still shown.")


def say_rules(rules: Rules) -> str:
    """The rules of a chat in one line."""
    parts = []
    if rules.shield:
        parts.append("the shield is up")
    if rules.readonly:
        parts.append("only moderators write")
    if rules.slow:
        parts.append(f"one message every {say_duration(rules.slow)}")
    if rules.followers:
        parts.append(f"who writes has watched for {say_duration(60 * rules.followers)}")
    if rules.approve:
        parts.append("each message waits for a moderator")
    if not rules.links:
        parts.append("no links")
    if rules.emotes:
        parts.append("emotes only")
    if rules.caps:
        parts.append(f"at most {rules.caps} % capital letters")
    if rules.duplicates:
        parts.append(f"nothing twice within {say_duration(rules.duplicates)}")
    match rules.guests:
        case "hold":
            parts.append("the first message of new guests waits")
        case "work":
            parts.append("the browsers of new guests work first")
        case "signin":
            parts.append("guests sign in first")
    return f"Rules of this chat: {'; '.join(parts)}." if parts else "There are no rules but to be kind."


def _mod(names: tuple[str, ...], usage: str, text: str, run: Callable[[Call], Awaitable[str | list[str]]]) -> Command:
    return Command(names, usage, text, "moderator", run)


def _split(text: str) -> tuple[str, str]:
    name, _, rest = text.strip().partition(" ")
    return name.lower(), rest


def _name(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].strip()
    return text


def _word_of(call: Call, action: Literal["refuse", "hold"]) -> Word:
    kind: Any = "exact"
    first = call.rest.partition(" ")[0].lower()
    if first in _KINDS and call.rest.partition(" ")[2]:
        kind = first
        call.word()
    elif "*" in call.rest or "?" in call.rest:
        kind = "glob"
    text = _name(call.rest)
    if not text:
        raise call.usage("The word is missing.")
    return Word(text, kind, action)


def _some(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _LISTED else [*lines[:_LISTED], f"… and {len(lines) - _LISTED} more"]


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
