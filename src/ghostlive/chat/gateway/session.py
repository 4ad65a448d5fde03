"""The state of one viewer's WebSocket: what they may send now, and what they are answered. Knows no socket, no clock.

`receive` takes a text message and the time, and returns the command in it when it is one that may be carried out; who
drives the session carries it out, calls what tells the outcome (`welcome`, `joined`, `ack`, `refuse`, …), and sends
`data_to_send`. Once `closing` is set, nothing more is received: send what there is, then close with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from ghostlive.chat.config import ChatConfig
from ghostlive.chat.errors import (
    BadMessageError,
    EmptyError,
    HelloFirstError,
    NameNeededError,
    NotAllowedError,
    RefusalError,
    TooFastError,
    TooLongError,
)
from ghostlive.chat.gateway import messages
from ghostlive.chat.gateway.messages import (
    Alive,
    AskPeople,
    BanAuthor,
    Command,
    Decide,
    Edit,
    Hello,
    Moderate,
    Ping,
    Post,
    React,
    SlashCommand,
    Who,
    parse,
)
from ghostlive.chat.message import Message
from ghostlive.chat.people import Author
from ghostlive.core.text import clean_line, clean_text
from ghostlive.core.websocket import POLICY_VIOLATION, text_frame

BAD_MESSAGES: Final = 10
_BURST, _INTERVAL = 300, 0.01
_REFUSALS, _REFUSAL_INTERVAL = 60, 1.0
"""Messages of any kind, and those that are refused: how many at once, and seconds for each more. No page comes near."""
_PEOPLE_INTERVAL: Final = 1.0
_LINES: Final = 20
_REASON: Final = 200
_KEY: Final = 64
_ALIVE_INTERVAL: Final = 10.0
"""Seconds. Pages say every 30 that they play."""


class Session:
    """One viewer, from `hello` on."""

    __slots__ = (
        "_alive_at",
        "_config",
        "_full_at",
        "_now",
        "_out",
        "_people_at",
        "_refusals_full_at",
        "author",
        "bad",
        "closing",
        "greeted",
        "moderates",
    )

    def __init__(self, config: ChatConfig) -> None:
        """The viewer has not said anything yet."""
        self._config = config
        self._out: list[str] = []
        self._now = 0.0
        self._full_at = 0.0
        self._refusals_full_at = 0.0
        self._people_at = 0.0
        self._alive_at = 0.0
        self.author: Author | None = None
        """Under which name they speak."""
        self.moderates = False
        self.greeted = False
        self.bad = 0
        self.closing: tuple[int, str] | None = None
        """Code and reason with which the socket is to be closed."""

    def receive(self, text: str, now: float) -> Command | None:
        """A message came at `now` (monotonic seconds). None when there is nothing to carry out."""
        if self.closing is not None:
            return None
        self._now = now
        # The generic cell rate algorithm, as in `chat.limits`.
        self._full_at = max(self._full_at, now) + _INTERVAL
        if self._full_at - now > _BURST * _INTERVAL:
            self.close(POLICY_VIOLATION, "too many messages")
            return None
        txn = None
        try:
            command = parse(text)
            if isinstance(command, Post):
                txn = command.txn
            return self._check(command, now)
        except (BadMessageError, HelloFirstError) as error:
            self.refuse(error, txn)
            self.bad += 1
            if self.bad >= BAD_MESSAGES:
                self.close(POLICY_VIOLATION, "too many bad messages")
        except RefusalError as error:
            self.refuse(error, txn)
        return None

    def data_to_send(self) -> bytes:
        """The frames that are to be sent now; empty when there are none."""
        out, self._out = self._out, []
        return b"".join([text_frame(text.encode()) for text in out])

    def close(self, code: int, reason: str) -> None:
        """End the session; the first reason counts."""
        if self.closing is None:
            self.closing = (code, reason)

    # -- outcomes

    def welcome(
        self,
        *,
        seq: int,
        reset: bool,
        said: Iterable[Message],
        changed: Iterable[Message] = (),
        deleted: Sequence[int],
        pinned: Message | None = None,
        rest: dict[str, Any],
    ) -> None:
        """The viewer is in. `rest` is what is not about messages: `people`, `banned`, `rules`, …"""
        limits = {"text": self._config.message_length, "name": self._config.name_length}
        self._out.append(
            messages.welcome(
                self._you("banned" in rest),
                seq=seq,
                reset=reset,
                messages=said,
                changed=changed,
                deleted=deleted,
                pinned=pinned,
                rest={**rest, "limits": limits},
            )
        )

    def joined(self, token: str | None = None) -> None:
        """The viewer has a name, or another one; `author` says which."""
        self._out.append(messages.joined(self._you(False), token))

    def ack(self, txn: str, message_id: int) -> None:
        """Their message is stored."""
        self._out.append(messages.ack(txn, message_id))

    def held(self, txn: str, text: str) -> None:
        """Their message waits for a moderator."""
        self._out.append(messages.held(txn, text))

    def refuse(self, error: RefusalError, txn: str | None = None) -> None:
        """Their message is not accepted."""
        self._out.append(messages.error(error, txn))
        self._refusals_full_at = max(self._refusals_full_at, self._now) + _REFUSAL_INTERVAL
        if self._refusals_full_at - self._now > _REFUSALS * _REFUSAL_INTERVAL:
            self.close(POLICY_VIOLATION, "too many messages")

    def people(self, number: int, authors: Iterable[Author]) -> None:
        """Who is there."""
        self._out.append(messages.people(number, authors))

    def renew(self) -> None:
        """The viewer may do other things than before."""
        if self.author is not None:
            self.joined()

    def send(self, text: str) -> None:
        """Another message, encoded already."""
        self._out.append(text)

    # -- rules

    def _check(self, command: Command, now: float) -> Command | None:
        kind = type(command)
        if not self.greeted:
            if kind is not Hello:
                raise HelloFirstError("Send hello first.")
            self.greeted = True
            return command
        if isinstance(command, Post):
            return self._check_post(command)
        if kind is Ping:
            self._out.append(messages.PONG)
            return None
        if kind is Hello:
            raise BadMessageError("hello was sent already.")
        if kind is AskPeople:
            if now < self._people_at:
                raise TooFastError("That was asked a moment ago.", _PEOPLE_INTERVAL)
            self._people_at = now + _PEOPLE_INTERVAL
        if isinstance(command, BanAuthor):
            if not self.moderates:
                raise NotAllowedError("Only the streamer and moderators can ban people.")
            return replace(command, reason=clean_line(command.reason, _REASON))
        return self._check_other(command, now)

    def _check_other(self, command: Command, now: float) -> Command:
        match command:
            case Edit():
                self._check_named()
                return replace(command, text=self._clean(command.text))
            case React(message_id, key, on):
                self._check_named()
                key = clean_line(key, _KEY)
                if not key:
                    raise EmptyError("There is nothing in that reaction that could be shown.")
                return React(message_id, key, on)
            case Moderate() | Decide() | Who():
                if not self.moderates:
                    raise NotAllowedError("Only the streamer and moderators can do that.")
                if isinstance(command, Moderate):
                    return replace(command, reason=clean_line(command.reason, _REASON))
            case SlashCommand(text):
                self._check_named()
                name, _, rest = text.partition(" ")
                if name.lower() == "me":  # which is a message, and has no name: its page has none for it
                    return Post("", self._clean(rest), None, emote=True)
                return SlashCommand(clean_line(text, self._config.message_length))
            case Alive():
                if now < self._alive_at:
                    raise TooFastError("That was said a moment ago.", _ALIVE_INTERVAL)
                self._alive_at = now + _ALIVE_INTERVAL
        return command

    def _check_named(self) -> None:
        if self.author is None:
            raise NameNeededError("Choose a name first.")

    def _check_post(self, post: Post) -> Post:
        if self.author is None:
            raise NameNeededError("Choose a name first.")
        post.text = self._clean(post.text)
        return post

    def _clean(self, text: str) -> str:
        """What is to be said, fit to be shown. Raises `EmptyError` and `TooLongError`."""
        text = clean_text(text)
        if not text:
            raise EmptyError("There is nothing in that message that could be shown.")
        limit = self._config.message_length
        if len(text) > limit:
            raise TooLongError(f"That message has {len(text)} characters; the limit is {limit}.")
        if text.count("\n") >= _LINES:
            text = fold_lines(text)
        return text

    def _you(self, banned: bool) -> str:
        can = [] if banned else ["post", "react", "edit"]
        return messages.you(self.author, [*can, "moderate"] if self.moderates else can)


def fold_lines(text: str, lines: int = _LINES) -> str:
    """`text` with at most so many lines, the rest in the last of them."""
    every = text.split("\n")
    if len(every) <= lines:
        return text
    return "\n".join([*every[: lines - 1], " ".join(line for line in every[lines - 1 :] if line)])
